"""Small copies of a set's pictures, a bounded number of them, chosen by lot.

Which samples are kept depends on their ids alone: not on the order of arrival, the batch size or the number of
ranks, so that two evaluations of the same set show the same samples.
"""

import heapq
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

Thumbnail = UInt8[np.ndarray, "H W 3"]


def lot(sample_id: int) -> int:
    """The number that a sample drew; small numbers are shown first."""
    return int.from_bytes(blake2b(str(sample_id).encode(), digest_size=8).digest(), "big")


def first_by_lot(sample_ids: Iterable[int], count: int) -> list[int]:
    """The `count` samples with the smallest lots, by ascending id."""
    return sorted(heapq.nsmallest(count, sample_ids, key=lot))


def batch_pictures(data_batch: Any, outputs: Iterable[Any]) -> Iterator[tuple[int, Tensor]]:
    """The ids and pixels of a batch.

    Args:
        data_batch: as it left the data loader. Image-text batches have `ids` and RGB pixels; those of a host have
            `data_samples` and BGR pixels, stacked or as a list.
        outputs: what the model predicted, one sample per picture; hosts keep the id there, as `sample_idx`.

    Yields:
        (id, (3, H, W) uint8 RGB). Nothing for batches that are no pictures (clips) or whose samples have no id.

    Raises:
        ValueError: pixels that are not uint8: they were normalised too early to be drawn.
    """
    own = data_batch.get("data_samples") is None
    ids = data_batch.get("ids", ()) if own else (sample.get("sample_idx") for sample in outputs)
    for sample_id, pixels in zip(ids, data_batch["inputs"], strict=False):
        if sample_id is None or pixels.dim() != 3:
            continue
        if pixels.dtype != torch.uint8:
            raise ValueError(
                f"PredictionPicturesHook draws uint8 pixels, got {pixels.dtype} for sample {int(sample_id)}: "
                "normalise in the data_preprocessor, not in the pipeline"
            )
        yield int(sample_id), pixels if own else pixels.flip(0)


class ThumbnailStore:
    """Keeps the thumbnails of the `limit` samples with the smallest lots.

    Args:
        limit: samples kept at most.
        size: longest side in pixels; smaller pictures are kept as they are. Memory is at most 3 * limit * size^2 bytes.
    """

    def __init__(self, limit: int, size: int) -> None:
        self.limit = limit
        self.size = size
        self._pictures: dict[int, Thumbnail] = {}
        self._lots: list[tuple[int, int]] = []  # heap of (-lot, id): the next one to give way comes first

    def __len__(self) -> int:
        return len(self._pictures)

    def add(self, sample_id: int, pixels: Tensor) -> None:
        """Keep a picture, (3, H, W) uint8 RGB, if its lot is small enough; the one with the largest lot gives way."""
        if sample_id in self._pictures:
            return
        entry = (-lot(sample_id), sample_id)
        if len(self._lots) < self.limit:
            heapq.heappush(self._lots, entry)
        else:
            dropped = heapq.heappushpop(self._lots, entry)
            if dropped == entry:
                return
            del self._pictures[dropped[1]]
        self._pictures[sample_id] = self._reduced(pixels)

    def _reduced(self, pixels: Tensor) -> Thumbnail:
        picture = Image.fromarray(pixels.permute(1, 2, 0).contiguous().cpu().numpy())
        picture.thumbnail((self.size, self.size), Image.Resampling.LANCZOS)
        return np.array(picture)

    def select(self, sample_ids: Iterable[int]) -> dict[int, Thumbnail]:
        """Those of the given samples that are here."""
        return {sample_id: self._pictures[sample_id] for sample_id in sample_ids if sample_id in self._pictures}

    def clear(self) -> None:
        """Forget all."""
        self._pictures.clear()
        self._lots.clear()
