"""Evaluation of embeddings: loops over several sets, zero-shot classification, retrieval."""

from clipplus.evaluation.loops import MultiDatasetTestLoop, MultiDatasetValLoop
from clipplus.evaluation.retrieval import CrossModalRecall, retrieval_ranks
from clipplus.evaluation.set_metric import SetMetric
from clipplus.evaluation.zero_shot import ZeroShotAccuracy, label_ranks

__all__ = [
    "CrossModalRecall",
    "MultiDatasetTestLoop",
    "MultiDatasetValLoop",
    "SetMetric",
    "ZeroShotAccuracy",
    "label_ranks",
    "retrieval_ranks",
]
