"""Counting, for all alphas, betas and gammas at once, the queries whose own class wins.

For one query, beta and gamma, let a_c be the zero-shot logit of class c and z_c what it collects from its keys. The
label l wins at alpha if alpha (z_l - z_c) >= a_c - a_l for all other classes. With q_c = (z_l - z_c) / |a_c - a_l|,

    classes above the label (a_c > a_l):  alpha * min q_c >=  1,     a lower end of the winning alphas;
    classes below the label (a_c < a_l):  alpha * min q_c >= -1,     an upper end;
    classes beside the label (a_c = a_l):         min q_c >=  0,     with |a_c - a_l| replaced by 1.

So one minimum per group of classes decides all alphas. q_c is linear in the moments of the curves, hence one matrix
product per query gives it for all betas and gammas. Every end is known up to rounding; where a grid alpha lies within
it (ties among them), the cell is decided by the plain formula.
Shape letters of this file: N queries, M keys, C classes, G gammas, B betas, A alphas, J terms, R rivals of the label
(C - 1), P cells decided singly.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clipplus.methods.ape.logits import segment_sum

# Zero-shot logits that differ by less count as equal: q of a pair that is nearly equal would only carry rounding.
_BESIDE = 1e-7
# Rounding of logits, relative to the largest zero-shot logit.
_LOGIT_ERROR = 1e-14


class WinningAlphas(NamedTuple):
    """The alphas for which the label wins, `low <= alpha <= high`: surely (inner ends), or possibly (outer ends)."""

    sure_low: Float[Tensor, "N G B"]
    sure_high: Float[Tensor, "N G B"]
    possible_low: Float[Tensor, "N G B"]
    possible_high: Float[Tensor, "N G B"]


def label_wins(logits: Float[Tensor, "N C"], targets: Int[Tensor, " N"]) -> Bool[Tensor, " N"]:
    """Whether `argmax` is the target, ties going to the lower class on all devices."""
    own = logits.gather(1, targets[:, None])
    lower = torch.arange(logits.shape[1], device=logits.device) < targets[:, None]
    return ~((logits > own) | ((logits == own) & lower)).any(dim=1)


def winning_alphas(
    zero_shot: Float[Tensor, "N C"],
    moments: Float[Tensor, "N C G J"],
    coefficients: Float[Tensor, "J B"],
    sum_error: Float[Tensor, "G B"],
    targets: Int[Tensor, " N"],
    smallest_alpha: float,
) -> WinningAlphas:
    """Ends of the winning alphas of every query, gamma and beta.

    Args:
        zero_shot: (N, C) zero-shot logits.
        moments: (N, C, G, J) of the curves of all classes.
        coefficients: (J, B), so that `moments @ coefficients` are the curves.
        sum_error: (G, B), how far a point of a curve may be off.
        targets: (N,), the labels.
        smallest_alpha: of the grid, positive.
    """
    gaps, order = _rivals_by_gap(zero_shot, targets)
    above, beside = (gaps > _BESIDE).sum(dim=1).tolist(), (gaps.abs() <= _BESIDE).sum(dim=1).tolist()
    scales = torch.where(gaps.abs() > _BESIDE, gaps.abs(), 1).reciprocal()[:, :, None, None]
    least = moments.new_full((3, len(targets), *sum_error.shape), torch.inf)
    for n, target in enumerate(targets.tolist()):
        lead = (moments[n, target] - moments[n, order[n]]).mul_(scales[n])
        quotients = lead @ coefficients
        groups = quotients.split([above[n], beside[n], len(quotients) - above[n] - beside[n]])
        for group, minimum in zip(groups, least[:, n], strict=True):
            if len(group):
                torch.amin(group, dim=0, out=minimum)
    return _ends(least, gaps, zero_shot.abs().amax(dim=1), sum_error, smallest_alpha)


def _rivals_by_gap(zero_shot: Tensor, targets: Tensor) -> tuple[Float[Tensor, "N R"], Int[Tensor, "N R"]]:
    """By how much the other classes exceed the label, largest first, and which classes they are."""
    gaps = zero_shot - zero_shot.gather(1, targets[:, None])
    ranked, order = gaps.scatter(1, targets[:, None], -torch.inf).sort(dim=1, descending=True)
    return ranked[:, :-1], order[:, :-1]


def _ends(
    least: Float[Tensor, "3 N G B"],
    gaps: Float[Tensor, "N R"],
    largest_logit: Float[Tensor, " N"],
    sum_error: Float[Tensor, "G B"],
    smallest_alpha: float,
) -> WinningAlphas:
    above, beside, below = least
    logit_error = (_LOGIT_ERROR * largest_logit)[:, None, None]

    def relative(group: Tensor) -> tuple[Tensor, Tensor]:
        """Errors of the quotients and of the 1 on the right side, for the smallest gap of a group."""
        smallest = torch.where(group, gaps.abs(), torch.inf).amin(dim=1)[:, None, None]
        return sum_error / smallest, logit_error / smallest

    slope, offset = relative(gaps > _BESIDE)
    sure_low = _positive_ratio(1 + offset, above - slope)
    possible_low = _positive_ratio(1 - offset, above + slope)
    slope, offset = relative(gaps < -_BESIDE)
    sure_high = _positive_ratio(1 - offset, slope - below)
    possible_high = _positive_ratio(1 + offset, -slope - below)
    doubt = sum_error + (_BESIDE + logit_error) / smallest_alpha
    return WinningAlphas(
        sure_low.masked_fill_(beside < doubt, torch.inf),
        sure_high,
        possible_low.masked_fill_(beside < -doubt, torch.inf),
        possible_high,
    )


def _positive_ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """The quotient, infinite where the denominator is not positive."""
    return torch.where(denominator > 0, numerator / denominator, torch.inf)


def count_hits(alphas: Float[Tensor, " A"], wins: WinningAlphas) -> tuple[Int[Tensor, "A G B"], Bool[Tensor, "N G B"]]:
    """Queries whose label surely wins, and the queries, gammas and betas that they leave out.

    Left out is where an alpha lies between the inner and the outer ends: rounding decides, see `plain_hits`.
    """
    sure = _count(alphas, wins.sure_low, wins.sure_high)
    open_cells = torch.zeros_like(wins.sure_low, dtype=torch.bool)
    if torch.equal(sure, _count(alphas, wins.possible_low, wins.possible_high)):
        return sure, open_cells
    for alpha in alphas:
        surely = (wins.sure_low <= alpha) & (alpha <= wins.sure_high)
        open_cells |= surely ^ ((wins.possible_low <= alpha) & (alpha <= wins.possible_high))
    return _count(alphas, wins.sure_low.masked_fill(open_cells, torch.inf), wins.sure_high), open_cells


def _count(alphas: Tensor, low: Tensor, high: Tensor) -> Int[Tensor, "A G B"]:
    return torch.stack([((low <= alpha) & (alpha <= high)).sum(dim=0) for alpha in alphas])


def plain_hits(
    alphas: Float[Tensor, " A"],
    zero_shot: Float[Tensor, "P C"],
    similarity: Float[Tensor, "P M"],
    key_labels: Int[Tensor, " M"],
    key_weights: Float[Tensor, "P M"],
    targets: Int[Tensor, " P"],
    betas: Float[Tensor, " P"],
) -> Bool[Tensor, "A P"]:
    """Whether the label of each query wins by `adapted_logits`, each with its own beta and key weights."""
    affinity = torch.exp(betas[:, None] * (similarity - 1)) * key_weights
    collected = segment_sum(affinity, key_labels, zero_shot.shape[1])
    return torch.stack([label_wins(zero_shot + alpha * collected, targets) for alpha in alphas])
