"""Few-shot action recognition with prototypes that class texts have modulated.

CLIP-guided Prototype Modulating for Few-shot Action Recognition: Wang et al., IJCV 2023, arXiv 2303.02982.
Importing this package registers its parts, and those of few-shot video; configs name it in `custom_imports`.
"""

import clipplus.few_shot_video  # noqa: F401 - registers the shared parts
from clipplus.methods.clip_fsar.combine_weight import CombineSweep
from clipplus.methods.clip_fsar.head import CLIPFSARHead
from clipplus.methods.clip_fsar.temporal_transformer import TemporalTransformer

__all__ = ["CLIPFSARHead", "CombineSweep", "TemporalTransformer"]
