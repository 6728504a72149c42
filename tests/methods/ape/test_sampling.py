"""Few shots: as the published code draws them, and the options that it has not."""

import collections
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipplus.methods.ape.sampling import few_shot_indices, held_out_indices

LABELS = [2] * 9 + [0] * 3 + [1] * 20 + [2] * 2


@pytest.mark.golden("ape", "fewshot_sampling")
def test_golden_fewshot_sampling(golden) -> None:
    labels = golden["item_labels"].tolist()
    assert list(dict.fromkeys(labels)) == json.loads(golden.metadata["order"])
    draws = [name for name in golden.tensors if name.startswith("seed")]
    assert draws
    for name in draws:
        seed, shots = (int("".join(filter(str.isdigit, part))) for part in name.split("/"))
        assert few_shot_indices(labels, shots, seed) == golden[name].tolist(), name


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(1, 9), st.integers(0, 99), st.booleans())
def test_every_class_gets_its_shots_in_order_of_appearance(labels, shots, seed, nested) -> None:
    chosen = few_shot_indices(labels, shots, seed, nested)
    assert [labels[i] for i in chosen] == [label for label in dict.fromkeys(labels) for _ in range(shots)]
    for label, available in collections.Counter(labels).items():
        different = {i for i in chosen if labels[i] == label}
        assert nested is False or len(different) == min(shots, available)
        assert available < shots or len(different) == shots


@given(st.integers(1, 20), st.integers(0, 99))
def test_nested_shots_are_the_first_of_more_shots(shots, seed) -> None:
    few, more = (few_shot_indices(LABELS, k, seed, nested=True) for k in (shots, shots + 3))
    for position in range(3):
        mine = few[position * shots :][:shots]
        assert more[position * (shots + 3) :][:shots] == mine


def test_published_shots_are_not_nested() -> None:
    assert not set(few_shot_indices(LABELS, 1, 1)) <= set(few_shot_indices(LABELS, 2, 1))


@pytest.mark.parametrize("nested", [False, True])
def test_a_short_class_can_be_kept_as_it_is_or_refused(nested: bool) -> None:
    kept = few_shot_indices(LABELS, 5, 1, nested, replace_short="keep")
    assert collections.Counter(LABELS[i] for i in kept) == {2: 5, 0: 3, 1: 5}
    assert len(set(kept)) == len(kept)
    with pytest.raises(ValueError, match="class 0 has 3 items, fewer than num_shots=5"):
        few_shot_indices(LABELS, 5, 1, nested, replace_short="error")


@given(st.integers(1, 9), st.integers(1, 20), st.integers(0, 9))
def test_held_out_items_are_none_of_the_shots(shots, per_class, seed) -> None:
    taken = few_shot_indices(LABELS, shots, seed)
    held = held_out_indices(LABELS, taken, per_class, seed)
    assert not set(held) & set(taken)
    assert len(set(held)) == len(held)
    left = collections.Counter(LABELS[i] for i in range(len(LABELS)) if i not in set(taken))
    assert collections.Counter(LABELS[i] for i in held) == {k: min(per_class, n) for k, n in left.items()}


def test_other_seeds_hold_out_others() -> None:
    assert held_out_indices(LABELS, [], 2, 1) != held_out_indices(LABELS, [], 2, 2)


@pytest.mark.parametrize("shots", [0, -1, 1.5, True])
def test_shots_are_a_positive_number(shots) -> None:
    with pytest.raises(ValueError, match="num_shots must be a whole number of at least 1"):
        few_shot_indices(LABELS, shots, 1)


def test_wrong_options_are_named() -> None:
    with pytest.raises(ValueError, match="replace_short must be"):
        few_shot_indices(LABELS, 1, 1, replace_short="drop")
    with pytest.raises(ValueError, match="holdout must be at least 1"):
        held_out_indices(LABELS, [], 0, 1)
    with pytest.raises(ValueError, match="nothing is left"):
        held_out_indices([0, 1], [0, 1], 1, 1)
