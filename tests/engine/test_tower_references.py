"""Frozen pretrained towers are named in checkpoints instead of saved, and found again."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from clipplus.checkpoints import tower_hash
from clipplus.engine import TowerReferencesHook
from clipplus.towers import CLIPImageTower

TOWER = dict(
    embed_dim=8, quick_gelu=False, vision_cfg=dict(image_size=16, patch_size=8, width=16, layers=1, head_width=8),
    text_cfg=dict(context_length=8, vocab_size=64, width=8, heads=1, layers=1),
)  # fmt: skip


def tower(**options: Any) -> CLIPImageTower:
    return CLIPImageTower(TOWER, frozen=True, **options)


@pytest.fixture
def weights(tmp_path: Path) -> Callable[[int], str]:
    """`weights(seed)`: a file of an image tower."""

    def write(seed: int) -> str:
        torch.manual_seed(seed)
        path = tmp_path / f"{seed}.pth"
        torch.save(CLIPImageTower(TOWER).state_dict(), path)
        return str(path)

    return write


class Model(nn.Module):
    """A tower and something that is trained."""

    def __init__(self, image_tower: CLIPImageTower) -> None:
        super().__init__()
        self.image_tower, self.head = image_tower, nn.Linear(2, 2)


def runner(model: Model) -> Any:
    return SimpleNamespace(model=model, _load_from="best.pth")


def saved(model: Model) -> dict[str, Any]:
    checkpoint = dict(meta={}, state_dict=dict(model.state_dict()))
    TowerReferencesHook().before_save_checkpoint(runner(model), checkpoint)
    return checkpoint


def loaded(model: Model, checkpoint: dict[str, Any]) -> dict[str, Any]:
    TowerReferencesHook().after_load_checkpoint(runner(model), checkpoint)
    return checkpoint["state_dict"]


def test_a_pretrained_frozen_tower_is_named_and_put_back(weights: Callable[[int], str]) -> None:
    model = Model(tower(pretrained=weights(0)))
    checkpoint = saved(model)
    assert set(checkpoint["state_dict"]) == {"head.weight", "head.bias"}
    reference = checkpoint["meta"]["towers"]["image_tower"]
    assert reference == dict(pretrained=weights(0), model="custom", hash=tower_hash(model.image_tower.state_dict()))
    state = loaded(Model(tower(pretrained=weights(0))), checkpoint)
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())


def test_a_tower_without_weights_is_loaded_from_what_the_checkpoint_names(weights: Callable[[int], str]) -> None:
    model = Model(tower(pretrained=weights(0)))
    other = Model(tower())
    state = loaded(other, saved(model))
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    assert other.image_tower.pretrained == weights(0)


@pytest.mark.parametrize("frozen", [True, False])
def test_towers_that_no_name_stands_for_are_saved(weights: Callable[[int], str], frozen: bool) -> None:
    started = tower() if frozen else CLIPImageTower(TOWER, pretrained=weights(0))
    checkpoint = saved(Model(started))
    assert any(key.startswith("image_tower.") for key in checkpoint["state_dict"])
    assert "towers" not in checkpoint["meta"]


def test_another_towers_weights_are_refused(weights: Callable[[int], str]) -> None:
    checkpoint = saved(Model(tower(pretrained=weights(0))))
    with pytest.raises(ValueError, match=r"from '.*0\.pth', but the config's is from '.*1\.pth' and differs"):
        loaded(Model(tower(pretrained=weights(1))), checkpoint)


def test_weights_that_are_gone_are_named(weights: Callable[[int], str]) -> None:
    checkpoint = saved(Model(tower(pretrained=weights(0))))
    Path(checkpoint["meta"]["towers"]["image_tower"]["pretrained"]).unlink()
    with pytest.raises(ValueError, match=r"does not hold its image_tower, .*0\.pth', which cannot be read: .* no file"):
        loaded(Model(tower()), checkpoint)


def test_weights_that_have_changed_are_refused(weights: Callable[[int], str]) -> None:
    checkpoint = saved(Model(tower(pretrained=weights(0))))
    first = checkpoint["meta"]["towers"]["image_tower"]["pretrained"]
    Path(weights(1)).replace(first)
    with pytest.raises(ValueError, match=r"whose weights have changed since"):
        loaded(Model(tower()), checkpoint)
