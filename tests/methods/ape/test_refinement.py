"""Prior refinement against its definition, the published numbers, and what must not change it."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clipplus.methods.ape.refinement import (
    add_keys,
    class_totals,
    prior_refinement,
    refine,
    select_channels,
)

WEIGHTS = (0.7, 0.3)


def draw(counts: list[int], width: int = 5, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Texts, keys in mixed order, labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=generator)]
    rows = torch.randn(len(counts) + len(labels), width, generator=generator, dtype=torch.float64)
    return rows[: len(counts)], rows[len(counts) :], labels


def similarity_by_definition(text, keys, labels, source: str, balance: str) -> torch.Tensor:
    """All pairs of members, one at a time."""
    members = [(c, row) for c, row in enumerate(text)]
    if source == "all":
        members += list(zip(labels.tolist(), keys, strict=True))
    products: dict[tuple[int, int], list[torch.Tensor]] = {}
    for own, u in members:
        for other, v in members:
            if own != other:
                products.setdefault((own, other), []).append(u * v)
    if balance == "pairs":
        return torch.stack([product for pair in products.values() for product in pair]).mean(0)
    return torch.stack([torch.stack(pair).mean(0) for pair in products.values()]).mean(0)


@pytest.mark.parametrize("source", ["all", "text"])
@pytest.mark.parametrize("balance", ["class", "pairs"])
@settings(max_examples=20, deadline=None)
@given(counts=st.lists(st.integers(1, 4), min_size=2, max_size=5), seed=st.integers(0, 1000))
def test_similarity_is_the_mean_over_all_pairs_of_different_classes(source, balance, counts, seed) -> None:
    text, keys, labels = draw(counts, seed=seed)
    found = prior_refinement(text, keys, labels, WEIGHTS, source, balance).similarity
    expected = similarity_by_definition(text, keys, labels, source, balance)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_balances_agree_for_equal_shots_only() -> None:
    equal, unequal = draw([3, 3, 3]), draw([1, 3, 5])

    def difference(text, keys, labels) -> float:
        both = [prior_refinement(text, keys, labels, WEIGHTS, balance=b).criterion for b in ("class", "pairs")]
        return float((both[0] - both[1]).abs().max())

    assert difference(*equal) < 1e-14
    assert difference(*unequal) > 1e-3


def test_criterion_takes_similarity_off_and_adds_the_unbiased_variance_of_the_texts() -> None:
    text, keys, labels = draw([2, 1, 3])
    found = prior_refinement(text, keys, labels, (0.6, 0.4))
    variance = ((text - text.mean(0)) ** 2).sum(0) / 2
    torch.testing.assert_close(found.variance, variance)
    torch.testing.assert_close(found.criterion, 0.4 * variance - 0.6 * found.similarity)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_order_of_keys_and_of_classes_does_not_matter(seed) -> None:
    text, keys, labels = draw([2, 1, 4, 3])
    generator = torch.Generator().manual_seed(seed)
    rows, classes = torch.randperm(len(keys), generator=generator), torch.randperm(4, generator=generator)
    expected = prior_refinement(text, keys, labels, WEIGHTS).criterion
    renamed = classes.argsort()[labels][rows]
    found = prior_refinement(text[classes], keys[rows], renamed, WEIGHTS).criterion
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_added_keys_give_what_all_keys_give_at_once() -> None:
    text, keys, labels = draw([3, 2, 4])
    totals = add_keys(class_totals(text, keys[:4], labels[:4]), keys[4:], labels[4:])
    assert torch.equal(refine(text, totals, WEIGHTS).criterion, prior_refinement(text, keys, labels, WEIGHTS).criterion)


def test_half_precision_is_summed_in_double() -> None:
    text, keys, labels = (part.half() if part.is_floating_point() else part for part in draw([40, 40]))
    found = prior_refinement(text, keys, labels, WEIGHTS)
    assert torch.equal(found.criterion, prior_refinement(text.double(), keys.double(), labels, WEIGHTS).criterion)


def test_largest_criteria_come_first_and_ties_go_to_the_lower_channel() -> None:
    criterion = torch.tensor([1.0, 3.0, 2.0, 3.0, 2.0])
    assert select_channels(criterion, 4).tolist() == [1, 3, 2, 4]


@pytest.mark.parametrize("num", [0, 6])
def test_a_number_of_channels_that_features_do_not_have_is_refused(num) -> None:
    with pytest.raises(ValueError, match=f"num_channels must lie in 1..5, the channels of a feature, got {num}"):
        select_channels(torch.zeros(5), num)


@pytest.mark.parametrize("weights", [(1.0,), (0.5, 0.3, 0.2), (-0.1, 1.1)])
def test_weights_must_be_two_and_not_negative(weights) -> None:
    with pytest.raises(ValueError, match="weights must be two numbers"):
        prior_refinement(*draw([1, 1]), weights)


def test_a_single_class_has_no_pair() -> None:
    with pytest.raises(ValueError, match="needs at least 2, got 1"):
        prior_refinement(*draw([3]), WEIGHTS)


def test_labels_without_a_text_are_refused() -> None:
    text, keys, _ = draw([2, 2])
    with pytest.raises(ValueError, match=r"labels must lie in 0..1, since there are 2 class texts; got 0..2"):
        prior_refinement(text, keys, torch.tensor([0, 1, 2, 1]), WEIGHTS)


@pytest.mark.golden("ape", "criterion")
def test_golden_criterion_of_ape(golden) -> None:
    cases = [name for name in golden.metadata if f"{name}/clip_weights" in golden]
    assert cases
    for case in cases:
        options = json.loads(golden.metadata[case])
        text, keys = golden[f"{case}/clip_weights"].T, golden[f"{case}/cache_keys"]
        for dtype, tolerance in (("f64", dict(rtol=1e-9, atol=1e-12)), ("f32", dict(rtol=1e-4, atol=1e-6))):
            for source in ("text", "all"):
                for pair, weights in enumerate(options["w"]):
                    precision = torch.float64 if dtype == "f64" else torch.float32
                    found = prior_refinement(
                        text.to(precision), keys.to(precision), golden[f"{case}/cache_labels"], weights, source
                    )
                    expected = {
                        "criterion": f"criterion_{source}_w{pair}", "similarity": f"sim_{source}", "variance": "var",
                    }  # fmt: skip
                    for ours, theirs in expected.items():
                        published = golden[f"{case}/{theirs}_{dtype}"].double()
                        torch.testing.assert_close(getattr(found, ours), published, **tolerance)
                    indices = golden[f"{case}/indices_{source}_w{pair}"]
                    num = options[f"feat_num_w{pair}"]
                    assert torch.equal(select_channels(found.criterion, num), indices)


@pytest.mark.golden("ape", "ragged_reference")
def test_golden_criterion_of_ape_with_unequal_shots(golden) -> None:
    text, keys = golden["clip_weights"].T.double(), golden["cache_keys"].double()
    weights, labels = json.loads(golden.metadata["w"]), golden["cache_labels"]
    for source, balance, name in (
        ("text", "class", "sim_text"),
        ("all", "pairs", "sim_all_pairs"),
        ("all", "class", "sim_all_class"),
    ):
        found = prior_refinement(text, keys, labels, weights, source, balance)
        torch.testing.assert_close(found.similarity, golden[name], rtol=1e-9, atol=1e-12)
    assert torch.equal(select_channels(found.criterion, len(golden["indices_class"])), golden["indices_class"])
