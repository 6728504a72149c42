"""A training step never waits for the device: it reads nothing from it.

The model and all pixels are on torch's `meta` device, whose tensors have no content: whoever reads one, or makes a
shape of its values, fails. Labels are on the CPU, where reading costs nothing.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.optim import OptimWrapper
from mmengine.registry import DATASETS, MODELS
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

Configure = Callable[..., dict[str, Any]]
MATCHERS = [
    dict(type="OTAMMatcher"),
    dict(type="OTAMMatcher", shots="distance_mean"),
    dict(type="BiMHMMatcher"),
    dict(type="TRXMatcher", in_channels=16, out_channels=8),
    dict(type="MeanPoolMatcher"),
    dict(type="MeanPoolMatcher", measure="squared_euclidean"),
]
PIXELS = dict(
    type="FewShotDataPreprocessor", size=(20, 20), crop=16, query_flip=0.5,
    query_jitter=dict(strength=0.5, hue_shift=0.25, gray_probability=0.3),
)  # fmt: skip
#: What reads a value, or gives a tensor whose shape depends on values.
WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "equal", "is_nonzero"}


class DeviceIsNotRead(TorchDispatchMode):
    """Refuses all that would wait for the device, and counts what runs there."""

    calls = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = [part for part in [*args, *(kwargs or {}).values()] if isinstance(part, Tensor)]
        on_device = any(part.is_meta for part in tensors)
        self.calls += on_device
        name = function.overloadpacket.__name__
        assert not (on_device and name in WAITS), f"{name} waits for the device"
        found = function(*args, **(kwargs or {}))
        leaves = isinstance(found, Tensor) and not found.is_meta
        assert not (on_device and leaves and name in ("_to_copy", "copy_")), f"{name} brings a tensor back to the CPU"
        return found


@pytest.fixture
def batch(episodes_config: Configure) -> dict[str, Any]:
    """Two training episodes of 3 ways, 2 shots, 2 queries."""
    config = episodes_config(shots=2, queries=2)
    config["dataset"]["size"] = 24
    data = DATASETS.build(config)
    return pseudo_collate([data.in_epoch(0, 0, index) for index in range(2)])


@pytest.mark.parametrize("matcher", MATCHERS, ids=str)
def test_a_training_step_reads_nothing_from_the_device(
    matcher: dict, model_config: Configure, batch: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # It has no kind for this device, and the step asks for none.
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    head = dict(type="FewShotHead", matcher=matcher)
    model = MODELS.build(model_config(cls_head=head, data_preprocessor=PIXELS)).to("meta").train()
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    with DeviceIsNotRead() as device:
        terms = model.train_step(batch, optimizer)
    assert terms["loss"].is_meta
    assert device.calls > 100


@pytest.mark.gpu
@pytest.mark.parametrize("matcher", MATCHERS, ids=str)
def test_a_training_step_on_a_gpu_does_not_wait(matcher: dict, model_config: Configure, batch: dict[str, Any]) -> None:
    head = dict(type="FewShotHead", matcher=matcher)
    model = MODELS.build(model_config(cls_head=head, data_preprocessor=PIXELS)).cuda().train()
    optimizer = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=0.1))
    # Kernels and the optimiser's state are made in the first step.
    model.train_step(batch, optimizer)
    torch.cuda.set_sync_debug_mode("error")
    try:
        terms = model.train_step(batch, optimizer)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert bool(terms["loss"].isfinite())


@pytest.mark.parametrize(
    "read", [Tensor.item, Tensor.nonzero, bool, Tensor.cpu, Tensor.tolist, lambda value: value[value > 0]]
)
def test_reading_would_be_noticed(read: Callable[[Tensor], Any]) -> None:
    with DeviceIsNotRead(), pytest.raises((AssertionError, RuntimeError, NotImplementedError)):
        read(torch.ones((), device="meta"))
