"""Few-shot video: episodes, matchers and their metric, on mmaction2."""

from clipplus.hosts import prepare

prepare("mmaction")

import clipplus.clip  # noqa: F401 - registers the shared parts
from clipplus.few_shot_video.accuracy import FewShotAccuracy, mean_and_interval
from clipplus.few_shot_video.bimhm import BiMHMMatcher, bimhm_distance
from clipplus.few_shot_video.clip_decoding import ClipDecode, ClipInit
from clipplus.few_shot_video.clip_reading import VideoFile
from clipplus.few_shot_video.distances import eps_cosine, frame_distances
from clipplus.few_shot_video.episode_dataset import EpisodeDataset
from clipplus.few_shot_video.episode_sample import EpisodeDataSample
from clipplus.few_shot_video.episodes import Episode, EpisodeKey, EpisodeShape, draw_episode
from clipplus.few_shot_video.feature_cache_loop import FeatureCacheTestLoop, FeatureCacheValLoop
from clipplus.few_shot_video.frame_cache import FrameCache
from clipplus.few_shot_video.frame_sampling import StrideSampleFrames, strided_frames
from clipplus.few_shot_video.head import FewShotHead
from clipplus.few_shot_video.mean_pool import MeanPoolMatcher
from clipplus.few_shot_video.otam import OTAMMatcher, otam_distance
from clipplus.few_shot_video.preprocessor import FewShotDataPreprocessor
from clipplus.few_shot_video.recognizer import FewShotRecognizer
from clipplus.few_shot_video.shapes_video_dataset import ShapesVideoDataset
from clipplus.few_shot_video.trx import TRXMatcher
from clipplus.few_shot_video.video_dataset import FewShotVideoDataset
from clipplus.few_shot_video.ways import Ways

__all__ = [
    "BiMHMMatcher",
    "ClipDecode",
    "ClipInit",
    "Episode",
    "EpisodeDataSample",
    "EpisodeDataset",
    "EpisodeKey",
    "EpisodeShape",
    "FeatureCacheTestLoop",
    "FeatureCacheValLoop",
    "FewShotAccuracy",
    "FewShotDataPreprocessor",
    "FewShotHead",
    "FewShotRecognizer",
    "FewShotVideoDataset",
    "FrameCache",
    "MeanPoolMatcher",
    "OTAMMatcher",
    "ShapesVideoDataset",
    "StrideSampleFrames",
    "TRXMatcher",
    "VideoFile",
    "Ways",
    "bimhm_distance",
    "draw_episode",
    "eps_cosine",
    "frame_distances",
    "mean_and_interval",
    "otam_distance",
    "strided_frames",
]
