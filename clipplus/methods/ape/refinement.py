"""Prior refinement: the feature channels that tell the classes apart (Zhu et al. 2023, arXiv 2304.01195, section 3).

Everything comes from one sum and one count per class, so that new keys and new classes cost O(D) each.
Shape letters of this file: C classes, M keys of all classes together, D channels of a feature, Q selected ones.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

Source = Literal["all", "text"]
Balance = Literal["class", "pairs"]


class ClassTotals(NamedTuple):
    """What the criterion knows of the members of a class: its text row and, unless only texts count, its keys."""

    sums: Float[Tensor, "C D"]
    counts: Int[Tensor, " C"]


class Refinement(NamedTuple):
    """Per channel, float64: `criterion = -weights[0] * similarity + weights[1] * variance`."""

    criterion: Float[Tensor, " D"]
    similarity: Float[Tensor, " D"]
    variance: Float[Tensor, " D"]


def prior_refinement(
    text: Float[Tensor, "C D"],
    keys: Float[Tensor, "M D"],
    labels: Int[Tensor, " M"],
    weights: Sequence[float],
    source: Source = "all",
    balance: Balance = "class",
) -> Refinement:
    """How well each channel separates the classes: high where classes differ and class texts vary.

    Args:
        text: (C, D), unit rows, one per class.
        keys: (M, D), unit rows, in any order.
        labels: (M,), the class of each key.
        weights: (w0, w1) of similarity and variance, not negative; published per data set.
        source: whose products the similarity averages: `all` is texts and keys (APE), `text` the class texts (APE-T).
        balance: see `interclass_similarity`.

    Raises:
        ValueError: see `add_keys` and `refine`.
    """
    return refine(text, class_totals(text, keys, labels, source), weights, balance)


def class_totals(
    text: Float[Tensor, "C D"], keys: Float[Tensor, "M D"], labels: Int[Tensor, " M"], source: Source = "all"
) -> ClassTotals:
    """Sum and number of the members of every class. New keys are added to them with `add_keys`.

    Float64, so that the selected channels do not depend on the order in which a device adds.

    Raises:
        ValueError: see `add_keys`.
    """
    own = ClassTotals(text.double(), torch.ones(len(text), dtype=torch.int64, device=text.device))
    return own if source == "text" else add_keys(own, keys, labels)


def add_keys(totals: ClassTotals, keys: Float[Tensor, "M D"], labels: Int[Tensor, " M"]) -> ClassTotals:
    """The totals with more members.

    Raises:
        ValueError: a label outside of 0..C-1.
    """
    classes = len(totals.counts)
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(
            f"labels must lie in 0..{classes - 1}, since there are {classes} class texts; "
            f"got {int(labels.min())}..{int(labels.max())}"
        )
    return ClassTotals(
        totals.sums.index_add(0, labels, keys.to(totals.sums.dtype)),
        totals.counts + torch.bincount(labels, minlength=classes),
    )


def refine(
    text: Float[Tensor, "C D"], totals: ClassTotals, weights: Sequence[float], balance: Balance = "class"
) -> Refinement:
    """The criterion from class totals; `prior_refinement` for those who keep the totals.

    Similarity and variance are weighed as they are, without a common scale (so does the published code).

    Args:
        text: (C, D), unit rows. Their unbiased variance over the classes is the second term.
        totals: of the same C classes.
        weights: (w0, w1) of similarity and variance, not negative.
        balance: see `interclass_similarity`.

    Raises:
        ValueError: not two weights, a negative one, or a single class.
    """
    if len(weights) != 2 or not all(weight >= 0 for weight in weights):
        raise ValueError(
            f"weights must be two numbers (of similarity and of variance), none of them negative, got {tuple(weights)}"
        )
    similarity = interclass_similarity(totals, balance)
    variance = text.to(similarity.dtype).var(dim=0, correction=1)
    return Refinement(weights[1] * variance - weights[0] * similarity, similarity, variance)


def interclass_similarity(totals: ClassTotals, balance: Balance = "class") -> Float[Tensor, " D"]:
    """Mean product per channel, u_d * v_d, over all ordered pairs (u, v) of members of different classes.

    With T_i the sum of the n_i members of class i and n = sum_i n_i, the pairs need not be listed:

        S_d = ((sum_i T_id)^2 - sum_i T_id^2) / (n^2 - sum_i n_i^2).

    Args:
        totals: T and n.
        balance: `pairs` weighs all pairs of members alike, `class` all pairs of classes (T_i / n_i in place of T_i, and
            n_i = 1). They agree where all classes have the same number of members, the only case that was published.

    Raises:
        ValueError: a single class, which has no pair.
    """
    sums, counts = totals.sums, totals.counts.to(totals.sums.dtype)
    if len(counts) < 2:
        raise ValueError("prior refinement compares classes with each other and needs at least 2, got 1")
    if balance == "class":
        sums, counts = sums / counts[:, None], torch.ones_like(counts)
    pairs = counts.sum().square() - counts.square().sum()
    return (sums.sum(dim=0).square() - sums.square().sum(dim=0)) / pairs


def select_channels(criterion: Float[Tensor, " D"], num: int) -> Int[Tensor, " Q"]:
    """Indices of the `num` largest criteria, largest first; among equal ones the lower index.

    Raises:
        ValueError: `num` below 1 or above D.
    """
    if not 1 <= num <= len(criterion):
        raise ValueError(f"num_channels must lie in 1..{len(criterion)}, the channels of a feature, got {num}")
    return criterion.sort(descending=True, stable=True).indices[:num]
