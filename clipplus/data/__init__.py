"""Data sets, caption transforms, batches and their order."""

from clipplus.data.caption_dataset import CaptionDataset
from clipplus.data.collate import caption_collate
from clipplus.data.keyed_dataset import KeyedDataset, next_batch, quiet_worker
from clipplus.data.named_classes import NamedClasses
from clipplus.data.order import EpochOrder, GlobalBatches
from clipplus.data.shapes import ShapesDataset
from clipplus.data.transforms import PackCaptions, SampleCaptions, TokenizeCaptions

__all__ = [
    "CaptionDataset",
    "EpochOrder",
    "GlobalBatches",
    "KeyedDataset",
    "NamedClasses",
    "PackCaptions",
    "SampleCaptions",
    "ShapesDataset",
    "TokenizeCaptions",
    "caption_collate",
    "next_batch",
    "quiet_worker",
]
