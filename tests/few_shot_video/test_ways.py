"""Labels of supports and queries, and averages over shots."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clipplus.few_shot_video.ways import Ways, mean_over_shots


@given(st.lists(st.integers(-5, 60), min_size=1, max_size=12))
def test_columns_are_the_labels_in_ascending_order(labels):
    ways = Ways.of(torch.tensor([labels]))
    assert ways.labels[0].tolist() == sorted(set(labels))
    assert ways.position[0].tolist() == [sorted(set(labels)).index(label) for label in labels]
    assert ways.counts[0].tolist() == [labels.count(label) for label in sorted(set(labels))]
    assert ways.equal_shots == (
        labels.count(labels[0]) if len({labels.count(label) for label in labels}) == 1 else None
    )


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.integers(0, 2))
def test_the_mean_over_shots_equals_a_loop(labels, dim):
    labels_1S = torch.tensor([labels])
    values = torch.randn(1, *[2] * dim, len(labels), 3, dtype=torch.float64)
    mean = mean_over_shots(values, Ways.of(labels_1S), dim=dim + 1)
    for column, label in enumerate(sorted(set(labels))):
        chosen = [shot for shot, other in enumerate(labels) if other == label]
        expected = values.index_select(dim + 1, torch.tensor(chosen)).mean(dim + 1)
        torch.testing.assert_close(mean.select(dim + 1, column), expected)


def test_one_shot_in_order_is_not_touched():
    values = torch.randn(2, 3, 4)
    assert mean_over_shots(values, Ways.of(torch.tensor([[0, 1, 2], [3, 4, 9]]))) is values


def test_queries_are_found_by_their_labels():
    ways = Ways.of(torch.tensor([[7, 2, 40], [0, 1, 2]]))
    assert ways.columns(torch.tensor([[2, 40, 40], [2, 0, 1]])).tolist() == [[0, 2, 2], [2, 0, 1]]


def test_a_query_of_a_class_without_support_is_named():
    ways = Ways.of(torch.tensor([[0, 1], [0, 1]]))
    with pytest.raises(
        ValueError, match=r"query 1 of episode 1 in the batch has label 3, but its supports have \[0, 1\]"
    ):
        ways.columns(torch.tensor([[0, 1], [1, 3]]))


def test_query_labels_that_are_no_integers_are_refused():
    with pytest.raises(TypeError, match=r"query_label must be integers, got torch\.float32"):
        Ways.of(torch.tensor([[0, 1]])).columns(torch.tensor([[0.0]]))


def test_episodes_with_different_numbers_of_ways_are_refused():
    with pytest.raises(ValueError, match=r"equally many ways, got \[2, 1\]"):
        Ways.of(torch.tensor([[0, 1], [1, 1]]))


@pytest.mark.parametrize("shape", [(1, 0), (0, 3), (3,)])
def test_labels_of_no_supports_are_refused(shape):
    with pytest.raises(ValueError, match=r"support_label must be \(episodes, supports\)"):
        Ways.of(torch.zeros(shape, dtype=torch.int64))
