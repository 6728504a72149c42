"""The one CLIP that all methods start from, train or refine.

Learning Transferable Visual Models From Natural Language Supervision, Radford et al., ICML 2021, arXiv 2103.00020.
Importing this package registers every shared part; configs name it in `custom_imports`.
"""

import clipplus.data
import clipplus.engine
import clipplus.evaluation
import clipplus.losses
import clipplus.text
import clipplus.towers
import clipplus.visualization  # noqa: F401 - registers its parts
from clipplus.clip.model import CLIPModel
from clipplus.clip.preprocessor import CaptionDataPreprocessor

__all__ = ["CLIPModel", "CaptionDataPreprocessor"]
