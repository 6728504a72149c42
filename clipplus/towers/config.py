"""What an open_clip tower is made of: names, dicts and weight tags resolved into one checked description."""

import copy
import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip

from clipplus.checkpoints import WeightFile, read_weights

_KNOWN_KEYS = {
    "embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "custom_text", "init_logit_scale", "init_logit_bias",
    "nonscalar_logit_scale",
}  # fmt: skip


@dataclass
class TowerConfig:
    """One open_clip model description.

    Attributes:
        name: how messages call it: the open_clip name, or 'custom'.
        embed_dim: joint width E.
        vision_cfg, text_cfg: open_clip's own keyword arguments.
        quick_gelu: activation of both towers.
        activation_stated: whether the user (or the name) said which activation, so that weights of unknown origin
            may be trusted to match.
        custom_text: the text tower's keys carry `text.` (SigLIP and other `CustomTextCLIP` models).
    """

    name: str
    embed_dim: int
    vision_cfg: dict[str, Any]
    text_cfg: dict[str, Any]
    quick_gelu: bool
    activation_stated: bool
    custom_text: bool


def resolve_model(model: str | dict, quick_gelu: bool | None = None) -> TowerConfig:
    """The description that `model` stands for.

    Args:
        model: an open_clip model name ('ViT-B-32', 'local-dir:PATH'), or a dict of open_clip's JSON form
            (`embed_dim`, `vision_cfg`, `text_cfg`, optionally `quick_gelu`, `custom_text`).
        quick_gelu: the activation, when the user states it beside the name.

    Raises:
        ValueError: unknown name (with the nearest known ones), or missing or unknown keys of a dict.
    """
    if isinstance(model, str):
        name, settings = model, open_clip.get_model_config(model)
        if settings is None:
            near = difflib.get_close_matches(model, open_clip.list_models(), n=3)
            hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise ValueError(f"unknown tower '{model}'{hint} (open_clip.list_models() lists all names)")
    else:
        name, settings = "custom", copy.deepcopy(dict(model))
        missing = {"embed_dim", "vision_cfg", "text_cfg"} - settings.keys()
        unknown = settings.keys() - _KNOWN_KEYS
        if missing or unknown:
            raise ValueError(
                f"model dict: missing keys {sorted(missing)}, unknown keys {sorted(unknown)}; "
                f"known: {', '.join(sorted(_KNOWN_KEYS))}"
            )
    own = settings.get("quick_gelu")
    if quick_gelu is not None and own is not None and own != quick_gelu:
        raise ValueError(f"tower '{name}' has quick_gelu={own} itself, but quick_gelu={quick_gelu} was given")
    return TowerConfig(
        name=name,
        embed_dim=settings["embed_dim"],
        vision_cfg=dict(settings["vision_cfg"]),
        text_cfg=dict(settings["text_cfg"]),
        quick_gelu=bool(own if quick_gelu is None else quick_gelu),
        activation_stated=quick_gelu is not None or own is not None,
        custom_text=bool(settings.get("custom_text", False)) or "hf_model_name" in settings["text_cfg"],
    )


def load_pretrained(config: TowerConfig, pretrained: str) -> WeightFile:
    """Read the weights that a tower starts from, with its activation checked.

    Args:
        config: the tower.
        pretrained: a file, or an open_clip tag of the tower's name ('openai', 'laion2b_s34b_b79k').

    Raises:
        FileNotFoundError: neither a file nor a tag of this tower, or a tag whose file cannot be downloaded.
        ValueError: the weights were trained with the other activation, or nobody says which.
    """
    if Path(pretrained).expanduser().is_file():
        file = read_weights(pretrained)
        trained_with = file.record.get("quick_gelu")
    else:
        tag = open_clip.get_pretrained_cfg(config.name, pretrained)
        if not tag:
            tags = ", ".join(open_clip.list_pretrained_tags_by_model(config.name)) or "none"
            raise FileNotFoundError(
                f"pretrained='{pretrained}' is no file and no weight tag of tower '{config.name}' (its tags: {tags})"
            )
        trained_with = bool(tag.get("quick_gelu", False))
        check_activation(config, pretrained, trained_with)
        return read_weights(_download(config.name, pretrained, tag))
    check_activation(config, pretrained, trained_with)
    return file


def _download(name: str, pretrained: str, tag: dict) -> str:
    try:
        return open_clip.download_pretrained(tag)
    # The hub's client, urllib and open_clip's own checks raise anything from OSError to RuntimeError.
    except Exception as error:
        reason = " ".join(str(error).split())
        raise FileNotFoundError(
            f"the weights '{pretrained}' of tower '{name}' cannot be downloaded ({type(error).__name__}: "
            f"{reason:.160}): fetch the file {tag.get('hf_hub') or tag.get('url')} elsewhere and state it as "
            "`pretrained='PATH'` of both towers (HF_HUB_OFFLINE=1 saves the wait)"
        ) from error


def check_activation(config: TowerConfig, source: str, trained_with: bool | None) -> None:
    """Refuse weights of the other activation: they load without complaint and lose most of their accuracy.

    Args:
        config: the tower that is to be loaded.
        source: how messages call the weights.
        trained_with: True for QuickGELU, False for GELU, None when nobody knows.

    Raises:
        ValueError: mismatch; or unknown, and the tower's config does not state its activation either.
    """
    names = {True: "QuickGELU", False: "GELU"}
    if trained_with is None:
        if not config.activation_stated:
            raise ValueError(
                f"'{source}' does not say with which activation it was trained: state quick_gelu=True or "
                f"quick_gelu=False for tower '{config.name}' (OpenAI, MetaCLIP and DFN weights use QuickGELU)"
            )
    elif trained_with != config.quick_gelu:
        use = f"'{config.name}-quickgelu'" if trained_with and config.name != "custom" else f"quick_gelu={trained_with}"
        raise ValueError(
            f"tower '{config.name}' uses {names[config.quick_gelu]} but '{source}' was trained with "
            f"{names[trained_with]}; use {use}"
        )
