"""Grid search for alpha, beta and gamma on labelled features.

Shape letters of this file: N labelled queries, M keys, C classes, D channels of a feature, G gammas, A alphas, B betas.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clipplus.methods.ape.logits import adapted_logits


@dataclass(frozen=True)
class SearchGrid:
    """The values that are tried, as published: equidistant, the end of the range left out.

    beta_i = 0.1 + i (scale - 0.1) / steps, alpha likewise, gamma_i = i scale / steps, for i = 0 .. steps - 1.

    Args:
        scale: ends of (beta, alpha, gamma), or of (beta, alpha) for methods without gamma, whose only gamma is then 0.
        steps: numbers of values, in the same order.
        include_zero_alpha: whether alpha = 0 is tried before all others, so that the search never ends below zero-shot
            accuracy on its own samples. Not published.

    Raises:
        ValueError: scale and steps are not two or three numbers each, a scale is not positive, or a step below 1.
    """

    scale: Sequence[float]
    steps: Sequence[int]
    include_zero_alpha: bool = False

    def __post_init__(self) -> None:
        if len(self.scale) != len(self.steps) or len(self.scale) not in (2, 3):
            raise ValueError(
                "search scale and steps must name (beta, alpha) or (beta, alpha, gamma) both, "
                f"got scale={tuple(self.scale)} and steps={tuple(self.steps)}"
            )
        if min(self.scale) <= 0 or min(self.steps) < 1:
            raise ValueError(
                "search scale must be positive and steps at least 1, "
                f"got scale={tuple(self.scale)} and steps={tuple(self.steps)}"
            )

    @property
    def betas(self) -> Float[Tensor, " B"]:
        """Sharpness of the cache."""
        return _from_a_tenth(self.scale[0], self.steps[0])

    @property
    def alphas(self) -> Float[Tensor, " A"]:
        """Weight of the cache."""
        alphas = _from_a_tenth(self.scale[1], self.steps[1])
        return torch.cat([alphas.new_zeros(1), alphas]) if self.include_zero_alpha else alphas

    @property
    def gammas(self) -> Float[Tensor, " G"]:
        """Sharpness of the keys' weights."""
        if len(self.scale) < 3:
            return torch.zeros(1, dtype=torch.float64)
        return torch.arange(self.steps[2], dtype=torch.float64) * self.scale[2] / self.steps[2]


def _from_a_tenth(scale: float, steps: int) -> Tensor:
    return torch.arange(steps, dtype=torch.float64) * (scale - 0.1) / steps + 0.1


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Args:
        grid: the values that were tried.
        hits: (B, A, G) int64, how many samples each cell classifies correctly.
        samples: how many there were.
    """

    grid: SearchGrid
    hits: Int[Tensor, "B A G"]
    samples: int

    @property
    def best(self) -> dict[str, float]:
        """`alpha`, `beta`, `gamma` of the first cell with the most hits, beta being the slowest and gamma the fastest.

        All are 0, which is zero-shot, where no cell has a hit.
        """
        if self.best_hits == 0:
            return dict(alpha=0.0, beta=0.0, gamma=0.0)
        beta, alpha, gamma = self._first
        return dict(
            alpha=float(self.grid.alphas[alpha]),
            beta=float(self.grid.betas[beta]),
            gamma=float(self.grid.gammas[gamma]),
        )

    @property
    def best_hits(self) -> int:
        """Hits of the best cell."""
        return int(self.hits.max())

    @property
    def best_accuracy(self) -> float:
        """Top-1 of the best cell in percent, on the samples that were searched."""
        return 100 * self.best_hits / self.samples

    @property
    def accuracy(self) -> Float[Tensor, "B A G"]:
        """Top-1 of all cells in percent."""
        return 100 * self.hits.double() / self.samples

    @property
    def cells_at_max(self) -> int:
        """How many cells share the most hits; the first one is taken."""
        return int((self.hits == self.best_hits).sum())

    @property
    def on_border(self) -> tuple[str, ...]:
        """Which of beta, alpha and gamma take the largest value of their list at the best cell: widen their scale."""
        if self.best_hits == 0:
            return ()
        names = ("beta", "alpha", "gamma")
        ends = zip(names, self._first, self.hits.shape, strict=True)
        return tuple(name for name, index, size in ends if size > 1 and index == size - 1)

    @property
    def _first(self) -> tuple[int, int, int]:
        flat = int((self.hits == self.best_hits).flatten().nonzero()[0])
        rest, gamma = divmod(flat, self.hits.shape[2])
        beta, alpha = divmod(rest, self.hits.shape[1])
        return beta, alpha, gamma


def search_grid(
    zero_shot: Float[Tensor, "N C"],
    similarity: Float[Tensor, "N M"],
    key_labels: Int[Tensor, " M"],
    key_weights: Float[Tensor, "G M"],
    targets: Int[Tensor, " N"],
    grid: SearchGrid,
    max_memory: int = 2**28,
) -> SearchResult:
    """Hits of all cells of the grid, as if each were computed on its own in float64.

    Args:
        zero_shot: (N, C) zero-shot logits.
        similarity: (N, M), query times key.
        key_labels: (M,), in any order; classes may have different numbers of keys.
        key_weights: (G, M), weights of the keys for every gamma of the grid; one row of ones without gamma.
        targets: (N,), classes of the queries.
        grid: what to try.
        max_memory: bytes, about, beyond those of the arguments.
    """
    classes = zero_shot.shape[1]
    hits = torch.zeros(len(grid.betas), len(grid.alphas), len(grid.gammas), dtype=torch.int64)
    for b, beta in enumerate(grid.betas.tolist()):
        for g, weights in enumerate(key_weights.double()):
            for a, alpha in enumerate(grid.alphas.tolist()):
                logits = adapted_logits(zero_shot.double(), similarity.double(), key_labels, alpha, beta, weights)
                own = logits.gather(1, targets[:, None])
                lower = torch.arange(classes) < targets[:, None]
                hits[b, a, g] = (~((logits > own) | ((logits == own) & lower)).any(1)).sum()
    return SearchResult(grid, hits, len(targets))


def search_features(
    terms: Callable[[Tensor], tuple[Tensor, Tensor]],
    features: Float[Tensor, "N D"],
    key_labels: Int[Tensor, " M"],
    key_weights: Float[Tensor, "G M"],
    targets: Int[Tensor, " N"],
    grid: SearchGrid,
    max_memory: int = 2**28,
) -> SearchResult:
    """`search_grid` on features, never holding all (N, M) similarities: the form for fit loops and large data sets.

    Args:
        terms: zero-shot logits (n, C) and similarities (n, M) of n features, e.g. a head's `terms`.
        features: (N, D), the queries.
        key_labels: see `search_grid`.
        key_weights: see `search_grid`.
        targets: see `search_grid`.
        grid: see `search_grid`.
        max_memory: see `search_grid`.
    """
    zero_shot, similarity = terms(features)
    return search_grid(zero_shot, similarity, key_labels, key_weights, targets, grid, max_memory)
