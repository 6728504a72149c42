"""A few labelled pictures per class make CLIP's classifier better, without training or with a little of it.

APE and APE-T: Not All Features Matter: Enhancing Few-shot CLIP with Adaptive Prior Refinement, Zhu et al., ICCV 2023,
arXiv 2304.01195. Tip-Adapter(-F), the baseline: Zhang et al., ECCV 2022, arXiv 2207.09519.
Importing this package registers its parts with mmpretrain, and the shared ones; configs name it in `custom_imports`.
"""

import clipplus.clip  # noqa: F401 - registers the shared parts
from clipplus.methods.ape.data import (
    CoOpSplit,
    FewShotSubset,
    FieldClasses,
    NumberedFolders,
    RenamedClasses,
)
from clipplus.methods.ape.feature_dataset import FeatureDataset
from clipplus.methods.ape.fit_loop import FewShotFitLoop
from clipplus.methods.ape.fit_record import FitRecordHook
from clipplus.methods.ape.heads import APEHead, APETHead, TipAdapterHead, ZeroShotCacheHead
from clipplus.methods.ape.model import FewShotClassifier, ImageOrFeaturePreprocessor
from clipplus.methods.ape.stored_texts import StoredClassTexts
from clipplus.methods.ape.stored_views import FewShotOptimWrapperConstructor, ReplicatedBatches, ReplicatedModel

__all__ = [
    "APEHead",
    "APETHead",
    "CoOpSplit",
    "FeatureDataset",
    "FewShotClassifier",
    "FewShotFitLoop",
    "FewShotOptimWrapperConstructor",
    "FewShotSubset",
    "FieldClasses",
    "FitRecordHook",
    "ImageOrFeaturePreprocessor",
    "NumberedFolders",
    "RenamedClasses",
    "ReplicatedBatches",
    "ReplicatedModel",
    "StoredClassTexts",
    "TipAdapterHead",
    "ZeroShotCacheHead",
]
