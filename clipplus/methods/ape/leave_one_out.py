"""A cache that is asked about its own keys, each without itself: what a search can use where there are no other images.

The query's own key is taken out, and what is left of its class is multiplied by n / (n - 1), n being the keys of the
class: every other class keeps all of its keys, and without the factor alpha would come out too large.
Shape letters of this file: P queries that are keys themselves, M keys, C classes, G gammas, J terms.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clipplus.methods.ape.curves import AffinitySeries


class OwnKeys:
    """What tells a key's class from what the class says about it.

    Args:
        key_labels: (M,), every class with two keys or more.
        key_weights: (G, M).
    """

    def __init__(self, key_labels: Int[Tensor, " M"], key_weights: Float[Tensor, "G M"]) -> None:
        counts = torch.bincount(key_labels)[key_labels].double()
        self._labels, self._weights = key_labels, key_weights
        #: (M,) n / (n - 1)
        self.factor = counts / (counts - 1)

    def left_out_weights(self, weights: Float[Tensor, "P M"], own: Int[Tensor, " P"]) -> Float[Tensor, "P M"]:
        """Weights of the keys for queries that are the keys `own`."""
        same_class = self._labels == self._labels[own][:, None]
        left = torch.where(same_class, weights * self.factor[own][:, None], weights)
        return left.scatter(1, own[:, None], 0.0)

    def leave_out(
        self,
        moments: Float[Tensor, "P C G J"],
        own_similarity: Float[Tensor, " P"],
        own: Int[Tensor, " P"],
        series: AffinitySeries,
    ) -> None:
        """Take the keys `own` out of the moments of their classes, in place."""
        terms = torch.stack(list(series.terms(1 - own_similarity)), dim=1)
        queries, classes = torch.arange(len(own), device=own.device), self._labels[own]
        mine = self._weights[:, own].T[:, :, None] * terms[:, None]
        moments[queries, classes] = (moments[queries, classes] - mine) * self.factor[own][:, None, None]


def require_left_out(labels: Tensor, ids: Sequence[str]) -> None:
    """Refuse shots that say nothing once one of them is left out.

    Raises:
        ValueError: a class of one shot, or the same image twice.
    """
    counts = torch.bincount(labels)
    if int(counts[counts > 0].min()) < 2:
        raise ValueError(
            "train_cfg.search.on='loo' asks every shot about the others of its class, but class "
            f"{int((counts == 1).nonzero()[0])} has one shot only: take num_shots of at least 2, or search on 'val'"
        )
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if list(ids).count(name) > 1)
        raise ValueError(
            f"train_cfg.search.on='loo': '{twice}' is among the shots more than once and would recognise itself: set "
            "replace_short='keep' in the FewShotSubset"
        )
