"""Logits of a cache of labelled features beside CLIP's zero-shot ones: Tip-Adapter, APE and APE-T.

Each class collects what its keys say of a query; the collected weight, times alpha, is added to the zero-shot logits.
Tip-Adapter: Zhang et al. 2022, arXiv 2207.09519; APE and APE-T: Zhu et al. 2023, arXiv 2304.01195, section 3.
Shape letters of this file: N queries, M keys, C classes, D channels of a feature, Q selected ones, G gammas.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

#: CLIP's temperature; the published methods use this constant, not a model's own `logit_scale`.
SCALE = 100.0

# Cosines of keys and class texts held at once by `key_divergence`.
_COSINES_PER_BLOCK = 2**24


def unit(rows: Float[Tensor, "N D"]) -> Float[Tensor, "N D"]:
    """Rows of length 1. Rows of zeros become NaN: who reads features must refuse them."""
    return rows / rows.norm(dim=-1, keepdim=True)


def zero_shot_logits(
    features: Float[Tensor, "N D"], text: Float[Tensor, "C D"], scale: float = SCALE
) -> Float[Tensor, "N C"]:
    """`scale` times the cosine of every query and class text, both unit rows."""
    return scale * features @ text.T


def segment_sum(values: Float[Tensor, "N M"], labels: Int[Tensor, " M"], classes: int) -> Float[Tensor, "N C"]:
    """Sum of the columns of each class; the product with one-hot labels, without the zeros.

    Labels may come in any order, and a class may have any number of columns, also none.
    """
    # Rows are added as a whole, many times faster than scattered columns.
    return values.new_zeros(classes, len(values)).index_add(0, labels, values.T).T


def cache_logits(
    similarity: Float[Tensor, "N M"],
    labels: Int[Tensor, " M"],
    classes: int,
    beta: float,
    key_weights: Float[Tensor, " M"] | None = None,
) -> Float[Tensor, "N C"]:
    """What the keys of each class say of each query: sum over its keys m of `w_m * exp(-beta * (1 - s_nm))`.

    Args:
        similarity: (N, M), query times key.
        labels: (M,), the class of each key.
        classes: C.
        beta: sharpness; 0 counts all keys alike, large values only the nearest.
        key_weights: (M,); None weighs all keys alike (Tip-Adapter).
    """
    affinity = torch.exp(beta * (similarity - 1))
    return segment_sum(affinity if key_weights is None else affinity * key_weights, labels, classes)


def adapted_logits(
    zero_shot: Float[Tensor, "N C"],
    similarity: Float[Tensor, "N M"],
    labels: Int[Tensor, " M"],
    alpha: float,
    beta: float,
    key_weights: Float[Tensor, " M"] | None = None,
) -> Float[Tensor, "N C"]:
    """Zero-shot logits plus alpha times `cache_logits`: Tip-Adapter and APE.

    For APE, `similarity` is that of the selected channels (rows cut, then of length 1 again), and `key_weights` those
    of `divergence_weights`; Tip-Adapter uses all channels and no weights. alpha = 0 is zero-shot CLIP.
    """
    return zero_shot + alpha * cache_logits(similarity, labels, zero_shot.shape[1], beta, key_weights)


def residual_logits(
    zero_shot: Float[Tensor, "N C"],
    similarity: Float[Tensor, "N M"],
    labels: Int[Tensor, " M"],
    selected: Float[Tensor, "N Q"],
    residual: Float[Tensor, "C Q"],
    value_weights: Float[Tensor, " M"],
    alpha: float,
    beta: float,
    scale: float = SCALE,
) -> Float[Tensor, "N C"]:
    """APE-T: one residual per class moves its text and all of its keys in the selected channels.

    Adding the residual of class c to its text and its keys adds the same r_nc = <selected_n, residual_c> to all of
    their products with query n, hence, with `w` the value weights,

        logits_nc = zero_shot_nc + scale * r_nc + alpha * exp(beta * r_nc) * sum_{y_m = c} w_m exp(-beta (1 - s_nm)),

    exactly the published form, without a copy of texts and keys in every step. Nothing is of length 1 again afterwards
    (so does the published code).

    Args:
        zero_shot: (N, C), of the unmoved texts.
        similarity: (N, M), query times unmoved key; all channels of both, as in the published code.
        labels: (M,), the class of each key.
        selected: (N, Q), the queries in the channels of the residual, as they entered `similarity`.
        residual: (C, Q).
        value_weights: (M,), 1 at the start of the training.
        alpha: weight of the cache.
        beta: its sharpness.
        scale: of the zero-shot logits.
    """
    shift = selected @ residual.T
    cached = cache_logits(similarity, labels, len(residual), beta, value_weights)
    return zero_shot + scale * shift + alpha * torch.exp(beta * shift) * cached


def key_divergence(
    keys: Float[Tensor, "M Q"], text: Float[Tensor, "C Q"], labels: Int[Tensor, " M"]
) -> Float[Tensor, " M"]:
    """How far each key is from being classified as its own class, in bits.

    KL(one-hot || p) with p the softmax of the key's cosines with the class texts at temperature 1, both sides shifted
    by 1e-6 as in the published code. Cosines differ little at this temperature, so that values are close to log2(C).

    Args:
        keys: (M, Q), unit rows of the selected channels.
        text: (C, Q), unit rows of the selected channels.
        labels: (M,), the class of each key.
    """
    blocks = []
    rows = max(1, _COSINES_PER_BLOCK // len(text))
    for block, own in zip(keys.split(rows), labels.split(rows), strict=True):
        probabilities = torch.softmax(block @ text.T, dim=1)
        blocks.append(probabilities.gather(1, own[:, None])[:, 0])
    return torch.log2((1 + 1e-6) / (torch.cat(blocks) + 1e-6))


def divergence_weights(divergence: Float[Tensor, " M"], gammas: Float[Tensor, " G"]) -> Float[Tensor, "G M"]:
    """APE's weights of the keys, `exp(gamma * divergence)`, for several gammas; 1 for gamma = 0."""
    return torch.exp(gammas[:, None].to(divergence.dtype) * divergence)
