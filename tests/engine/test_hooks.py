"""The scale's bounds, and what checkpoints say and must contain."""

import math
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import ConfigDict
from torch import nn

from clipplus.engine import CheckpointContractHook, LogitScaleClampHook
from clipplus.version import __version__


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.image_tower = nn.Linear(2, 2)
        self.image_tower.config = SimpleNamespace(quick_gelu=True)
        self.logit_scale = nn.Parameter(torch.tensor(9.0))
        self.logit_scale_local = nn.Parameter(torch.tensor(-1.0))


def runner_of(model: nn.Module) -> SimpleNamespace:
    return SimpleNamespace(
        model=model,
        cfg=ConfigDict(model=ConfigDict(type="Net", width=2)),
        seed=3,
        hooks=[],
        _resume=False,
        _load_from="some.pth",
    )


def test_every_logit_scale_is_clamped_after_an_update() -> None:
    net = Net()
    LogitScaleClampHook(max_scale=50.0).after_train_iter(runner_of(net), 0)
    assert float(net.logit_scale) == pytest.approx(math.log(50))
    assert float(net.logit_scale_local) == 0.0


def test_checkpoints_record_their_model_as_plain_data() -> None:
    checkpoint: dict = {"meta": {}}
    CheckpointContractHook().before_save_checkpoint(runner_of(Net()), checkpoint)
    record = checkpoint["meta"]["clipplus"]
    assert record.pop("provenance")["seed"] == 3
    assert record == {"version": __version__, "model": {"type": "Net", "width": 2}, "quick_gelu": True}
    assert type(record["model"]) is dict


def test_open_clip_names_are_mapped_to_the_models_own() -> None:
    net = Net()
    one = torch.tensor(1.0)
    checkpoint = {"state_dict": {"module.weight": torch.ones(2, 2), "bias": torch.ones(2), "logit_scale": one,
                                 "logit_scale_local": one}}  # fmt: skip
    CheckpointContractHook().after_load_checkpoint(runner_of(net), checkpoint)
    assert checkpoint["state_dict"].keys() == net.state_dict().keys()


def test_missing_keys_and_other_shapes_are_refused_in_one_error() -> None:
    checkpoint = {"state_dict": {"image_tower.weight": torch.ones(3, 2), "logit_scale": torch.tensor(1.0)}}
    with pytest.raises(
        ValueError,
        match=r"some.pth does not fit Net: 2 keys missing \(image_tower.bias, logit_scale_local\), 1 of other shape",
    ):
        CheckpointContractHook().after_load_checkpoint(runner_of(Net()), checkpoint)


def test_keys_that_the_model_lists_as_new_may_be_missing() -> None:
    net = Net()
    net.new_keys = ("logit_scale_local",)
    state = {key: value for key, value in net.state_dict().items() if key != "logit_scale_local"}
    CheckpointContractHook().after_load_checkpoint(runner_of(net), {"state_dict": state})
