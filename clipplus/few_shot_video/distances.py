"""Distances between the frames of two clips.

Shape letters of this file: E episodes, Q queries, S supports, T frames of a query, U frames of a support, D channels.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from clipplus.did_you_mean import did_you_mean

Similarity = Literal["eps_product", "l2"]
_SIMILARITIES = ("eps_product", "l2")


def at_least_float32(values: Tensor) -> Tensor:
    """`values` in float32, or as they are when that is more exact."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def eps_cosine(
    a: Float[Tensor, "*#batch N D"], b: Float[Tensor, "*#batch M D"], eps: float
) -> Float[Tensor, "... N M"]:
    """Cosine similarity of all rows of `a` with all rows of `b`, `<a, b> / (|a| |b| + eps)`.

    `eps` is added to the product of the norms, so that short features are less similar than long ones, and those of
    length 0 have similarity 0 and a gradient of 0.
    """
    norms_NM = a.norm(dim=-1)[..., :, None] * b.norm(dim=-1)[..., None, :]
    return a @ b.transpose(-1, -2) / (norms_NM + eps)


def frame_distances(
    query: Float[Tensor, "E Q T D"],
    support: Float[Tensor, "E S U D"] | Float[Tensor, "E Q S U D"],
    eps: float = 0.01,
    similarity: Similarity = "eps_product",
) -> Float[Tensor, "E Q S T U"]:
    """One minus the cosine similarity of every frame of a query with every frame of a support, in float32 at least.

    Args:
        query: (E, Q, T, D), not normalised.
        support: (E, S, U, D), or (E, Q, S, U, D) where supports depend on the query (HyRSM).
        eps: see `eps_cosine`; the default is that of OTAM, TRX and CLIP-FSAR.
        similarity: 'eps_product', or 'l2' for features normalised to length 1 (HyRSM; `eps` means nothing then).

    Raises:
        ValueError: unknown similarity.
    """
    require_similarity(similarity)
    with torch.autocast(query.device.type, enabled=False):
        query, support = at_least_float32(query), at_least_float32(support)
        if similarity == "l2":
            query, support, eps = F.normalize(query, dim=-1), F.normalize(support, dim=-1), 0.0
        if support.dim() == 5:
            supports, frames = support.shape[2:4]
            cosines = _cosines(query, support.flatten(2, 3), eps, similarity)
            return 1 - cosines.unflatten(-1, (supports, frames)).transpose(2, 3)
        cosines = _cosines(query.flatten(1, 2), support.flatten(1, 2), eps, similarity)
        cosines = cosines.unflatten(-1, support.shape[1:3]).unflatten(1, query.shape[1:3])
        return 1 - cosines.transpose(2, 3)


def _cosines(a: Tensor, b: Tensor, eps: float, similarity: Similarity) -> Tensor:
    return a @ b.transpose(-1, -2) if similarity == "l2" else eps_cosine(a, b, eps)


def require_similarity(similarity: str) -> None:
    """Refuse an unknown one.

    Raises:
        ValueError: names the known ones.
    """
    if similarity not in _SIMILARITIES:
        raise ValueError(
            f"unknown similarity '{similarity}'; known: {', '.join(_SIMILARITIES)}"
            f"{did_you_mean(similarity, _SIMILARITIES)}"
        )


def require_eps(eps: float) -> None:
    """Refuse an eps below 0.

    Raises:
        ValueError: says so.
    """
    if not eps >= 0:
        raise ValueError(f"eps must not be negative, got {eps}")
