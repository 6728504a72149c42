"""Which way of its episode a support belongs to, and what is averaged over the shots of a way.

Labels live on the CPU: an episode's layout is known before its pixels are, and reading it there costs no
synchronisation with a device. Shape letters of this file: E episodes, S supports, W ways.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clipplus.did_you_mean import did_you_mean

Shots = Literal["prototype_mean", "distance_mean"]
_SHOTS = ("prototype_mean", "distance_mean")


@dataclass(frozen=True)
class Ways:
    """The layout of a batch of episodes.

    Attributes:
        labels: (E, W) int64 on the CPU, the different support labels of each episode, ascending: the order of all
            columns.
        position: (E, S) int64 on the CPU, the column of each support.
    """

    labels: Int[Tensor, "E W"]
    position: Int[Tensor, "E S"]

    @classmethod
    def of(cls, support_label: Tensor) -> "Ways":
        """Read the layout.

        Args:
            support_label: (E, S) integers, of any size and in any order. On the CPU nothing waits for a device.

        Raises:
            TypeError: labels that are no integers.
            ValueError: no supports, or episodes with different numbers of ways.
        """
        if support_label.is_floating_point() or support_label.is_complex() or support_label.dtype == torch.bool:
            raise TypeError(f"support_label must be integers, got {support_label.dtype}")
        if support_label.dim() != 2 or 0 in support_label.shape:
            raise ValueError(
                f"support_label must be (episodes, supports), both above 0, got {tuple(support_label.shape)}"
            )
        ordered, order = support_label.cpu().long().sort(dim=1, stable=True)
        is_first = torch.ones_like(ordered, dtype=torch.bool)
        is_first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
        column = is_first.cumsum(dim=1) - 1
        numbers = (column[:, -1] + 1).tolist()
        if len(set(numbers)) > 1:
            raise ValueError(f"episodes of one batch must have equally many ways, got {numbers}")
        position = torch.empty_like(column).scatter_(1, order, column)
        return cls(ordered[is_first].view(len(ordered), numbers[0]), position)

    @property
    def number(self) -> int:
        """How many ways, W."""
        return self.labels.shape[1]

    @cached_property
    def counts(self) -> Int[Tensor, "E W"]:
        """Shots of each way."""
        return torch.zeros_like(self.labels).scatter_add_(1, self.position, torch.ones_like(self.position))

    @cached_property
    def equal_shots(self) -> int | None:
        """Shots per way when all ways of all episodes have equally many."""
        first = int(self.counts[0, 0])
        return first if bool((self.counts == first).all()) else None

    def weights(self, like: Tensor) -> Float[Tensor, "E S W"]:
        """The matrix that averages over the shots of each way, with the dtype and device of `like`."""
        one_hot = torch.nn.functional.one_hot(self.position, self.number)
        return (one_hot.to(like.dtype) / self.counts[:, None]).to(like.device, non_blocking=True)

    def columns(self, query_label: Tensor) -> Int[Tensor, "E Q"]:
        """Positions among the columns, on the CPU, of the queries' labels (E, Q).

        Raises:
            TypeError: labels that are no integers.
            ValueError: a query of a class that is not among the supports; names episode, query and label.
        """
        if query_label.is_floating_point() or query_label.dtype == torch.bool:
            raise TypeError(f"query_label must be integers, got {query_label.dtype}")
        same = query_label.cpu().long()[:, :, None] == self.labels[:, None, :]
        if not bool(same.any(dim=2).all()):
            episode, query = (~same.any(dim=2)).nonzero()[0].tolist()
            raise ValueError(
                f"query {query} of episode {episode} in the batch has label {int(query_label[episode, query])}, but "
                f"its supports have {self.labels[episode].tolist()}"
            )
        return same.int().argmax(dim=2)


def mean_over_shots(values: Tensor, ways: Ways, dim: int = 1) -> Tensor:
    """Average over the shots of each way, (E, ..., S, ...) -> (E, ..., W, ...).

    Args:
        values: (E, ..., S, ...).
        ways: the layout.
        dim: where S stands, from 1.
    """
    if ways.equal_shots == 1 and bool((ways.position == torch.arange(ways.number)).all()):
        return values
    weights_ESW = ways.weights(values)
    moved = values.movedim(dim, 1)
    mean = torch.einsum("es...,esw->ew...", moved, weights_ESW)
    return mean.movedim(1, dim)


def require_shots(shots: str) -> None:
    """Refuse an unknown way of treating shots.

    Raises:
        ValueError: names the known ones.
    """
    if shots not in _SHOTS:
        raise ValueError(f"unknown shots '{shots}'; known: {', '.join(_SHOTS)}{did_you_mean(shots, _SHOTS)}")
