"""Tiled losses equal dense ones in value and gradients, in memory that does not grow with the square of the batch."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.registry import MODELS
from torch import Tensor

from clipplus.losses import sigmoid_contrast, softmax_contrast

Loss = Callable[[Tensor, Tensor, Tensor, Tensor, int | None], Tensor]

LOSSES: dict[str, Loss] = {
    "softmax": lambda image, text, scale, bias, tile: softmax_contrast(image, text, scale + 0 * bias, tile=tile),
    "softmax smoothed": lambda image, text, scale, bias, tile: softmax_contrast(
        image, text, scale + 0 * bias, smoothing=0.3, tile=tile
    ),
    "sigmoid": sigmoid_contrast,
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def draw_inputs(pairs: int, width: int = 5, seed: int = 0) -> list[Tensor]:
    """Leaves: image and text (pairs, width), not normalised, scale, bias; float64."""
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randn(pairs, width, generator=generator, dtype=torch.float64) for _ in range(2)]
    return [part.requires_grad_() for part in (*drawn, *torch.tensor([9.0, -4.0], dtype=torch.float64))]


def value_and_gradients(loss: Loss, inputs: list[Tensor], tile: int | None) -> list[Tensor]:
    """The loss, then its gradients by the inputs."""
    value = loss(*inputs, tile)
    return [value.detach(), *torch.autograd.grad(value, inputs)]


@every_loss
@pytest.mark.parametrize("tile", [1, 3, 10, 1000])
def test_equals_the_dense_form(loss: Loss, tile: int) -> None:
    inputs = draw_inputs(10)
    dense = value_and_gradients(loss, inputs, None)
    torch.testing.assert_close(value_and_gradients(loss, inputs, tile), dense, rtol=1e-10, atol=1e-10)


@every_loss
@given(pairs=st.integers(1, 9), tile=st.integers(1, 11), seed=st.integers(0, 1000))
def test_the_size_of_the_tile_does_not_matter(loss: Loss, pairs: int, tile: int, seed: int) -> None:
    inputs = draw_inputs(pairs, seed=seed)
    whole = value_and_gradients(loss, inputs, pairs)
    torch.testing.assert_close(value_and_gradients(loss, inputs, tile), whole, rtol=1e-10, atol=1e-10)


@every_loss
def test_gradients_are_those_of_finite_differences(loss: Loss) -> None:
    assert torch.autograd.gradcheck(lambda *inputs: loss(*inputs, 2), draw_inputs(5, width=3))


@every_loss
def test_what_comes_after_the_loss_scales_its_gradients(loss: Loss) -> None:
    inputs = draw_inputs(4)
    plain = torch.autograd.grad(loss(*inputs, 2), inputs)
    scaled = torch.autograd.grad(1024 * loss(*inputs, 2) + 1, inputs)
    torch.testing.assert_close(scaled, tuple(1024 * gradient for gradient in plain), rtol=1e-15, atol=0)


@every_loss
@pytest.mark.parametrize("frozen", [(0,), (1,), (0, 1), (0, 1, 2), (1, 2, 3)], ids=str)
def test_frozen_inputs_change_nothing_for_the_others(loss: Loss, frozen: tuple[int, ...]) -> None:
    inputs = draw_inputs(6)
    for index in frozen:
        inputs[index].requires_grad_(False)
    learnt = [part for part in inputs if part.requires_grad]
    dense, tiled = (torch.autograd.grad(loss(*inputs, tile), learnt) for tile in (None, 4))
    torch.testing.assert_close(tiled, dense, rtol=1e-10, atol=1e-10)


@every_loss
def test_without_gradient_only_the_value_is_computed(loss: Loss, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = draw_inputs(6)
    expected = loss(*inputs, None).detach()
    monkeypatch.delattr("clipplus.losses.tiled.PairTiles.send_back")
    with torch.no_grad():
        torch.testing.assert_close(loss(*inputs, 4), expected, rtol=1e-12, atol=0)


@every_loss
def test_a_second_derivative_is_refused(loss: Loss) -> None:
    inputs = draw_inputs(4)
    with pytest.raises(RuntimeError, match=r"no second derivative .* use tile=None"):
        torch.autograd.grad(loss(*inputs, 2), inputs, create_graph=True)


def peak_bytes(step: Callable[[], None], trace: Path) -> int:
    """Most bytes that torch held at once while the step ran, beyond those before it."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    profiler.export_chrome_trace(str(trace))
    events = [e for e in json.loads(trace.read_text(encoding="utf-8"))["traceEvents"] if e["name"] == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda event: event["ts"]):
        held += event["args"]["Bytes"]
        most = max(most, held)
    return most


@every_loss
def test_memory_grows_with_the_batch_and_not_with_its_square(loss: Loss, tmp_path: Path) -> None:
    def peak(pairs: int, tile: int | None) -> int:
        inputs = draw_inputs(pairs)
        return peak_bytes(lambda: loss(*inputs, tile).backward(), tmp_path / "trace.json")

    assert peak(512, None) > 3.5 * peak(256, None)
    assert peak(512, 8) < 2.2 * peak(256, 8)
    assert peak(512, 8) < 0.15 * peak(512, None)


@pytest.mark.parametrize("tile", [0, -1])
@pytest.mark.parametrize("name", ["SoftmaxContrastiveLoss", "SigmoidContrastiveLoss"])
def test_a_bad_tile_is_refused_when_the_config_is_built(name: str, tile: int) -> None:
    with pytest.raises(ValueError, match=rf"tile must be None \(dense\) or a whole number of at least 1, got {tile!r}"):
        MODELS.build(dict(type=name, tile=tile))
