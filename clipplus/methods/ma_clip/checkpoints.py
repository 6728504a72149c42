"""Adapters of AIM and the transformer of CLIP-FSAR as weights to start from.

AIM (arXiv 2302.03024) calls what it puts into block i of OpenAI's ViT `transformer.resblocks.{i}.{S,T,MLP}_Adapter`;
our names are those of the state-dict keys. The frozen tower of such a file is left out: a config names it.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from clipplus.checkpoints import load_restricted
from clipplus.checkpoints.atomic import written_aside

_ADAPTERS = {
    "S_Adapter": "m_adapter",
    "T_Adapter": "t_adapter",
    "T_Adapter_in": "t_adapter_in",
    "MLP_Adapter": "j_adapter",
}
_LAYERS = {"D_fc1": "down", "D_fc2": "up"}
_ADAPTER = re.compile(
    r"transformer\.resblocks\.(\d+)\.(S_Adapter|T_Adapter|T_Adapter_in|MLP_Adapter)\.(D_fc1|D_fc2)\.(weight|bias)"
)
_TRANSFORMER = {
    "layers.0.0.norm": "norm",
    "layers.0.0.fn.to_q": "to_q",
    "layers.0.0.fn.to_k": "to_k",
    "layers.0.0.fn.to_v": "to_v",
    "layers.0.0.fn.to_out.0": "to_out",
    "layers.0.1.net.0": "ffn.0",
    "layers.0.1.net.3": "ffn.1",
}
_SHOWN = 5


def adapters_of_aim(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Adapters and temporal embedding of AIM's weights, named `backbone. ...`.

    Raises:
        ValueError: no adapter among them, or adapter weights with unknown names; lists them.
    """
    found, unknown = {}, []
    for name, value in weights.items():
        inner = name.removeprefix("module.").removeprefix("backbone.")
        match = _ADAPTER.fullmatch(inner)
        if match:
            block, adapter, layer, kind = match.groups()
            found[f"backbone.adapters.{block}.{_ADAPTERS[adapter]}.{_LAYERS[layer]}.{kind}"] = value
        elif inner == "temporal_embedding":
            found[f"backbone.{inner}"] = value
        elif "Adapter" in inner:
            unknown.append(name)
    if unknown:
        raise ValueError(f"{len(unknown)} adapter weights have names that AIM's have not: {_few(unknown)}")
    if not any(".adapters." in name for name in found):
        raise ValueError(f"no adapters of AIM among {len(weights)} weights: {_few(sorted(weights))}")
    return found


def transformer_of_clip_fsar(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The transformer of CLIP-FSAR's weights as that of `TPCM`, named `neck. ...`.

    Raises:
        ValueError: none among them, one of several layers, or one that lacks weights.
    """
    inner = {name.split("context2.", 1)[1]: value for name, value in weights.items() if "context2." in name}
    if not inner:
        raise ValueError(f"no transformer of CLIP-FSAR (context2) among {len(weights)} weights")
    found, unknown = {}, []
    for name, value in inner.items():
        module, kind = name.rsplit(".", 1)
        if module in _TRANSFORMER:
            found[f"neck.{_TRANSFORMER[module]}.{kind}"] = value
        else:
            unknown.append(name)
    if unknown:
        raise ValueError(f"TPCM has one layer; {len(unknown)} weights do not fit into it: {_few(unknown)}")
    without_bias = ("to_q", "to_k", "to_v")
    wanted = [f"neck.{name}.weight" for name in _TRANSFORMER.values()]
    wanted += [f"neck.{name}.bias" for name in _TRANSFORMER.values() if name not in without_bias]
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ValueError(f"the transformer lacks {len(missing)} weights: {_few(missing)}")
    return found


def read_weights(path: Path) -> dict[str, Tensor]:
    """The weights of an official file, whatever they are wrapped in; nothing in it is executed.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file without weights.
    """
    content = load_restricted(path)
    for part in ("state_dict", "model_state"):
        if isinstance(content, dict) and isinstance(content.get(part), dict):
            content = content[part]
    parts = content.items() if isinstance(content, dict) else ()
    weights = {name: value for name, value in parts if isinstance(value, Tensor)}
    if not weights:
        raise ValueError(f"{path} holds no weights")
    return weights


def write_start(weights: Mapping[str, Tensor], out: Path) -> None:
    """Write weights as a checkpoint for `load_from`."""
    with written_aside(out) as partial:
        torch.save({"state_dict": dict(weights), "meta": {}}, partial)


def _few(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
