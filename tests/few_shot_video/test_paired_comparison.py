"""Two results on the same episodes: differences, their interval and their significance."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipplus.few_shot_video.paired_comparison import compare_paired, sign_flip_p_value


def record(number, right, queries=4, **fields):
    """An episode of label 0 in which the first `right` queries are right."""
    predicted = {"few_shot": [0] * right + [1] * (queries - right)}
    return {"sample_id": number, "label": [0] * queries, "predicted": predicted, **fields}


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9))
def test_the_p_value_counts_all_choices_of_signs(differences):
    reached = abs(sum(differences))
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
            for signs in itertools.product((-1, 1), repeat=len(differences))]  # fmt: skip
    expected = sum(value >= reached for value in sums) / len(sums)
    assert sign_flip_p_value(np.array(differences)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("differences", "p_value"),
    [([1] * 10, 2 / 2**10), ([0] * 5, 1.0), ([2, -2], 1.0), ([1] * 60, 0.0), ([0] * 50 + [3], 1.0)],
)
def test_p_values_known_by_hand(differences, p_value):
    assert sign_flip_p_value(np.array(differences)) == pytest.approx(p_value)


def test_ten_thousand_episodes_agree_with_the_normal_distribution():
    differences = np.random.default_rng(0).integers(-5, 6, 10_000)
    differences[:40] = 5
    # Sums go in steps of two: the half step is the usual correction for a continuous distribution.
    z = (abs(differences.sum()) - 1) / math.sqrt((differences**2).sum())
    assert sign_flip_p_value(differences) == pytest.approx(math.erfc(z / math.sqrt(2)), abs=1e-4)


def test_p_values_are_even_where_nothing_differs():
    rng = np.random.default_rng(1)
    values = [sign_flip_p_value(rng.integers(-5, 6, 200)) for _ in range(300)]
    assert np.mean(np.array(values) < 0.05) == pytest.approx(0.05, abs=0.035)


def test_difference_interval_and_counts_known_by_hand():
    a, b = [record(0, 1), record(1, 2), record(2, 4)], [record(2, 3), record(0, 3), record(1, 2)]
    result = compare_paired(a, b)
    assert (result.episodes, result.better, result.worse) == (3, 1, 1)
    assert result.accuracy_a == pytest.approx(100 * 7 / 12)
    assert result.accuracy_b == pytest.approx(100 * 8 / 12)
    assert result.difference == pytest.approx(100 / 12)
    deviation = np.std([50.0, 0.0, -25.0])
    assert result.ci95 == pytest.approx(1.96 * deviation / math.sqrt(3))


def test_pairing_narrows_the_interval_where_the_same_episodes_are_hard():
    hard = [i % 5 for i in range(40)]
    a, b = [record(i, hard[i], 8) for i in range(40)], [record(i, hard[i] + 1, 8) for i in range(40)]
    result = compare_paired(a, b)
    assert (result.difference, result.ci95) == (12.5, 0.0)
    assert result.unpaired_ci95 > 5
    assert result.p_value < 1e-9


def test_the_other_way_round_is_the_negative():
    a, b = [record(i, i % 4) for i in range(9)], [record(i, (i * i) % 4) for i in range(9)]
    there, back = compare_paired(a, b), compare_paired(b, a)
    assert there.difference == -back.difference
    assert (there.better, there.worse) == (back.worse, back.better)
    assert there.p_value == pytest.approx(back.p_value)


def test_episodes_of_different_sizes_weigh_the_same():
    result = compare_paired([record(0, 0, 2), record(1, 3, 3)], [record(0, 1, 2), record(1, 2, 3)])
    assert result.difference == pytest.approx((50 - 100 / 3) / 2)
    # +3 and -2 in sixths: only equal signs reach further than 1.
    assert result.p_value == 1.0


def test_differences_by_class():
    a = [record(0, 1, 2, query_class=[7, 7]), record(1, 2, 2, query_class=[7, 3])]
    b = [record(0, 2, 2, query_class=[7, 7]), record(1, 1, 2, query_class=[7, 3])]
    assert compare_paired(a, b).class_difference == {3: -100.0, 7: pytest.approx(100 / 3)}


def test_two_modes_of_one_result_are_compared():
    rows = [record(0, 2), record(1, 3)]
    for row in rows:
        row["predicted"]["text"] = [0] * 4
    assert compare_paired(rows, rows, "few_shot", "text").difference == pytest.approx(37.5)
    with pytest.raises(ValueError, match="episode 0 has no predictions of mode 'combine'"):
        compare_paired(rows, rows, "few_shot", "combine")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ([], "nothing to compare: 1 and 0 episodes"),
        ([record(0, 1), record(0, 2)], "episode 0 occurs more than once in a result"),
        ([record(0, 1), record(4, 1)], "1 are in one of them only .the first is episode 4."),
        ([record(0, 1, query_video=[1, 2, 3, 9])], r"episode 0 is not the same in both: query_video is \[1, 2, 3, 4\]"),
        ([record(0, 1, 3)], "episode 0 is not the same in both: label"),
    ],
)
def test_results_on_other_episodes_are_refused(other, message):
    with pytest.raises(ValueError, match=message):
        compare_paired([record(0, 1, query_video=[1, 2, 3, 4])], other)
