"""The sigmoid contrast against its definition, open_clip, and values known by hand."""

import math

import open_clip.loss
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.registry import MODELS

from clipplus.losses import sigmoid_contrast


def unit_rows(rows: int, width: int, seed: int) -> torch.Tensor:
    """(rows, width) float64 rows of length one."""
    drawn = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(drawn, dim=-1)


def scalar(number: float) -> torch.Tensor:
    """() float64."""
    return torch.tensor(number, dtype=torch.float64)


def loss_by_definition(image: torch.Tensor, text: torch.Tensor, scale: float, bias: float) -> float:
    """The formula of the docstring, one pair at a time."""
    total, pairs = 0.0, len(image)
    for i in range(pairs):
        for j in range(pairs):
            logit = scale * float(image[i] @ text[j]) + bias
            total -= math.log(1 / (1 + math.exp(-logit if i == j else logit)))
    return total / pairs


@pytest.mark.parametrize("tile", [None, 2])
@pytest.mark.parametrize("pairs", [1, 2, 7])
def test_equals_its_definition(pairs: int, tile: int | None) -> None:
    image, text = unit_rows(pairs, 5, seed=0), unit_rows(pairs, 5, seed=1)
    expected = loss_by_definition(image, text, 14.3, -2.5)
    assert sigmoid_contrast(image, text, scalar(14.3), scalar(-2.5), tile).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("tile", [None, 4])
def test_value_and_gradients_equal_open_clip(tile: int | None) -> None:
    numbers = (unit_rows(6, 8, 0), unit_rows(6, 8, 1), scalar(20.0), scalar(-9.0))
    ours, theirs = ([part.clone().requires_grad_() for part in numbers] for _ in range(2))
    loss, reference = sigmoid_contrast(*ours, tile=tile), open_clip.loss.SigLipLoss()(*theirs)
    loss.backward()
    reference.backward()
    torch.testing.assert_close(loss, reference, rtol=0, atol=1e-12)
    for own, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own.grad, other.grad, rtol=0, atol=1e-12)


@pytest.mark.parametrize("tile", [None, 3])
def test_without_scale_and_bias_every_pair_is_a_coin_toss(tile: int | None) -> None:
    image, text = unit_rows(8, 4, 0), unit_rows(8, 4, 1)
    assert sigmoid_contrast(image, text, scalar(0.0), scalar(0.0), tile).item() == pytest.approx(8 * math.log(2))


@pytest.mark.parametrize("tile", [None, 1])
def test_huge_logits_cost_what_they_are_wrong_by(tile: int | None) -> None:
    # Both images agree with the first text: one negative of +1e4, one positive of -1e4, and two right pairs.
    image, text = torch.tensor([[1.0], [1.0]]), torch.tensor([[1.0], [-1.0]])
    image.requires_grad_()
    loss = sigmoid_contrast(image, text, torch.tensor(1e4), torch.tensor(0.0), tile)
    loss.backward()
    assert loss.item() == 1e4
    # Only the second image is pulled: away from text 1, towards text 2, each by the scale, of two pairs.
    assert image.grad.tolist() == [[0.0], [1e4]]


@given(st.permutations(range(6)), st.floats(1.0, 100.0), st.floats(-20.0, 5.0))
def test_order_of_the_pairs_does_not_matter(order: list[int], scale: float, bias: float) -> None:
    image, text = unit_rows(6, 4, seed=2), unit_rows(6, 4, seed=3)
    shuffled = sigmoid_contrast(image[order], text[order], scalar(scale), scalar(bias)).item()
    assert shuffled == pytest.approx(sigmoid_contrast(image, text, scalar(scale), scalar(bias)).item(), rel=1e-12)


def test_a_low_bias_leaves_only_the_positives_wrong() -> None:
    apart = torch.eye(4, dtype=torch.float64)
    loss = sigmoid_contrast(apart[:2], apart[2:], scalar(10.0), scalar(-30.0)).item()
    assert loss == pytest.approx(30.0, abs=1e-9)


@pytest.mark.parametrize("tile", [None, 3])
def test_logits_stay_fp32_under_autocast(tile: int | None) -> None:
    loss = MODELS.build(dict(type="SigmoidContrastiveLoss", tile=tile))
    image, text = unit_rows(8, 16, 0).float(), unit_rows(8, 16, 1).float()
    exact = loss(image, text, torch.tensor(100.0), torch.tensor(-10.0))
    with torch.autocast("cpu", torch.bfloat16):
        assert loss(image, text, torch.tensor(100.0), torch.tensor(-10.0)) == exact


@pytest.mark.parametrize("tile", [None, 3])
def test_a_bf16_model_is_contrasted_in_fp32(tile: int | None) -> None:
    loss = MODELS.build(dict(type="SigmoidContrastiveLoss", tile=tile))
    inputs = [unit_rows(8, 16, 0), unit_rows(8, 16, 1), torch.tensor(10.0), torch.tensor(-10.0)]
    half = [part.bfloat16() for part in inputs]
    assert loss(*half) == loss(*(part.float() for part in half))
