"""Two parameter groups, and mixed precision that knows the CPU."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from clipplus.engine.optim import AutoAmpOptimWrapper, decays


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm, self.frozen = nn.Linear(3, 2), nn.LayerNorm(2), nn.Linear(2, 2)
        self.logit_scale = nn.Parameter(torch.tensor(1.0))
        self.frozen.requires_grad_(False)


CONFIG = dict(
    type="AutoAmpOptimWrapper",
    constructor="CLIPOptimWrapperConstructor",
    optimizer=dict(type="AdamW", lr=0.1, weight_decay=0.5),
)


def test_exactly_the_matrices_decay_and_frozen_parameters_are_left_out() -> None:
    net = Net()
    groups = build_optim_wrapper(net, CONFIG).optimizer.param_groups
    assert [group["weight_decay"] for group in groups] == [0.5, 0.0]
    names = {id(p): name for name, p in net.named_parameters()}
    assert [names[id(p)] for p in groups[0]["params"]] == ["linear.weight"]
    assert sorted(names[id(p)] for p in groups[1]["params"]) == [
        "linear.bias", "logit_scale", "norm.bias", "norm.weight",
    ]  # fmt: skip


def test_scale_and_bias_never_decay_whatever_their_shape() -> None:
    matrix = nn.Parameter(torch.zeros(1, 1))
    assert not decays("module.logit_scale", matrix)
    assert not decays("logit_bias", matrix)
    assert decays("proj", matrix)


def test_paramwise_rules_are_refused() -> None:
    with pytest.raises(ValueError, match="one fixed rule: remove paramwise_cfg"):
        build_optim_wrapper(Net(), dict(CONFIG, paramwise_cfg=dict(norm_decay_mult=0.0)))


def test_a_model_with_nothing_to_train_is_refused() -> None:
    with pytest.raises(ValueError, match="Linear has no trainable parameter"):
        build_optim_wrapper(nn.Linear(2, 2).requires_grad_(False), CONFIG)


def test_amp_on_the_cpu_is_plain_fp32() -> None:
    net = nn.Linear(2, 2)
    wrapper = AutoAmpOptimWrapper(optimizer=torch.optim.SGD(net.parameters(), lr=0.1))
    with wrapper.optim_context(net):
        assert net(torch.zeros(1, 2)).dtype == torch.float32


@pytest.mark.gpu
def test_amp_on_a_gpu_is_bfloat16() -> None:
    net = nn.Linear(2, 2).cuda()
    wrapper = AutoAmpOptimWrapper(optimizer=torch.optim.SGD(net.parameters(), lr=0.1))
    with wrapper.optim_context(net):
        assert net(torch.zeros(1, 2, device="cuda")).dtype == torch.bfloat16


def test_float16_is_refused_with_the_wrapper_to_use() -> None:
    with pytest.raises(ValueError, match="float16 needs AmpOptimWrapper"):
        AutoAmpOptimWrapper(dtype="float16", optimizer=torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1))
