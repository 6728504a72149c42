"""Adapters inside a frozen CLIP, some of them told the class, recognise actions by a few clips.

MA-CLIP: Multimodal Adaptation of CLIP for Few-Shot Action Recognition, Xing et al., arXiv 2308.01532v1; called MA-FSAR
in v2 (Pattern Recognition 2025).
Importing this package registers its parts with mmaction, and the shared ones; configs name it in `custom_imports`.
"""

import clipplus.few_shot_video  # noqa: F401 - registers the shared parts
from clipplus.methods.ma_clip.adapter import Adapter
from clipplus.methods.ma_clip.block import BlockAdapters
from clipplus.methods.ma_clip.head import MACLIPHead
from clipplus.methods.ma_clip.losses import class_divergence
from clipplus.methods.ma_clip.options import AdapterOptions
from clipplus.methods.ma_clip.tower import MACLIPVisualBackbone
from clipplus.methods.ma_clip.tpcm import TPCM

__all__ = [
    "TPCM",
    "Adapter",
    "AdapterOptions",
    "BlockAdapters",
    "MACLIPHead",
    "MACLIPVisualBackbone",
    "class_divergence",
]
