"""Grid search for alpha, beta and gamma on labelled features.

Shape letters of this file: N labelled queries, M keys, C classes, D channels of a feature, G gammas, A alphas, B betas.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clipplus.methods.ape.curves import AffinitySeries, KeyRows, class_moments
from clipplus.methods.ape.hits import count_hits, label_wins, plain_hits, winning_alphas
from clipplus.methods.ape.leave_one_out import OwnKeys
from clipplus.methods.ape.logits import segment_sum


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

    scale: Sequence[float | int]
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
    def shape(self) -> tuple[int, int, int]:
        """Numbers of betas, alphas and gammas."""
        return len(self.betas), len(self.alphas), len(self.gammas)

    @property
    def betas(self) -> Float[Tensor, " B"]:
        """Sharpness of the cache."""
        return _from_a_tenth(float(self.scale[0]), self.steps[0])

    @property
    def alphas(self) -> Float[Tensor, " A"]:
        """Weight of the cache."""
        alphas = _from_a_tenth(float(self.scale[1]), self.steps[1])
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
        """Hits of the best cell.

        Raises:
            ValueError: nothing was searched.
        """
        if not self.samples:
            raise ValueError("a search needs at least one labelled image, got none: is the validation set empty?")
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


@torch.no_grad()
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

    The hits of disjoint sets of samples add up, so that ranks can share them; a share may be empty.

    Args:
        zero_shot: (N, C) zero-shot logits.
        similarity: (N, M), query times key.
        key_labels: (M,), in any order; classes may have different numbers of keys.
        key_weights: (G, M), weights of the keys for every gamma of the grid; one row of ones without gamma.
        targets: (N,), classes of the queries.
        grid: what to try.
        max_memory: bytes beyond those of the arguments, about; larger ones are hardly faster.

    Raises:
        ValueError: targets out of range, key weights for another number of gammas, or a value that is not finite.
    """
    search = _Search(key_labels, key_weights, zero_shot.shape[1], grid, max_memory)
    return SearchResult(grid, search.hits(zero_shot, similarity, targets), len(targets))


@torch.no_grad()
def search_features(
    terms: Callable[[Tensor], tuple[Tensor, Tensor]],
    features: Float[Tensor, "N D"],
    key_labels: Int[Tensor, " M"],
    key_weights: Float[Tensor, "G M"],
    targets: Int[Tensor, " N"],
    grid: SearchGrid,
    max_memory: int = 2**28,
    own_keys: Int[Tensor, " N"] | None = None,
) -> SearchResult:
    """`search_grid` on features, never holding all (N, M) similarities: the form for large data sets.

    Args:
        terms: zero-shot logits (n, C) and similarities (n, M) of n features, e.g. a head's `terms`.
        features: (N, D), the queries.
        key_labels: see `search_grid`.
        key_weights: see `search_grid`.
        targets: see `search_grid`.
        grid: see `search_grid`.
        max_memory: see `search_grid`.
        own_keys: for queries that are keys themselves, which ones: each is left out where it is asked about
            (`leave_one_out`).

    Raises:
        ValueError: see `search_grid`.
    """
    if not len(features):
        return SearchResult(grid, torch.zeros(grid.shape, dtype=torch.int64), 0)
    classes = terms(features[:1])[0].shape[1]
    search = _Search(key_labels, key_weights, classes, grid, max_memory // 2)
    rows = max(search.rows, max_memory // 2 // (8 * (len(key_labels) + classes)))
    hits = torch.zeros(grid.shape, dtype=torch.int64)
    for first in range(0, len(features), rows):
        part = slice(first, first + rows)
        hits += search.hits(*terms(features[part]), targets[part], None if own_keys is None else own_keys[part])
    return SearchResult(grid, hits, len(targets))


class _Search:
    """What all blocks of samples share; arguments of `search_grid`."""

    def __init__(
        self, key_labels: Tensor, key_weights: Tensor, classes: int, grid: SearchGrid, max_memory: int
    ) -> None:
        if key_weights.shape != (len(grid.gammas), len(key_labels)):
            raise ValueError(
                f"key_weights must have one row per gamma ({len(grid.gammas)}) and one column per key "
                f"({len(key_labels)}), got {tuple(key_weights.shape)}"
            )
        self.grid, self.classes = grid, classes
        self.key_labels, self.key_weights = key_labels, key_weights.double()
        _require_finite(key_weights=self.key_weights)
        self.key_rows = KeyRows(key_labels, self.key_weights, classes)
        self.own_keys = OwnKeys(key_labels, self.key_weights)
        self.betas, self.alphas = grid.betas.to(key_labels.device), grid.alphas.to(key_labels.device)
        self.sum_of_weights = segment_sum(self.key_weights.abs(), key_labels, classes).amax(dim=1)
        # Float64 numbers per sample: moments (twice), terms of the series, ends of the winning alphas.
        terms = min(len(self.betas), 32)
        gammas = len(self.key_weights)
        numbers = 2 * terms * gammas * classes + 6 * len(self.key_rows.keys) + 8 * gammas * len(self.betas)
        curves = classes * gammas * len(self.betas)
        #: Samples of a block, and of cells decided singly at once.
        self.rows = max(1, (max_memory // 8 - curves) // numbers)
        self.cells = max(1, max_memory // 8 // (3 * len(key_labels) + 4 * classes))

    def hits(
        self, zero_shot: Tensor, similarity: Tensor, targets: Tensor, own_keys: Tensor | None = None
    ) -> Int[Tensor, "B A G"]:
        """Table of the hits of some samples."""
        if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < self.classes:
            raise ValueError(
                f"targets must lie in 0..{self.classes - 1}, got {int(targets.min())}..{int(targets.max())}"
            )
        table = torch.zeros(self.grid.shape, dtype=torch.int64)
        if not len(targets):
            return table
        for first in range(0, len(targets), self.rows):
            part = slice(first, first + self.rows)
            logits, products = zero_shot[part].double(), similarity[part].double()
            _require_finite(zero_shot=logits, similarity=products)
            # At alpha = 0 the cache says nothing.
            table[:, self.grid.alphas == 0] += label_wins(logits, targets[part]).sum().cpu()
            own = None if own_keys is None else own_keys[part]
            found = self._hits_of_block(logits, products, targets[part], own)
            table[:, self.grid.alphas > 0] += found.permute(2, 0, 1).cpu()
        return table

    def _hits_of_block(
        self, zero_shot: Tensor, similarity: Tensor, targets: Tensor, own: Tensor | None
    ) -> Int[Tensor, "A G B"]:
        nearest = float(1 - similarity.max())
        series = AffinitySeries(self.betas, nearest, float(1 - similarity.min()))
        moments = class_moments(similarity, self.key_rows, series)
        sum_error = series.error * self.sum_of_weights[:, None] * torch.exp(-self.betas * nearest)
        if own is not None:
            own_similarity = similarity.gather(1, own[:, None])[:, 0]
            self.own_keys.leave_out(moments, own_similarity, own, series)
            # Two rounded sums, and the factor is at most 2.
            sum_error = 4 * sum_error
        alphas = self.alphas[self.alphas > 0]
        wins = winning_alphas(zero_shot, moments, series.coefficients, sum_error, targets, float(alphas.min()))
        hits, open_cells = count_hits(alphas, wins)
        for n, g, b in zip(*(part.split(self.cells) for part in open_cells.nonzero(as_tuple=True)), strict=True):
            weights = self.key_weights[g]
            if own is not None:
                weights = self.own_keys.left_out_weights(weights, own[n])
            won = plain_hits(alphas, zero_shot[n], similarity[n], self.key_labels, weights, targets[n], self.betas[b])
            hits.view(len(alphas), -1).index_add_(1, g * len(self.betas) + b, won.long())
        return hits


def _require_finite(**tensors: Tensor) -> None:
    for name, tensor in tensors.items():
        finite = tensor.isfinite().all(dim=1)
        if not finite.all():
            raise ValueError(f"search: {name} has a value that is not finite in row {int((~finite).nonzero()[0])}")
