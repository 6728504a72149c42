"""Evaluation: loops over several sets, zero-shot classification, retrieval, features and classifiers on them."""

from clipplus.evaluation.feature_cache import FeatureCache, ImageFeatures, read_features
from clipplus.evaluation.image_features import cached_features, cached_in_stretches, feature_parts
from clipplus.evaluation.linear_probe import LinearProbeAccuracy, choose_regularisation, fit_logistic
from clipplus.evaluation.loops import MultiDatasetTestLoop, MultiDatasetValLoop
from clipplus.evaluation.neighbours import NearestNeighbourAccuracy, neighbour_votes
from clipplus.evaluation.retrieval import CrossModalRecall, retrieval_ranks
from clipplus.evaluation.set_metric import SetMetric
from clipplus.evaluation.zero_shot import ZeroShotAccuracy, label_ranks

__all__ = [
    "CrossModalRecall",
    "FeatureCache",
    "ImageFeatures",
    "LinearProbeAccuracy",
    "MultiDatasetTestLoop",
    "MultiDatasetValLoop",
    "NearestNeighbourAccuracy",
    "SetMetric",
    "ZeroShotAccuracy",
    "cached_features",
    "cached_in_stretches",
    "choose_regularisation",
    "feature_parts",
    "fit_logistic",
    "label_ranks",
    "neighbour_votes",
    "read_features",
    "retrieval_ranks",
]
