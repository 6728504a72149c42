"""What every class collects from its keys, as a curve over beta, at the cost of a few betas.

The sum over the keys of a class, Z(beta) = sum_k w_k exp(-beta d_k) with d_k = 1 - similarity, is smooth in d_k: on the
range of the distances a Chebyshev series of J terms, with coefficients that only depend on beta, is exact to rounding.
The sums of the J polynomials over the keys ("moments") therefore hold Z for all betas, and for all key weights:

    exp(-beta d) = sum_j coefficient_j(beta) T_j(x),    x = (d - middle) / half range in [-1, 1],
    Z(beta) = sum_j coefficient_j(beta) * moment_j,     moment_j = sum_k w_k T_j(x_k).

J is 15 to 25 for the published grids of 200 betas. Where there are fewer betas than terms, the exponentials
themselves take the place of the polynomials.
Shape letters of this file: N queries, M keys, C classes, G gammas, B betas, J terms, R rows of W keys of one class.
"""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

# Truncation of the series, relative to the affinity of the nearest key: as large as rounding in float64.
_TRUNCATION = 1e-16


class KeyRows:
    """Keys sorted into rows of equal length, each of one class; a small product per row replaces scattered sums.

    Rows are as long as the average class has keys, so that padding at most doubles them, however unequal the classes.

    Args:
        labels: (M,), the class of each key, in any order.
        weights: (G, M), weights of the keys.
        classes: C.
    """

    def __init__(self, labels: Int[Tensor, " M"], weights: Float[Tensor, "G M"], classes: int) -> None:
        counts = torch.bincount(labels, minlength=classes)
        width = math.ceil(len(labels) / classes)
        rows_per_class = (counts + width - 1) // width
        first_row = rows_per_class.cumsum(0) - rows_per_class
        order = labels.argsort(stable=True)
        place = torch.arange(len(labels), device=labels.device) - (counts.cumsum(0) - counts)[labels[order]]
        slots = (first_row[labels[order]] * width + place).long()
        rows = int(rows_per_class.sum())
        self.classes = classes
        #: (R * W,) the key of each slot; unused slots name key 0, with weight 0.
        self.keys = torch.zeros(rows * width, dtype=torch.int64, device=labels.device).index_copy_(0, slots, order)
        #: (R, G, W) weights of the slots.
        self.weights = (
            weights.new_zeros(len(weights), rows * width)
            .index_copy_(1, slots, weights[:, order])
            .unflatten(1, (rows, width))
            .transpose(0, 1)
            .contiguous()
        )
        self._class_of_row = torch.repeat_interleave(torch.arange(classes, device=labels.device), rows_per_class)
        self._one_row_each = bool((rows_per_class == 1).all())

    def arrange(self, similarity: Float[Tensor, "N M"]) -> Float[Tensor, "R W N"]:
        """Similarities by row and slot."""
        rows, _, width = self.weights.shape
        return similarity.T[self.keys].unflatten(0, (rows, width))

    def sum_into(self, sums: Float[Tensor, "C G N"], values: Float[Tensor, "R W N"]) -> None:
        """Weighted sum over the keys of each class, for every gamma."""
        if self._one_row_each:
            torch.bmm(self.weights, values, out=sums)
        else:
            sums.zero_().index_add_(0, self._class_of_row, self.weights @ values)


class AffinitySeries:
    """The series of exp(-beta d) for distances between `low` and `high`.

    Args:
        betas: (B,) float64, not negative.
        low: smallest distance.
        high: largest distance.
    """

    def __init__(self, betas: Float[Tensor, " B"], low: float, high: float) -> None:
        self._betas, self._low, self._half = betas, low, (high - low) / 2
        terms = _chebyshev_terms(float(betas.max()) * self._half, most=len(betas))
        self._polynomial = terms < len(betas)
        #: Rounding of a sum of affinities, relative to the sum of its weights times the nearest affinity: an allowance,
        #: tens of times what was seen. Distances are rounded before beta multiplies them.
        self.error = 1e-14 * (10 + float(betas.max()) * (high - low))
        if self._polynomial:
            angles = (torch.arange(terms, dtype=betas.dtype, device=betas.device) + 0.5) * (math.pi / terms)
            at_nodes = torch.exp(-betas * (low + self._half * (1 + angles.cos()))[:, None])
            cosines = (torch.arange(terms, dtype=betas.dtype, device=betas.device)[:, None] * angles).cos()
            cosines[0] /= 2
            #: (J, B)
            self.coefficients = cosines @ at_nodes * (2 / terms)
        else:
            self.coefficients = torch.diag(torch.exp(-betas * low))

    def terms(self, distance: Tensor) -> Iterator[Tensor]:
        """The J terms of each distance, one after another; do not write into them."""
        if not self._polynomial:
            above = distance - self._low
            for beta in self._betas.tolist():
                yield torch.exp(-beta * above)
            return
        # Equal distances have no range; x is then rounding, and its coefficients vanish.
        x = (distance - (self._low + self._half)).div_(max(self._half, 1e-300)).clamp_(-1, 1)
        before, term = torch.ones_like(x), x
        yield before
        double = 2 * x
        for _ in range(len(self.coefficients) - 1):
            yield term
            before, term = term, (double * term).sub_(before)


def _chebyshev_terms(argument: float, most: int) -> int:
    """How many terms exp(-argument * (1 + x)) needs on [-1, 1], or `most` if they are more.

    Its coefficients are 2 I_j(argument) exp(-argument); the modified Bessel function I_j(z) is at most
    (z/2)^j / j! * exp(z^2 / (4 (j + 1))), which says nothing below j = z.
    """
    for terms in range(math.ceil(argument) + 1, most):
        last = terms - 1
        bound = last * math.log(argument / 2) if argument else -math.inf
        bound += argument**2 / (4 * terms) - math.lgamma(terms) - argument
        if bound < math.log(_TRUNCATION):
            return terms
    return most


def class_moments(similarity: Float[Tensor, "N M"], rows: KeyRows, series: AffinitySeries) -> Float[Tensor, "N C G J"]:
    """The moments of every class: `moments @ series.coefficients` is (N, C, G, B), the curves."""
    distance = 1 - rows.arrange(similarity)
    gammas = rows.weights.shape[1]
    moments = distance.new_empty(len(series.coefficients), rows.classes, gammas, len(similarity))
    for sums, term in zip(moments, series.terms(distance), strict=True):
        rows.sum_into(sums, term)
    return moments.permute(3, 1, 2, 0).contiguous()
