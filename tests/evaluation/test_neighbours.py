"""Votes of neighbours against their definition."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clipplus.evaluation import NearestNeighbourAccuracy, neighbour_votes


def votes_by_definition(
    query: list[float], features: list[list[float]], labels: list[int], classes: int, k: int, temperature: float
) -> list[float]:
    """One neighbour at a time: larger similarities first, equal ones by index."""
    similarities = [sum(q * f for q, f in zip(query, row, strict=True)) for row in features]
    nearest = sorted(range(len(features)), key=lambda index: (-similarities[index], index))[:k]
    votes = [0.0] * classes
    for index in nearest:
        votes[labels[index]] += math.exp(similarities[index] / temperature)
    return [vote / sum(votes) for vote in votes]


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(1, 12))
def test_votes_equal_their_definition_with_ties(seed: int, queries: int, k: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    # Products of small integers are exact, and many are equal.
    query = torch.randint(-1, 2, (queries, 3), generator=generator).float()
    features = torch.randint(-1, 2, (12, 3), generator=generator).float()
    labels = torch.randint(0, 4, (12,), generator=generator)
    votes = neighbour_votes(query, features, labels, 4, k, 0.5)
    for row, own in zip(query.tolist(), votes.tolist(), strict=True):
        assert own == pytest.approx(votes_by_definition(row, features.tolist(), labels.tolist(), 4, k, 0.5), abs=1e-12)


def test_blocks_of_queries_change_no_vote(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    query, features = torch.randn(23, 4, generator=generator), torch.randn(40, 4, generator=generator)
    labels = torch.randint(0, 5, (40,), generator=generator)
    whole = neighbour_votes(query, features, labels, 5, 7, 0.07)
    monkeypatch.setattr("clipplus.evaluation.neighbours._SIMILARITIES_PER_BLOCK", 100)
    torch.testing.assert_close(neighbour_votes(query, features, labels, 5, 7, 0.07), whole, rtol=0, atol=1e-4)


def test_small_temperatures_do_not_overflow() -> None:
    votes = neighbour_votes(torch.eye(2), torch.eye(2), torch.tensor([0, 1]), 2, 2, 1e-4)
    assert votes.tolist() == [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize("options", [dict(k=0), dict(temperature=0.0)])
def test_bad_options_are_refused(options: dict) -> None:
    with pytest.raises(ValueError, match="k must be at least 1 and temperature positive"):
        NearestNeighbourAccuracy(train=dict(dataset={}, batch_size=1), **options)
