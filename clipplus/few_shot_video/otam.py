"""Ordered temporal alignment (OTAM): how cheaply two clips can be played alongside each other.

`otam_distance` is the mathematics, `OTAMMatcher` what a config names. Shape letters of this file: L frames of a query,
M frames of a support, P pairs of clips.
"""

import itertools
import math
from typing import Any

import torch
from jaxtyping import Float
from mmengine.registry import MODELS
from torch import Tensor
from torch.autograd.function import once_differentiable

from clipplus.few_shot_video.distances import at_least_float32
from clipplus.few_shot_video.frame_matcher import FrameMatcher
from clipplus.few_shot_video.ways import Shots

_LOG_2 = math.log(2)


def otam_distance(
    dist: Float[Tensor, "*pairs L M"], smoothing: float = 0.5, bidirectional: bool = True
) -> Float[Tensor, "*pairs"]:
    """Soft cost of the cheapest ordered alignment of L query frames with M support frames.

    Cao et al. 2020, "Few-Shot Video Classification via Temporal Alignment", section 3.3. With a column of zeros on
    either side of `dist`, p (L, M + 2), and softmin(a, ..) = -smoothing * log(sum exp(-a / smoothing)):

        C[0, m]   = sum of p[0, :m + 1]
        C[l, 0]   = 0
        C[l, 1]   = p[l, 1] + softmin(C[l-1, 0], C[l-1, 1], C[l, 0])
        C[l, m]   = p[l, m] + softmin(C[l-1, m-1], C[l, m-1])                       for m = 2..M
        C[l, M+1] = softmin(C[l-1, M], C[l-1, M+1], C[l, M])

    and the distance is C[L-1, M+1]. The first row is a plain sum, and in column 1 both zeros count: the published code
    does so.

    All pairs are computed at once, column by column, which takes about L + M steps, and so is the gradient, without
    any graph in between. The precision is that of `dist`, float32 at least: autocast and half precision do not reach
    the sums.

    Args:
        dist: (..., L, M) frame distances, rows are query frames. Any sign, any finite size.
        smoothing: above 0; towards 0 the cost becomes that of the cheapest alignment, from below. The default is
            CLIP-FSAR's; OTAM's own code has 0.1.
        bidirectional: add the cost of the transposed matrix.

    Returns:
        (...), negative where distances are near 0: many free alignments cost less than one. One row costs its sum;
        a matrix of zeros a constant.

    Raises:
        ValueError: `smoothing` not above 0, or no frames.
    """
    _require_smoothing(smoothing)
    if 0 in dist.shape[-2:]:
        raise ValueError(f"otam_distance needs frames on both sides, got distances of shape {tuple(dist.shape)}")
    pairs, (rows, columns) = dist.shape[:-2], dist.shape[-2:]
    dist = at_least_float32(dist)
    # Columns first, pairs last: every step below reads and writes contiguous memory.
    there_MLP = dist.reshape(-1, rows, columns).permute(2, 1, 0)
    if not bidirectional:
        return _soft_costs(there_MLP, smoothing).view(pairs)
    back_LMP = there_MLP.transpose(0, 1)
    if rows == columns:
        both = _soft_costs(torch.cat([there_MLP, back_LMP], dim=2), smoothing)
        return both.view(2, *pairs).sum(0)
    return (_soft_costs(there_MLP, smoothing) + _soft_costs(back_LMP, smoothing)).view(pairs)


def _soft_costs(dist_MLP: Tensor, smoothing: float) -> Tensor:
    """Costs (P,) of one direction."""
    with torch.autocast(dist_MLP.device.type, enabled=False):
        costs: Tensor = _Alignment.apply(dist_MLP, smoothing)
    return costs


class _Alignment(torch.autograd.Function):
    """One direction for all pairs, in u = -C / smoothing and z = -dist / smoothing, where softmin is logaddexp.

    Three facts make the recursion short:

    * column 1 depends on itself alone: u[l, 1] = z[l, 1] + logaddexp(u[l-1, 1], log 2);
    * column m = 2..M depends on column m - 1 alone: u[l, m] = z[l, m] + logaddexp(u[l-1, m-1], u[l, m-1]), where for
      l = 0 the missing option is minus infinity;
    * column M + 1, unrolled, is one logsumexp over column M in which each row counts twice, the last one once.

    The gradient of u with respect to an option is its share exp(option - logaddexp), which is a sigmoid of the
    difference of the two options.
    """

    @staticmethod
    def forward(ctx: Any, dist_MLP: Tensor, smoothing: float) -> Tensor:
        z_MLP = (dist_MLP / -smoothing).contiguous()
        columns, rows, pairs = z_MLP.shape
        # Row 0 stands for the missing option above the first frame.
        u = z_MLP.new_empty(columns, rows + 1, pairs)
        u[:, 0] = -torch.inf
        first = u[0, 1:]
        first.copy_(z_MLP[0])
        zeros = z_MLP.new_full((pairs,), _LOG_2)
        for above, here in itertools.pairwise(first):
            here += torch.logaddexp(above, zeros)
        for above, left, here, step in zip(u[:-1, :-1], u[:-1, 1:], u[1:, 1:], z_MLP[1:], strict=True):
            torch.logaddexp(above, left, out=here).add_(step)
        ends_LP = u[-1, 1:] + _times_counted(rows, z_MLP)
        total_P = ends_LP.logsumexp(0)
        ctx.save_for_backward(u, (ends_LP - total_P).exp())
        return total_P * -smoothing

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_P: Tensor) -> tuple[Tensor, None]:
        u, share_LP = ctx.saved_tensors
        columns, rows, pairs = u.shape[0], u.shape[1] - 1, u.shape[2]
        # How much of a cell came from its left neighbour; the rest came from above that one.
        left = (u[:-1, 1:] - u[:-1, :-1]).sigmoid_()
        grad_MLP = u.new_zeros(columns, rows, pairs)
        torch.mul(share_LP, grad_P, out=grad_MLP[-1])
        grads = grad_MLP.unbind()
        for before, here, share in reversed(list(zip(grads[:-1], grads[1:], left, strict=True))):
            torch.mul(here, share, out=before)
            before[:-1] += here[1:] - before[1:]
        first = grads[0].unbind()
        stayed = (u[0, 1:-1] - _LOG_2).sigmoid_()
        for above, here, share in reversed(list(zip(first[:-1], first[1:], stayed, strict=True))):
            above.addcmul_(here, share)
        return grad_MLP, None


def _times_counted(rows: int, like: Tensor) -> Tensor:
    """(L, 1): logarithm of how often a row of column M counts in the end."""
    times = like.new_full((rows, 1), _LOG_2)
    times[-1] = 0
    return times


def _require_smoothing(smoothing: float) -> None:
    if not smoothing > 0:
        raise ValueError(f"smoothing must be above 0, got {smoothing}")


@MODELS.register_module()
class OTAMMatcher(FrameMatcher):
    """`otam_distance` on cosine distances of frames, between queries and the classes of their supports.

    Args:
        smoothing, bidirectional: see `otam_distance`. CLIP-FSAR has 0.5; the OTAM baseline of its tables 0.1.
        eps, shots: see `FrameMatcher`; CLIP-FSAR averages prototypes, the OTAM baseline distances.

    Raises:
        ValueError: `smoothing` not above 0, negative `eps`, unknown `shots`.
    """

    ordered = True

    def __init__(
        self, smoothing: float = 0.5, eps: float = 0.01, bidirectional: bool = True, shots: Shots = "prototype_mean"
    ) -> None:
        super().__init__(eps=eps, shots=shots)
        _require_smoothing(smoothing)
        self.smoothing, self.bidirectional = smoothing, bidirectional

    def clip_distance(self, dist: Tensor) -> Tensor:
        """Distances (...) of pairs of clips from those of their frames (..., L, M)."""
        return otam_distance(dist, self.smoothing, self.bidirectional)
