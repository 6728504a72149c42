"""What is written, what it refuses, and where weights of ancestors go."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from clipplus.engine.tower_references import TowerReferencesHook
from clipplus.methods.ma_clip.checkpoints import adapters_of_aim, transformer_of_clip_fsar
from clipplus.methods.ma_clip.commands import main

OURS = {"S_Adapter": "m_adapter", "T_Adapter": "t_adapter", "T_Adapter_in": "t_adapter_in", "MLP_Adapter": "j_adapter"}


@pytest.fixture
def pretrained(tower: Any, tmp_path: Path) -> Any:
    """`pretrained(seed)`: a recogniser-like module whose backbone comes from a file."""
    init_default_scope("mmaction")

    def build(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        config = tower()
        file = tmp_path / f"start{seed}.pt"
        if not file.exists():
            clip = nn.ModuleDict(
                dict(
                    image_tower=MODELS.build(dict(type="CLIPImageTower", model=config)),
                    text_tower=MODELS.build(dict(type="CLIPTextTower", model=config)),
                )
            )
            weights = {name.split(".", 1)[1]: value for name, value in clip.state_dict().items()}
            torch.save({**weights, "logit_scale": torch.tensor(2.0)}, file)
        built = nn.Module()
        built.backbone = MODELS.build(
            dict(type="MACLIPVisualBackbone", model=config, pretrained=str(file), num_frames=3)
        )
        return built

    return build


def saved(model: nn.Module) -> dict[str, Any]:
    checkpoint: dict[str, Any] = {"state_dict": dict(model.state_dict()), "meta": {}}
    TowerReferencesHook().before_save_checkpoint(SimpleNamespace(model=model), checkpoint)
    return checkpoint


def loaded(model: nn.Module, checkpoint: dict[str, Any]) -> None:
    TowerReferencesHook().after_load_checkpoint(SimpleNamespace(model=model, _load_from="a.pth"), checkpoint)
    model.load_state_dict(checkpoint["state_dict"], strict=True)


def test_a_checkpoint_holds_what_trained_and_names_the_rest(pretrained: Any) -> None:
    model = pretrained(0)
    checkpoint = saved(model)
    assert set(checkpoint["state_dict"]) == {f"backbone.{name}" for name, _ in model.backbone.trained_parameters()}
    assert checkpoint["meta"]["towers"]["backbone"]["pretrained"].endswith("start0.pt")


def test_it_loads_into_the_tower_that_it_names(pretrained: Any) -> None:
    model, other = pretrained(0), pretrained(0)
    for _, value in model.backbone.trained_parameters():
        value.data.normal_()
    loaded(other, saved(model))
    for name, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name


def test_it_refuses_another_tower(pretrained: Any) -> None:
    with pytest.raises(ValueError, match=r"a.pth was made with backbone .*start0.pt.*set model.backbone.pretrained"):
        loaded(pretrained(1), saved(pretrained(0)))


def aim(blocks: int = 2) -> dict[str, torch.Tensor]:
    names = [
        f"backbone.transformer.resblocks.{block}.{adapter}.{layer}.{kind}"
        for block in range(blocks) for adapter in OURS for layer in ("D_fc1", "D_fc2") for kind in ("weight", "bias")
    ]  # fmt: skip
    weights = {name: torch.full((1,), float(number)) for number, name in enumerate(names)}
    return {**weights, "backbone.temporal_embedding": torch.zeros(1, 3, 24), "backbone.ln_pre.weight": torch.ones(24)}


def test_adapters_of_aim_get_our_names(backbone: Any) -> None:
    found = adapters_of_aim(aim())
    wanted = {f"backbone.{n}" for n, _ in backbone(num_temporal_adapters=2, use_text_token=False).trained_parameters()}
    assert set(found) == wanted
    source = aim()
    for theirs, ours in OURS.items():
        for layer, name in (("D_fc1", "down"), ("D_fc2", "up")):
            expected = source[f"backbone.transformer.resblocks.1.{theirs}.{layer}.bias"]
            assert torch.equal(found[f"backbone.adapters.1.{ours}.{name}.bias"], expected)


@pytest.mark.parametrize(("weights", "message"), [
    ({"backbone.ln_pre.weight": 1}, "no adapters of AIM among 1 weights: backbone.ln_pre.weight"),
    ({"transformer.resblocks.0.X_Adapter.D_fc1.weight": 1}, "1 adapter weights have names that AIM's have not"),
], ids=str)  # fmt: skip
def test_other_weights_are_not_those_of_aim(weights: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        adapters_of_aim({name: torch.ones(1) for name in weights})


def context2() -> dict[str, torch.Tensor]:
    first, second = "head.context2.layers.0.0.", "head.context2.layers.0.1.net."
    names = [
        *(f"{first}norm.{kind}" for kind in ("weight", "bias")), *(f"{first}fn.to_{part}.weight" for part in "qkv"),
        *(f"{first}fn.to_out.0.{kind}" for kind in ("weight", "bias")),
        *(f"{second}{layer}.{kind}" for layer in (0, 3) for kind in ("weight", "bias")),
    ]  # fmt: skip
    return {name: torch.full((1,), float(number)) for number, name in enumerate(names)}


def test_transformer_of_clip_fsar_is_that_of_the_neck(tmp_path: Path) -> None:
    init_default_scope("mmaction")
    neck = MODELS.build(dict(type="TPCM", embed_dim=16, heads=2, ffn_channels=24))
    found = transformer_of_clip_fsar({**context2(), "head.scale": torch.ones(1)})
    assert set(found) == {f"neck.{name}" for name in neck.state_dict()}
    assert float(found["neck.ffn.1.bias"]) == float(context2()["head.context2.layers.0.1.net.3.bias"])
    source, out = tmp_path / "official.pyth", tmp_path / "start.pth"
    torch.save({"model_state": context2(), "epoch": 3}, source)
    assert main(["import-clip-fsar", str(source), "--out", str(out)]) == 0
    assert set(torch.load(out)["state_dict"]) == set(found)


def test_what_the_transformer_lacks_is_listed() -> None:
    weights = context2()
    del weights["head.context2.layers.0.0.fn.to_out.0.bias"]
    with pytest.raises(ValueError, match=r"lacks 1 weights: neck.to_out.bias"):
        transformer_of_clip_fsar(weights)
    with pytest.raises(ValueError, match=r"TPCM has one layer; 1 weights do not fit"):
        transformer_of_clip_fsar({**context2(), "head.context2.layers.1.0.norm.weight": torch.ones(1)})


def test_a_missing_file_is_one_line(tmp_path: Path, capsys: Any) -> None:
    assert main(["import-aim", str(tmp_path / "none.pth"), "--out", str(tmp_path / "out.pth")]) == 1
    assert "none.pth" in capsys.readouterr().err
