"""The softmax contrast against its definition, open_clip, and values known by hand."""

import math

import open_clip.loss
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.registry import MODELS

from clipplus.losses import softmax_contrast


def unit_rows(rows: int, width: int, seed: int) -> torch.Tensor:
    """(rows, width) float64 rows of length one."""
    drawn = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(drawn, dim=-1)


def loss_by_definition(image: torch.Tensor, text: torch.Tensor, scale: torch.Tensor) -> float:
    """The formula of the docstring, one pair and one candidate at a time."""
    total, pairs = 0.0, len(image)
    for i in range(pairs):
        for a, b in ((image, text), (text, image)):
            scores = [float(scale * a[i] @ b[j]) for j in range(pairs)]
            total += math.log(sum(math.exp(s) for s in scores)) - scores[i]
    return total / (2 * pairs)


@pytest.mark.parametrize("tile", [None, 2])
@pytest.mark.parametrize("pairs", [1, 2, 7])
def test_equals_its_definition(pairs: int, tile: int | None) -> None:
    image, text = unit_rows(pairs, 5, seed=0), unit_rows(pairs, 5, seed=1)
    scale = torch.tensor(14.3, dtype=torch.float64)
    expected = loss_by_definition(image, text, scale)
    assert float(softmax_contrast(image, text, scale, tile=tile)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("tile", [None, 4])
def test_value_and_gradients_equal_open_clip(tile: int | None) -> None:
    ours = [unit_rows(6, 8, seed).float().requires_grad_() for seed in (0, 1)]
    theirs = [part.detach().clone().requires_grad_() for part in ours]
    scales = [torch.tensor(20.0, requires_grad=True) for _ in range(2)]
    loss = softmax_contrast(*ours, scales[0], tile=tile)
    reference = open_clip.loss.ClipLoss()(*theirs, scales[1])
    loss.backward()
    reference.backward()
    torch.testing.assert_close(loss, reference, rtol=0, atol=1e-6)
    for own, other in zip([*ours, scales[0]], [*theirs, scales[1]], strict=True):
        torch.testing.assert_close(own.grad, other.grad, rtol=0, atol=1e-6)


def test_collapsed_embeddings_cost_log_batch() -> None:
    same = unit_rows(1, 4, seed=0).expand(8, 4)
    assert float(softmax_contrast(same, same, torch.tensor(1.0, dtype=torch.float64))) == pytest.approx(math.log(8))


@given(st.permutations(range(6)), st.floats(1.0, 100.0))
def test_order_of_the_pairs_does_not_matter(order: list[int], scale: float) -> None:
    image, text = unit_rows(6, 4, seed=2), unit_rows(6, 4, seed=3)
    multiplier = torch.tensor(scale, dtype=torch.float64)
    shuffled = softmax_contrast(image[order], text[order], multiplier)
    assert float(shuffled) == pytest.approx(float(softmax_contrast(image, text, multiplier)), rel=1e-12)


def test_swapping_images_and_texts_does_not_matter() -> None:
    image, text, scale = unit_rows(5, 4, 0), unit_rows(5, 4, 1), torch.tensor(9.0, dtype=torch.float64)
    assert float(softmax_contrast(image, text, scale)) == pytest.approx(float(softmax_contrast(text, image, scale)))


def test_bad_smoothing_is_refused_when_the_config_is_built() -> None:
    with pytest.raises(ValueError, match=r"smoothing must lie in \[0, 1\), got 1.5"):
        MODELS.build(dict(type="SoftmaxContrastiveLoss", smoothing=1.5))


@pytest.mark.parametrize("tile", [None, 3])
def test_logits_stay_fp32_under_autocast(tile: int | None) -> None:
    loss = MODELS.build(dict(type="SoftmaxContrastiveLoss", tile=tile))
    image, text = unit_rows(8, 16, 0).float(), unit_rows(8, 16, 1).float()
    exact = loss(image, text, torch.tensor(100.0))
    with torch.autocast("cpu", torch.bfloat16):
        assert loss(image, text, torch.tensor(100.0)) == exact


@pytest.mark.parametrize("tile", [None, 3])
def test_a_bf16_model_is_contrasted_in_fp32(tile: int | None) -> None:
    loss = MODELS.build(dict(type="SoftmaxContrastiveLoss", tile=tile))
    inputs = [unit_rows(8, 16, 0), unit_rows(8, 16, 1), torch.tensor(10.0)]
    half = [part.bfloat16() for part in inputs]
    assert loss(*half) == loss(*(part.float() for part in half))
