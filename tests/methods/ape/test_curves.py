"""The series of the affinities: exact to rounding, for any range of distances and any numbers of keys."""

import pytest
import torch

from clipplus.methods.ape.curves import AffinitySeries, KeyRows, class_moments
from clipplus.methods.ape.logits import cache_logits
from clipplus.methods.ape.search import SearchGrid


def draw(counts: list[int], low: float, high: float, gammas: int = 2) -> tuple[torch.Tensor, ...]:
    """Similarities (N, M), weights (G, M) and labels in mixed order."""
    generator = torch.Generator().manual_seed(len(counts))
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=generator)]
    distance = low + (high - low) * torch.rand(6, len(labels), generator=generator, dtype=torch.float64)
    return 1 - distance, torch.rand(gammas, len(labels), generator=generator, dtype=torch.float64) + 0.5, labels


@pytest.mark.parametrize("counts", [[4, 4, 4], [1, 1, 1], [9, 1, 2, 1], [1, 30, 1, 7, 2]])
@pytest.mark.parametrize(("low", "high"), [(0.1, 0.6), (0.0, 2.0), (-1.0, 3.0), (0.3, 0.3)])
@pytest.mark.parametrize(("largest", "steps"), [(7, 200), (50, 200), (30, 5), (0.05, 40)])
def test_curves_of_all_classes_are_exact_to_rounding(counts, low, high, largest, steps) -> None:
    similarity, weights, labels = draw(counts, low, high)
    betas = SearchGrid((largest, 1), (steps, 1)).betas
    distance = 1 - similarity
    series = AffinitySeries(betas, float(distance.min()), float(distance.max()))
    curves = class_moments(similarity, KeyRows(labels, weights, len(counts)), series) @ series.coefficients
    nearest = torch.exp(-betas * distance.min())
    for g, own in enumerate(weights):
        largest_sum = torch.bincount(labels, own).max()
        for b, beta in enumerate(betas.tolist()):
            error = curves[:, :, g, b] - cache_logits(similarity, labels, len(counts), beta, own)
            assert error.abs().max() < series.error / 10 * largest_sum * nearest[b]


def test_the_grid_of_200_betas_needs_few_terms() -> None:
    betas = SearchGrid((7, 7), (200, 20)).betas
    assert len(AffinitySeries(betas, 0.1, 0.6).coefficients) <= 20
    # As many exponentials as betas would be no more work.
    assert len(AffinitySeries(betas[:5], 0.1, 0.6).coefficients) == 5


@pytest.mark.parametrize("counts", [[16] * 9, [1] * 9, [1000, 1, 1, 1], [1, 2, 3, 4, 5]])
def test_padding_at_most_doubles_the_keys(counts) -> None:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    rows = KeyRows(labels, torch.ones(1, len(labels)), len(counts))
    assert len(rows.keys) <= 2 * (len(labels) + len(counts))
    if len(set(counts)) == 1:
        assert len(rows.keys) == len(labels)
