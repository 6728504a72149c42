"""Bidirectional mean Hausdorff metric (Bi-MHM): every frame looks for its nearest one, in any order.

`bimhm_distance` is the mathematics, `BiMHMMatcher` what a config names. Shape letters of this file: L frames of a
query, M frames of a support.
"""

from typing import Literal

from jaxtyping import Float
from mmengine.registry import MODELS
from torch import Tensor

from clipplus.did_you_mean import did_you_mean
from clipplus.few_shot_video.distances import Similarity, at_least_float32
from clipplus.few_shot_video.frame_matcher import FrameMatcher
from clipplus.few_shot_video.ways import Shots

Reduction = Literal["sum", "mean"]
_REDUCTIONS = ("sum", "mean")


def bimhm_distance(
    dist: Float[Tensor, "*pairs L M"], reduction: Reduction = "sum", bidirectional: bool = True
) -> Float[Tensor, "*pairs"]:
    """Distances of all query frames to their nearest support frames, plus the reverse.

        sum_l min_m dist[l, m] + sum_m min_l dist[l, m]

    Wang et al. 2022, "Hybrid Relation Guided Set Matching for Few-shot Action Recognition" (HyRSM), equation 6. The
    paper writes means where its code and CLIP-FSAR's have sums: a factor of the number of frames in what acts as the
    temperature of the softmax.

    Args:
        dist: (..., L, M) frame distances, rows are query frames.
        reduction: 'sum' or 'mean' over the frames of a clip.
        bidirectional: False has the first term only.

    Returns:
        (...), float32 at least.

    Raises:
        ValueError: unknown `reduction`, or no frames.
    """
    _require_reduction(reduction)
    if 0 in dist.shape[-2:]:
        raise ValueError(f"bimhm_distance needs frames on both sides, got distances of shape {tuple(dist.shape)}")
    dist = at_least_float32(dist)
    nearest = [dist.amin(dim=-1), dist.amin(dim=-2)][: 1 + bidirectional]
    sums = [part.sum(dim=-1) if reduction == "sum" else part.mean(dim=-1) for part in nearest]
    return sums[0] + sums[1] if bidirectional else sums[0]


@MODELS.register_module()
class BiMHMMatcher(FrameMatcher):
    """`bimhm_distance` on cosine distances of frames, between queries and the classes of their supports.

    Args:
        reduction, bidirectional: see `bimhm_distance`.
        similarity: 'l2' is HyRSM's, see `frame_distances`.
        eps, shots: see `FrameMatcher`.

    Raises:
        ValueError: unknown `reduction`, `similarity` or `shots`, negative `eps`.
    """

    def __init__(
        self,
        reduction: Reduction = "sum",
        similarity: Similarity = "eps_product",
        eps: float = 0.01,
        bidirectional: bool = True,
        shots: Shots = "prototype_mean",
    ) -> None:
        super().__init__(eps=eps, similarity=similarity, shots=shots)
        _require_reduction(reduction)
        self.reduction: Reduction = reduction
        self.bidirectional = bidirectional

    def clip_distance(self, dist: Tensor) -> Tensor:
        """Distances (...) of pairs of clips from those of their frames (..., L, M)."""
        return bimhm_distance(dist, self.reduction, self.bidirectional)


def _require_reduction(reduction: str) -> None:
    if reduction not in _REDUCTIONS:
        raise ValueError(
            f"unknown reduction '{reduction}'; known: {', '.join(_REDUCTIONS)}{did_you_mean(reduction, _REDUCTIONS)}"
        )
