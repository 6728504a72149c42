"""Winning alphas on cases that can be worked out by hand, and the rule for ties."""

import pytest
import torch

from clipplus.methods.ape.hits import count_hits, label_wins, plain_hits, winning_alphas

ALPHAS = torch.tensor([0.5, 1.0, 1.5, 2.0, 2.5], dtype=torch.float64)


def ends(zero_shot: list[float], collected: list[float], label: int) -> tuple[float, ...]:
    """Ends for one query, gamma and beta; sums of the classes are known, so that the series has one term."""
    wins = winning_alphas(
        torch.tensor([zero_shot], dtype=torch.float64),
        torch.tensor(collected, dtype=torch.float64)[None, :, None, None],
        torch.ones(1, 1, dtype=torch.float64),
        torch.full((1, 1), 1e-13, dtype=torch.float64),
        torch.tensor([label]),
        smallest_alpha=0.5,
    )
    # What rounding makes of infinity is as good.
    return tuple(torch.inf if end > 1e9 else float(end) for end in wins)


@pytest.mark.parametrize(
    ("zero_shot", "collected", "label", "low", "high"),
    [
        ([3, 1, 0], [1, 2, 1], 1, 2, torch.inf),  # 1 + 2 alpha >= 3 + alpha
        ([3, 1, 0], [1, 2, 1], 0, 0, 2),
        ([3, 1, 0], [1, 2, 4], 1, 2, 0.5),  # class 2 overtakes before class 1 leads: never
        ([3, 2, 0], [2, 3, 4], 1, 1, 2),
        ([3, 1], [2, 2], 1, torch.inf, torch.inf),  # behind, and gains nothing
        ([3, 1], [2, 2], 0, 0, torch.inf),
        ([2, 2, 0], [1, 2, 1], 1, 0, torch.inf),  # beside class 0, and gains
        ([2, 2, 0], [2, 1, 1], 1, torch.inf, torch.inf),
    ],
)
def test_ends_are_where_the_lines_cross(zero_shot, collected, label, low, high) -> None:
    sure_low, sure_high, possible_low, possible_high = ends(zero_shot, collected, label)
    assert (sure_low, sure_high) == pytest.approx((low, high), rel=1e-6)
    assert (possible_low, possible_high) == pytest.approx((low, high), rel=1e-6)
    assert possible_low <= sure_low
    assert sure_high <= possible_high


def test_two_classes_that_are_equal_in_all_are_left_open() -> None:
    sure_low, _, possible_low, possible_high = ends([2, 2], [1, 1], 1)
    assert (sure_low, possible_low, possible_high) == (torch.inf, 0, torch.inf)


def test_an_alpha_between_the_ends_is_left_open_and_the_others_are_counted() -> None:
    wins = winning_alphas(
        torch.tensor([[3.0, 1.0], [3.0, 1.0]], dtype=torch.float64),
        torch.tensor([[1.0, 2.0], [0.0, 2.5]], dtype=torch.float64)[:, :, None, None],
        torch.ones(1, 1, dtype=torch.float64),
        torch.full((1, 1), 1e-13, dtype=torch.float64),
        torch.tensor([1, 1]),
        smallest_alpha=0.5,
    )
    hits, open_cells = count_hits(ALPHAS, wins)
    # The first query's lines meet at alpha = 2, those of the second at 0.8.
    assert open_cells.flatten().tolist() == [True, False]
    assert hits.flatten().tolist() == [0, 1, 1, 1, 1]


def test_ties_go_to_the_lower_class() -> None:
    logits = torch.tensor([[2.0, 5.0, 5.0], [5.0, 1.0, 5.0], [1.0, 2.0, 3.0]])
    assert label_wins(logits, torch.tensor([1, 2, 2])).tolist() == [True, False, True]
    assert label_wins(logits, torch.tensor([2, 0, 1])).tolist() == [False, True, False]


def test_plain_hits_take_a_beta_and_key_weights_each() -> None:
    one = torch.ones(2, 2, dtype=torch.float64)
    won = plain_hits(
        torch.tensor([0.5, 2.0], dtype=torch.float64),
        zero_shot=torch.tensor([[1.0, 0.0]] * 2, dtype=torch.float64),
        similarity=torch.tensor([[0.0, 1.0]] * 2, dtype=torch.float64),
        key_labels=torch.tensor([0, 1]),
        key_weights=torch.tensor([[1.0, 1.0], [9.0, 1.0]], dtype=torch.float64) * one,
        targets=torch.tensor([1, 1]),
        betas=torch.tensor([3.0, 3.0], dtype=torch.float64),
    )
    # 1 + alpha e^-3 against alpha; with weight 9, 1 + 9 alpha e^-3 (0.45 alpha).
    assert won.tolist() == [[False, False], [True, True]]
    cold = plain_hits(ALPHAS[:1], one * 0, one, torch.tensor([0, 1]), one, torch.tensor([1, 0]), one[0])
    assert cold.tolist() == [[False, True]]
