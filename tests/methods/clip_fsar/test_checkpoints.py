"""Checkpoints of the published code: a round trip through the importer, and what it refuses."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS

import clipplus.methods.clip_fsar  # noqa: F401 - registers the parts
from clipplus.checkpoints import load_restricted
from clipplus.methods.clip_fsar import commands

HEAD = dict(type="CLIPFSARHead")
TOWERS = {"RN50-quickgelu": 38_316_896, "ViT-B-16-quickgelu": 86_192_640}


def official(tower: str) -> dict:
    """A file of the published code: zeros, which take no room in memory until they are written."""
    image_tower = MODELS.build(dict(type="CLIPImageTower", model=tower))
    head = MODELS.build(dict(type="CLIPFSARHead", in_channels=image_tower.embed_dim))
    state = {f"head.backbone.{name.removeprefix('visual.')}": v for name, v in image_tower.state_dict().items()}
    transformer = head.temporal_transformer.state_dict()
    state |= {f"head.context2.{name}": value for name, value in transformer.items()}
    return dict(epoch=3, model_state={**state, "head.scale": torch.tensor([1.25])}, optimizer_state={}, cfg="a: 1")


@pytest.fixture(scope="module")
def rn50() -> dict:
    with torch.device("meta"):
        content = official("RN50-quickgelu")
    content["model_state"] = {
        name: torch.zeros(()).expand(value.shape) if value.is_meta else value
        for name, value in content["model_state"].items()
    }
    content["model_state"]["head.scale"] = torch.tensor([1.25])
    return content


@pytest.fixture
def saved(tmp_path: Path, rn50: dict) -> Callable[..., Path]:
    """`saved(changed, dropped=...)`: the file with other weights."""

    def save(changed: dict | None = None, dropped: str = "", **content: object) -> Path:
        state = {**rn50["model_state"], **(changed or {})}
        state.pop(dropped, None)
        torch.save({**rn50, "model_state": state, **content}, tmp_path / "official.pyth")
        return tmp_path / "official.pyth"

    return save


def imported(path: Path) -> dict:
    out = path.with_name("ours.pth")
    assert commands.main(["import", str(path), "--out", str(out)]) == 0
    return load_restricted(out)


def test_weights_arrive_under_our_names_and_fit_the_config(saved: Callable[..., Path]) -> None:
    to_q = torch.arange(1024.0)[:, None].expand(1024, 1024)
    state = imported(saved({"head.context2.layers.0.0.fn.to_q.weight": to_q}))["state_dict"]
    assert torch.equal(state["cls_head.temporal_transformer.layers.0.0.fn.to_q.weight"], to_q)
    assert state["cls_head.scale"].tolist() == [1.25]
    assert float(state["cls_head.text_coefficient"]) == 0.9
    tower = dict(type="CLIPImageTower", model="RN50-quickgelu")
    text = dict(type="ClassTextBank", tower=dict(type="CLIPTextTower", model="RN50-quickgelu"))
    with torch.device("meta"):
        model = MODELS.build(
            dict(
                type="FewShotRecognizer",
                backbone=tower,
                text=text,
                cls_head=dict(type="CLIPFSARHead", in_channels=1024),
            )
        )
    assert {name: tuple(v.shape) for name, v in model.state_dict().items()} == {
        name: tuple(v.shape) for name, v in state.items()
    }


@pytest.mark.parametrize(
    ("changed", "dropped", "message"),
    [
        ({"head.backbone.extra": torch.zeros(1)}, "", r"has too many 1 weights: backbone\.visual\.extra"),
        ({"body.weight": torch.zeros(1)}, "", r"has 1 weights that CLIP-FSAR has not: body\.weight"),
        ({}, "head.scale", r"lacks 1 weights: cls_head\.scale"),
        ({"head.scale": torch.zeros(2)}, "", r"has other shapes of 1 weights: cls_head\.scale \(2,\)"),
    ],
)
def test_weights_that_are_not_those_of_the_method_are_listed(
    changed: dict, dropped: str, message: str, saved: Callable[..., Path]
) -> None:
    with pytest.raises(ValueError, match=message):
        imported(saved(changed, dropped))


def test_other_files_are_refused(saved: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no model_ema_state"):
        commands.main(["import", str(saved()), "--average", "--out", str(tmp_path / "x.pth")])
    with pytest.raises(ValueError, match="has no model_state: it is no checkpoint of the published CLIP-FSAR"):
        imported(saved(model_state=None))
    with pytest.raises(FileNotFoundError, match="does not exist"):
        commands.main(["import", str(tmp_path / "nothing.pyth"), "--out", str(tmp_path / "x.pth")])


@pytest.mark.parametrize(("tower", "parameters"), TOWERS.items())
def test_towers_have_the_published_number_of_parameters(tower: str, parameters: int) -> None:
    with torch.device("meta"):
        model = MODELS.build(dict(type="CLIPImageTower", model=tower))
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
