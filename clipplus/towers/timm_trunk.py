"""Image towers whose trunk is timm's (SigLIP and others): what open_clip's `TimmModel` leaves to its caller."""

import difflib
import logging
from typing import Any

import timm
from mmengine.logging import print_log
from open_clip.model import _build_vision_tower
from open_clip.timm_model import TimmModel
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from clipplus.towers.config import TowerConfig

_POSITIONS = "visual.trunk.pos_embed"


def build_visual(config: TowerConfig) -> nn.Module:
    """open_clip's image tower of a config; a timm trunk is set to the config's image size, which open_clip forgets.

    Raises:
        ValueError: a trunk or a pooling that timm does not have, or features that are not of the joint width.
    """
    name = config.vision_cfg.get("timm_model_name")
    if name is None:
        return _build_vision_tower(config.embed_dim, config.vision_cfg, config.quick_gelu)
    if ":" not in name and not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ValueError(f"tower '{config.name}': timm has no model timm_model_name='{name}'{hint}")
    try:
        visual = _build_vision_tower(config.embed_dim, config.vision_cfg, config.quick_gelu)
    except AssertionError as error:  # timm's way of refusing an option
        options = {key: value for key, value in config.vision_cfg.items() if key.startswith("timm_")}
        raise ValueError(f"tower '{config.name}' cannot be built with {options}: {error}") from error
    width = getattr(visual.trunk, "head_hidden_size", visual.trunk.num_features)
    if config.vision_cfg.get("timm_proj") == "none" and not len(visual.head) and width != config.embed_dim:
        raise ValueError(
            f"tower '{config.name}': timm_proj='none' leaves the features of '{name}' {width} wide, but embed_dim is "
            f"{config.embed_dim}: set embed_dim={width}, or timm_proj='linear'"
        )
    _fit_input_size(visual)
    return visual


def _fit_input_size(visual: TimmModel) -> None:
    """Make the trunk expect the images of the config: timm builds it for the size that its own name stands for."""
    embed = getattr(visual.trunk, "patch_embed", None)
    expected = getattr(embed, "img_size", None)
    if expected is not None and tuple(expected) != tuple(visual.image_size):
        visual.set_input_size(visual.image_size)


def resize_positions(weights: dict[str, Tensor], visual: TimmModel) -> None:
    """Interpolate the positions in `weights` (of square images) to the trunk's grid, in place; bicubic."""
    stored, own = weights.get(_POSITIONS), getattr(visual.trunk, "pos_embed", None)
    if stored is None or own is None or stored.shape == own.shape:
        return
    prefix = 0 if getattr(visual.trunk, "no_embed_class", False) else visual.trunk.num_prefix_tokens
    grid = visual.trunk.patch_embed.grid_size
    weights[_POSITIONS] = resample_abs_pos_embed(stored, new_size=list(grid), num_prefix_tokens=prefix)
    print_log(
        f"positions of the weights interpolated from {stored.shape[1] - prefix} to {grid[0]} x {grid[1]} patches",
        logger="current",
        level=logging.INFO,
    )


def checkpoint_gradients(visual: TimmModel, label: str) -> None:
    """Recompute the trunk's blocks in the backward pass.

    Raises:
        ValueError: a trunk that cannot; open_clip would go on without.
    """
    try:
        visual.trunk.set_grad_checkpointing(True)
    except (AssertionError, AttributeError) as error:
        raise ValueError(f"{label} ({type(visual.trunk).__name__} of timm) cannot checkpoint its gradients") from error


def has_blocks(visual: Any) -> bool:
    """Whether `visual` is a timm tower with a plain ViT inside, of which patches and blocks can be had."""
    return isinstance(visual, TimmModel) and isinstance(visual.trunk, VisionTransformer | Eva)


def trunk_tokens(visual: TimmModel, images: Tensor, normed: bool) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """Pooled features (B, E), patches (B, P, width) without class and register tokens, and their grid.

    Args:
        visual: a tower for which `has_blocks` is true.
        images: (B, 3, H, W), normalised.
        normed: patches after the final layer norm, wherever the trunk has it: before or behind the pooling.
    """
    trunk = visual.trunk
    all_normed, (patches,) = trunk.forward_intermediates(images, indices=1, output_fmt="NLC")
    if normed:
        patches = trunk.fc_norm(all_normed[:, trunk.num_prefix_tokens :])
    height, width = trunk.patch_embed.dynamic_feat_size(tuple(images.shape[-2:]))
    return visual.head(trunk.forward_head(all_normed)), patches, (height, width)
