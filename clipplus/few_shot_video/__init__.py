"""Few-shot video: episodes, matchers and their metric, on mmaction2."""

from clipplus.hosts import prepare

prepare("mmaction")

from clipplus.few_shot_video.accuracy import FewShotAccuracy, mean_and_interval
from clipplus.few_shot_video.bimhm import BiMHMMatcher, bimhm_distance
from clipplus.few_shot_video.distances import eps_cosine, frame_distances
from clipplus.few_shot_video.head import FewShotHead
from clipplus.few_shot_video.mean_pool import MeanPoolMatcher
from clipplus.few_shot_video.otam import OTAMMatcher, otam_distance
from clipplus.few_shot_video.trx import TRXMatcher
from clipplus.few_shot_video.ways import Ways

__all__ = [
    "BiMHMMatcher",
    "FewShotAccuracy",
    "FewShotHead",
    "MeanPoolMatcher",
    "OTAMMatcher",
    "TRXMatcher",
    "Ways",
    "bimhm_distance",
    "eps_cosine",
    "frame_distances",
    "mean_and_interval",
    "otam_distance",
]
