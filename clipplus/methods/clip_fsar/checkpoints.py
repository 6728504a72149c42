"""Checkpoints of the published code, `checkpoint_epoch_XXXXX.pyth`, as ours.

Such a file is `dict(epoch, model_state, optimizer_state, cfg[, model_ema_state])`. Its weights are `head.scale`,
`head.context2.<key>` and `head.backbone.<OpenAI's name>`; class texts are not among them.
"""

from pathlib import Path
from typing import Any

import torch
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn

from clipplus.checkpoints import load_restricted
from clipplus.checkpoints.atomic import written_aside

#: Beginnings of the published names, and ours.
PREFIXES = {
    "head.backbone.": "backbone.visual.",
    "head.context2.": "cls_head.temporal_transformer.",
    "head.scale": "cls_head.scale",
}
_SHOWN = 5


def read_official(path: Path, average: bool = False) -> dict[str, Tensor]:
    """The weights of a published checkpoint under our names.

    Args:
        path: of the `.pyth` file; nothing in it is executed, its config is left alone.
        average: take the averaged weights, `model_ema_state`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another kind of file, names that are not CLIP-FSAR's, or weights that are missing or of another
            shape; all are listed.
    """
    content = load_restricted(path)
    part = "model_ema_state" if average else "model_state"
    weights = content.get(part) if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise ValueError(f"{path} has no {part}: it is no checkpoint of the published CLIP-FSAR")
    renamed = {_renamed(name): value for name, value in weights.items()}
    foreign = sorted(set(weights) & set(renamed))
    if foreign:
        raise ValueError(f"{path} has {len(foreign)} weights that CLIP-FSAR has not: {_few(foreign)}")
    _require_whole(path, renamed)
    return renamed


def _renamed(name: str) -> str:
    """Our name of a weight; an unknown one stays as it is."""
    for prefix, ours in PREFIXES.items():
        if name.startswith(prefix):
            return ours + name.removeprefix(prefix)
    return name


def _require_whole(path: Path, weights: dict[str, Tensor]) -> None:
    expected = _expected(path, weights)
    missing, unknown = sorted(expected.keys() - weights.keys()), sorted(weights.keys() - expected.keys())
    shapes = [f"{n} {tuple(weights[n].shape)}" for n in sorted(expected) if n in weights and
              weights[n].shape != expected[n].shape]  # fmt: skip
    for names, what in ((missing, "lacks"), (unknown, "has too many"), (shapes, "has other shapes of")):
        if names:
            raise ValueError(f"{path} {what} {len(names)} weights: {_few(names)}")


def _expected(path: Path, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """What the weights must be: those of the tower that they seem to be of, and of a head with as many layers."""
    tower = "ViT-B-16-quickgelu" if "backbone.visual.class_embedding" in weights else "RN50-quickgelu"
    layers = {name.split(".")[3] for name in weights if name.startswith("cls_head.temporal_transformer.layers.")}
    if not layers:
        raise ValueError(f"{path} has no temporal transformer (head.context2): it is no checkpoint of CLIP-FSAR")
    with torch.device("meta"), DefaultScope.overwrite_default_scope("mmaction"):
        image_tower: Any = MODELS.build(dict(type="CLIPImageTower", model=tower))
        head: nn.Module = MODELS.build(dict(type="CLIPFSARHead", in_channels=image_tower.embed_dim, depth=len(layers)))
    found = {f"backbone.{name}": value for name, value in image_tower.state_dict().items()}
    found |= {f"cls_head.{name}": value for name, value in head.state_dict().items()}
    # Counters of batch norms may be missing in files of old versions of torch.
    optional = {name for name in found if name.endswith("num_batches_tracked") and name not in weights}
    return {name: value for name, value in found.items() if name not in optional | {"cls_head.text_coefficient"}}


def _few(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def import_official(path: Path, out: Path, text_coefficient: float = 0.9, average: bool = False) -> None:
    """Write a published checkpoint as one that `tools/test.py` and `clipplus predict` read.

    Args:
        path: see `read_official`.
        out: a `.pth` file.
        text_coefficient: of the combined answers; the published default.
        average: see `read_official`.

    Raises:
        FileNotFoundError, ValueError: see `read_official`.
    """
    weights = read_official(path, average)
    # Files of CLIP in half precision stay exact in float32.
    state = {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}
    for name in [name for name in state if name.endswith("running_var")]:
        state.setdefault(name.replace("running_var", "num_batches_tracked"), torch.tensor(0))
    state["cls_head.text_coefficient"] = torch.tensor(text_coefficient, dtype=torch.float64)
    with written_aside(out) as partial:
        torch.save({"state_dict": state, "meta": {"imported_from": path.name}}, partial)
