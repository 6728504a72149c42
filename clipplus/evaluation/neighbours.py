"""Classification by the nearest training samples.

Shape letters of this file: Q queries, S training samples, C classes, E feature width.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from mmengine.registry import METRICS
from torch import Tensor

from clipplus.evaluation.frozen_classifier import FrozenClassifierAccuracy
from clipplus.evaluation.frozen_features import LabelledFeatures

# Similarities held at once, with masks and counts of about 16 bytes for each.
_SIMILARITIES_PER_BLOCK = 2**24


def neighbour_votes(
    queries: Float[Tensor, "Q E"],
    features: Float[Tensor, "S E"],
    labels: Int[Tensor, " S"],
    classes: int,
    k: int,
    temperature: float,
) -> Float[Tensor, "Q C"]:
    """Share of every class in the weighted vote of the k nearest training samples (Caron et al. 2021, appendix).

    With N the k training samples of largest cosine similarity s_i to a query (ties by lower index),

        vote_c = sum_{i in N, label_i = c} exp(s_i / temperature) / sum_{i in N} exp(s_i / temperature).

    Works through blocks of queries, whose memory does not grow with Q.

    Args:
        queries: (Q, E), normalised.
        features: (S, E), normalised.
        labels: (S,), in 0..classes-1.
        classes: C.
        k: at most S.
        temperature: positive; large ones count neighbours without weighing them.

    Returns:
        (Q, C) float64, rows sum to 1.
    """
    rows = max(1, _SIMILARITIES_PER_BLOCK // len(features))
    votes = []
    for block in queries.split(rows):
        similarities = block @ features.T
        nearest = _nearest(similarities, k)
        own = similarities.gather(1, nearest).double()
        weights = torch.softmax(own / temperature, dim=1)
        votes.append(weights.new_zeros(len(block), classes).scatter_add_(1, labels[nearest], weights))
    return torch.cat(votes)


def _nearest(similarities: Tensor, k: int) -> Tensor:
    """(Q, k) indices of the k largest of each row, ascending; `topk` alone leaves open which of equal ones it takes."""
    last = similarities.topk(k, dim=1).values[:, -1:]
    above, equal = similarities > last, similarities == last
    room = k - above.sum(dim=1, keepdim=True)
    return (above | (equal & (equal.cumsum(dim=1, dtype=torch.int32) <= room))).nonzero()[:, 1].view(-1, k)


@METRICS.register_module()
class NearestNeighbourAccuracy(FrozenClassifierAccuracy):
    """Accuracy of `neighbour_votes` on normalised features; among equal votes the lower class index comes first.

    Results: `knn/top<k>`, `knn/mean_class`.

    Args:
        k: neighbours that vote.
        temperature: of their weights.
        **shared: see `FrozenClassifierAccuracy`; `train` is required.

    Raises:
        ValueError: k below 1 or above the number of training samples, or a temperature that is not positive.
    """

    default_prefix = "knn"

    def __init__(self, k: int = 20, temperature: float = 0.07, **shared: Any) -> None:
        super().__init__(**shared)
        if k < 1 or temperature <= 0:
            raise ValueError(
                f"NearestNeighbourAccuracy: k must be at least 1 and temperature positive, got {k} and {temperature}"
            )
        self.k, self.temperature = k, temperature

    def fit(self, training: LabelledFeatures, classes: int) -> Callable[[Tensor], Tensor]:
        """Keep the normalised training features; scores are shares of the vote."""
        if self.k > len(training.labels):
            raise ValueError(
                f"NearestNeighbourAccuracy: k={self.k}, but train.dataset has {len(training.labels)} samples: lower k"
            )
        neighbours, labels = F.normalize(training.features, dim=-1), training.labels
        return lambda features: neighbour_votes(
            F.normalize(features, dim=-1), neighbours, labels, classes, self.k, self.temperature
        )
