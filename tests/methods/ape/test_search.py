"""The fast search against one arg-max per cell, on easy, hard and tied cases; the golden tables of unequal shots."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmpretrain.registry import MODELS

import clipplus.methods.ape
from clipplus.methods.ape.logits import adapted_logits, unit
from clipplus.methods.ape.search import SearchGrid, SearchResult, search_features, search_grid

GRID = SearchGrid((7, 7, 1.5), (6, 5, 3))


class Case:
    """Everything that a search takes, float64: classes of unequal shots, keys in mixed order."""

    def __init__(self, counts: list[int], samples: int, seed: int, grid: SearchGrid = GRID) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.grid, classes = grid, len(counts)
        labels = torch.repeat_interleave(torch.arange(classes), torch.tensor(counts))
        self.key_labels = labels[torch.randperm(len(labels), generator=generator)]
        self.targets = torch.randint(classes, (samples,), generator=generator)
        centres = torch.randn(classes, 6, generator=generator, dtype=torch.float64)

        def around(rows: torch.Tensor, noise: float) -> torch.Tensor:
            return unit(centres[rows] + noise * torch.randn(len(rows), 6, generator=generator, dtype=torch.float64))

        self.features, self.keys = around(self.targets, 1.0), around(self.key_labels, 1.0)
        self.text = around(torch.arange(classes), 0.7)
        # Small enough for the cache to matter.
        self.zero_shot = 3 * self.features @ self.text.T
        self.similarity = self.features @ self.keys.T
        self.key_weights = torch.exp(grid.gammas[:, None] * torch.rand(len(labels), generator=generator))

    def search(self, rows: slice = slice(None), **options) -> SearchResult:
        return search_grid(
            self.zero_shot[rows], self.similarity[rows], self.key_labels, self.key_weights, self.targets[rows],
            self.grid, **options,
        )  # fmt: skip

    def plain(self) -> torch.Tensor:
        """Hits by the definition: logits and arg-max of every cell."""
        hits = torch.zeros(self.grid.shape, dtype=torch.int64)
        for b, beta in enumerate(self.grid.betas.tolist()):
            for a, alpha in enumerate(self.grid.alphas.tolist()):
                for g, weights in enumerate(self.key_weights):
                    logits = adapted_logits(self.zero_shot, self.similarity, self.key_labels, alpha, beta, weights)
                    hits[b, a, g] = (logits.argmax(1) == self.targets).sum()
        return hits


@settings(max_examples=25, deadline=None)
@given(
    counts=st.lists(st.integers(1, 5), min_size=2, max_size=6), samples=st.integers(1, 30), seed=st.integers(0, 10_000)
)
def test_table_equals_that_of_one_arg_max_per_cell(counts, samples, seed) -> None:
    case = Case(counts, samples, seed)
    assert torch.equal(case.search().hits, case.plain())


@pytest.mark.parametrize(
    "grid",
    [
        SearchGrid((7, 7, 1), (60, 5, 3)),  # a series of fewer terms than betas
        SearchGrid((50, 50), (60, 6)),  # Tip-Adapter's widest; no gamma
        SearchGrid((7, 7, 1), (6, 5, 2), include_zero_alpha=True),
        SearchGrid((0.05, 0.05), (4, 4)),  # values that fall
        SearchGrid((7, 7), (1, 1)),
    ],
)
def test_table_of_any_grid_equals_that_of_one_arg_max_per_cell(grid) -> None:
    case = Case([3, 1, 4, 2], 40, seed=3, grid=grid)
    assert torch.equal(case.search().hits, case.plain())


def test_classes_that_are_equal_tie_for_the_lower_one() -> None:
    case = Case([2, 2, 2, 2], 60, seed=1)
    # Class 2 is class 1 again: text and keys.
    case.zero_shot[:, 2] = case.zero_shot[:, 1]
    first, second = ((case.key_labels == c).nonzero()[:, 0] for c in (1, 2))
    case.similarity[:, second] = case.similarity[:, first]
    case.key_weights[:, second] = case.key_weights[:, first]
    expected = case.plain()
    assert torch.equal(case.search().hits, expected)
    case.targets[case.targets == 2] = 1
    assert int(case.search().hits.sum()) > int(expected.sum())


def test_texts_that_are_equal_leave_the_decision_to_the_keys() -> None:
    case = Case([2, 3, 2], 50, seed=2)
    case.zero_shot[:, 2] = case.zero_shot[:, 1]
    assert torch.equal(case.search().hits, case.plain())
    case.zero_shot[:] = 1
    assert torch.equal(case.search().hits, case.plain())


def test_ties_that_fall_on_a_value_of_the_grid_are_decided_as_by_arg_max() -> None:
    """At beta 0.1, keys at distance 0 and infinity: lines cross exactly at alpha = 0.1, 1.48, 2.86, ..."""
    case = Case([1, 1], 8, seed=0, grid=SearchGrid((7, 7), (3, 5)))
    alphas = case.grid.alphas.tolist()
    case.similarity = torch.tensor([[1.0, -1e9], [-1e9, 1.0]], dtype=torch.float64).repeat(4, 1)
    case.key_labels = torch.tensor([0, 1])
    case.targets = torch.tensor([0, 1, 1, 0] * 2)
    gaps = torch.tensor([alphas[i] for i in (0, 1, 2, 3, 4, 0, 1, 2)], dtype=torch.float64)
    case.zero_shot = torch.stack([-gaps, gaps * 0], dim=1)
    case.zero_shot[1::2] = case.zero_shot[1::2].flip(1)
    assert torch.equal(case.search().hits, case.plain())


def test_trained_weights_may_be_negative_and_similarities_large() -> None:
    case = Case([3, 1, 4, 2], 40, seed=5)
    case.key_weights = torch.randn(case.key_weights.shape, generator=torch.Generator().manual_seed(0)).double()
    case.similarity = 2.5 * case.similarity
    assert torch.equal(case.search().hits, case.plain())


@pytest.mark.parametrize("max_memory", [1, 2**14, 2**30])
def test_memory_does_not_change_the_table(max_memory) -> None:
    case = Case([3, 1, 4, 2], 25, seed=4)
    case.zero_shot[:, 2] = case.zero_shot[:, 1]  # ties, which are decided singly
    assert torch.equal(case.search(max_memory=max_memory).hits, case.plain())


@pytest.mark.parametrize("ranks", [1, 2, 3, 30])
def test_shares_of_the_samples_add_up_to_the_whole(ranks) -> None:
    case = Case([3, 1, 4, 2], 25, seed=6)
    shares = [case.search(slice(rank, None, ranks)).hits for rank in range(ranks)]
    assert torch.equal(torch.stack(shares).sum(0), case.search().hits)


@pytest.mark.parametrize("max_memory", [1, 2**28])
def test_features_are_searched_as_their_terms_are(max_memory) -> None:
    case = Case([3, 1, 4, 2], 25, seed=7)
    found = search_features(
        lambda rows: (3 * rows @ case.text.T, rows @ case.keys.T),
        case.features, case.key_labels, case.key_weights, case.targets, GRID, max_memory,
    )  # fmt: skip
    assert torch.equal(found.hits, case.plain())


def test_terms_in_half_precision_are_searched_in_double() -> None:
    case = Case([3, 1, 4, 2], 40, seed=8)
    case.zero_shot, case.similarity = case.zero_shot.half(), case.similarity.half()
    found = case.search().hits
    case.zero_shot, case.similarity = case.zero_shot.double(), case.similarity.double()
    assert torch.equal(found, case.plain())


def test_trained_terms_need_no_detaching() -> None:
    case = Case([2, 2], 10, seed=9)
    expected = case.search().hits
    case.similarity.requires_grad_()
    assert torch.equal(case.search().hits, expected)


def test_lists_start_as_published_and_leave_the_end_out() -> None:
    grid = SearchGrid((7, 3, 1.5), (4, 2, 3))
    assert grid.betas.tolist() == pytest.approx([0.1, 1.825, 3.55, 5.275])
    assert grid.alphas.tolist() == pytest.approx([0.1, 1.55])
    assert grid.gammas.tolist() == pytest.approx([0, 0.5, 1.0])
    assert SearchGrid((7, 3), (4, 2), include_zero_alpha=True).alphas.tolist() == pytest.approx([0, 0.1, 1.55])
    assert SearchGrid((7, 3), (4, 2)).gammas.tolist() == [0]


def result(hits: list[list[list[int]]], grid: SearchGrid) -> SearchResult:
    return SearchResult(grid, torch.tensor(hits), 4)


def test_the_first_of_the_best_cells_is_taken_with_gamma_fastest() -> None:
    found = result([[[1, 2], [2, 3]], [[3, 0], [3, 1]]], SearchGrid((7, 3, 1), (2, 2, 2)))
    assert found.best == dict(beta=0.1, alpha=pytest.approx(1.55), gamma=0.5)
    assert (found.best_hits, found.cells_at_max, found.best_accuracy) == (3, 3, 75)
    assert found.accuracy[0, 0].tolist() == [25, 50]


def test_a_best_cell_at_the_end_of_a_list_says_so() -> None:
    grid = SearchGrid((7, 3, 1), (2, 2, 2))
    assert result([[[1, 2], [2, 3]], [[0, 0], [0, 0]]], grid).on_border == ("alpha", "gamma")
    assert result([[[3, 2], [2, 1]], [[0, 0], [0, 0]]], grid).on_border == ()
    # A list of one value has no border.
    assert result([[[3], [2]], [[0], [0]]], SearchGrid((7, 3), (2, 2))).on_border == ()


def test_no_hit_anywhere_is_zero_shot() -> None:
    found = result([[[0], [0]]], SearchGrid((7, 3), (1, 2)))
    assert found.best == dict(alpha=0, beta=0, gamma=0)
    assert found.on_border == ()


def test_an_empty_set_has_no_best_cell() -> None:
    empty = Case([2, 2], 5, seed=0).search(slice(0, 0))
    assert int(empty.hits.sum()) == 0
    with pytest.raises(ValueError, match="at least one labelled image, got none: is the validation set empty"):
        _ = empty.best


@pytest.mark.parametrize(
    ("scale", "steps"), [((7,), (3,)), ((7, 7), (3, 3, 3)), ((7, 0), (3, 3)), ((7, 7), (3, 0)), ((7,) * 4, (3,) * 4)]
)
def test_a_grid_that_is_none_is_refused(scale, steps) -> None:
    with pytest.raises(ValueError, match="search scale"):
        SearchGrid(scale, steps)


def test_input_that_cannot_be_searched_is_refused() -> None:
    case = Case([2, 2], 5, seed=0)
    case.similarity[3, 1] = torch.nan
    with pytest.raises(ValueError, match="similarity has a value that is not finite in row 3"):
        case.search()
    case = Case([2, 2], 5, seed=0)
    case.targets[0] = 2
    with pytest.raises(ValueError, match=r"targets must lie in 0\.\.1, got"):
        case.search()
    case = Case([2, 2], 5, seed=0)
    case.key_weights = case.key_weights[:2]
    with pytest.raises(ValueError, match=r"one row per gamma \(3\) and one column per key \(4\), got \(2, 4\)"):
        case.search()


@pytest.mark.golden("ape", "ragged_reference")
def test_golden_search_of_ape_with_unequal_shots(golden) -> None:
    assert clipplus.methods.ape  # registers the head
    head = MODELS.build(
        dict(
            type="mmpretrain.APEHead", num_channels=int(golden.metadata["Q"]), weights=json.loads(golden.metadata["w"])
        )
    )
    head.fit(golden["clip_weights"].T.double(), golden["cache_keys"].double(), golden["cache_labels"])
    # The scale is stated by the file's description; the steps are those of its table.
    grid = SearchGrid((7, 7, 1.5), golden["grid_acc"].shape)
    found = search_grid(
        *head.terms(golden["val_features"]),
        head.cache_labels,
        head.key_weights(grid.gammas),
        golden["val_labels"],
        grid,
    )
    torch.testing.assert_close(found.accuracy, golden["grid_acc"], rtol=0, atol=1e-9)
    order = golden.metadata["best_order"].split(",")
    assert [found.best[name] for name in order] == pytest.approx(golden["best"].tolist(), abs=1e-12)


@pytest.mark.golden("ape", "ragged_reference")
def test_golden_logits_of_ape_heads_with_unequal_shots(golden) -> None:
    assert clipplus.methods.ape  # registers the heads
    num, weights = int(golden.metadata["Q"]), json.loads(golden.metadata["w"])
    points = json.loads(golden.metadata["fixed_points"])
    trained = dict(num_channels=num, weights=weights, criterion_source="all")
    for name, point, config in (
        ("ape", "ape", dict(type="mmpretrain.APEHead", num_channels=num, weights=weights)),
        ("tip", "tip", dict(type="mmpretrain.TipAdapterHead")),
        ("apet", "apet", dict(type="mmpretrain.APETHead", **trained)),
        ("apet_refined", "apet", dict(type="mmpretrain.APETHead", similarity="refined", **trained)),
    ):
        head = MODELS.build(config | points[point])
        head.fit(golden["clip_weights"].T.double(), golden["cache_keys"].double(), golden["cache_labels"])
        if point == "apet":
            assert torch.equal(head.channels, golden["indices_class"])
            head.residual.data.copy_(golden["res"])
            head.value_weights.data.copy_(golden["value_weights"])
        logits = head(golden["test_features"].double()).detach()
        torch.testing.assert_close(logits, golden[f"{name}_logits_test"], rtol=1e-9, atol=1e-10)
