"""The image half of a CLIP: an open_clip image tower with patch tokens, freezing and safe loading."""

import math
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from open_clip.model import resize_pos_embed
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from clipplus.towers.compiling import compile_blocks
from clipplus.towers.config import load_pretrained, resolve_model
from clipplus.towers.loading import load_tower
from clipplus.towers.timm_trunk import build_visual, checkpoint_gradients, has_blocks, resize_positions, trunk_tokens

Stage = Literal["hidden", "normed", "projected"]


class ImageTokens(NamedTuple):
    """An image tower's output with its patches.

    Attributes:
        pooled: (B, E), what the tower's forward returns.
        patches: (B, h*w, width), row by row; width is the tower's own, or E for `projected`.
        grid: (h, w).
    """

    pooled: Tensor
    patches: Tensor
    grid: tuple[int, int]


@MODELS.register_module()
class CLIPImageTower(nn.Module):
    """An open_clip image tower with its projection. State-dict keys are open_clip's (`visual. ...`).

    Args:
        model: open_clip name, or a dict of open_clip's JSON form (`embed_dim`, `vision_cfg`, `text_cfg`).
        pretrained: weight tag of the name, or a file: open_clip's, or a checkpoint of any method here.
        frozen: no gradients, and always in eval mode.
        bn_mode: 'train', or 'frozen' to keep batch-norm layers in eval mode while the rest trains (ResNet towers).
        image_size: pixels per side when it differs from the model's; positional embeddings of the weights are
            interpolated (bicubic, as open_clip does).
        grad_checkpointing: recompute the blocks in the backward pass (ViT towers, and timm trunks that can).
        quick_gelu: the activation, where neither the name nor the weight file says it.
        compile: `torch.compile` the blocks of a ViT. The first steps take some 20 s longer; a machine without C++
            compiler is refused.

    Raises:
        ValueError: unknown model, weights that do not fit, activation mismatch, an option the tower cannot follow.
        FileNotFoundError: no such weights, or no compiler for `compile`.
    """

    def __init__(
        self,
        model: str | dict,
        pretrained: str | None = None,
        frozen: bool = False,
        bn_mode: Literal["train", "frozen"] = "train",
        image_size: int | None = None,
        grad_checkpointing: bool = False,
        quick_gelu: bool | None = None,
        compile: bool = False,
    ) -> None:
        super().__init__()
        if bn_mode not in ("train", "frozen"):
            raise ValueError(f"bn_mode must be 'train' or 'frozen', got '{bn_mode}'")
        self.config = resolve_model(model, quick_gelu)
        vision_cfg = self.config.vision_cfg
        if image_size is not None:
            vision_cfg["image_size"] = image_size
        self.visual: Any = build_visual(self.config)
        if isinstance(self.visual, ModifiedResNet):
            # The layout that convolutions are fastest in, on CPUs as on GPUs; it changes no value.
            self.visual.to(memory_format=torch.channels_last)
        self.frozen = frozen
        self.bn_mode = bn_mode
        if grad_checkpointing:
            self._checkpoint_gradients()
        if compile:
            compile_blocks(self._blocks())
        #: `logit_scale` and `logit_bias` of the weights that the tower started from.
        self.pretrained_scalars: dict[str, float] = {}
        #: What the weights came from, a tag or a file; None for random ones.
        self.pretrained: str | None = None
        self._resizes = image_size is not None
        if pretrained is not None:
            self.load(pretrained)
        self.requires_grad_(not frozen)
        self.train()

    @property
    def embed_dim(self) -> int:
        """Joint width E."""
        return self.config.embed_dim

    @property
    def image_size(self) -> int | tuple[int, int]:
        """Pixels per side that the tower expects."""
        return self.config.vision_cfg.get("image_size", 224)

    def _checkpoint_gradients(self) -> None:
        if isinstance(self.visual, ModifiedResNet):
            raise ValueError(f"tower '{self.config.name}' is a ResNet: open_clip cannot checkpoint its gradients")
        if isinstance(self.visual, TimmModel):
            checkpoint_gradients(self.visual, f"tower '{self.config.name}'")
        else:
            self.visual.set_grad_checkpointing(True)

    def _blocks(self) -> Iterable[nn.Module]:
        """The residual blocks of a ViT."""
        if isinstance(self.visual, VisionTransformer):
            return self.visual.transformer.resblocks
        if has_blocks(self.visual):
            return self.visual.trunk.blocks
        raise ValueError(f"tower '{self.config.name}' ({_kind(self.visual)}) is no ViT: it has no blocks to compile")

    def load(self, pretrained: str) -> None:
        """Take the weights of a tag or a file; see `pretrained` of the class, and its errors."""
        file = load_pretrained(self.config, pretrained)
        weights = {key: value for key, value in file.weights.items() if key.startswith("visual.")}
        if self._resizes:
            if isinstance(self.visual, TimmModel):
                resize_positions(weights, self.visual)
            elif isinstance(self.visual, ModifiedResNet):
                _resize_pool_positions(weights, self.visual)
            else:
                resize_pos_embed(weights, self)
        load_tower(self, file, weights, f"image tower '{self.config.name}'")
        self.pretrained_scalars = {
            name: float(file.weights[name]) for name in ("logit_scale", "logit_bias") if name in file.weights
        }
        self.pretrained = pretrained

    def train(self, mode: bool = True) -> "CLIPImageTower":
        """Training mode for what trains; frozen parts stay in eval mode."""
        super().train(mode and not self.frozen)
        if self.bn_mode == "frozen":
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, E), not normalised, of normalised images (B, 3, H, W)."""
        return self.visual(self._laid_out(images))

    def _laid_out(self, images: Tensor) -> Tensor:
        if isinstance(self.visual, ModifiedResNet):
            return images.contiguous(memory_format=torch.channels_last)
        return images

    def tokens(self, images: Tensor, stage: Stage = "hidden") -> ImageTokens:
        """Features with patch tokens.

        Args:
            images: (B, 3, H, W), normalised.
            stage: 'hidden' as the last block leaves them; 'normed' after the final layer norm; 'projected' in the
                joint space (ViT: norm and projection of the class token applied to every patch; ResNet: the
                attention pool's value and output projection at every position, hidden and normed being the same; timm
                trunks: as 'normed', since their pooling has no projection of single patches).

        Raises:
            ValueError: unknown stage, or a tower whose patches cannot be had, or not all of them (`patch_dropout`).
        """
        if stage not in ("hidden", "normed", "projected"):
            raise ValueError(f"unknown stage '{stage}'; known: hidden, normed, projected")
        if isinstance(self.visual, ModifiedResNet):
            tokens = self._resnet_tokens(images, stage)
        elif isinstance(self.visual, VisionTransformer) and self.visual.attn_pool is None:
            tokens = self._vit_tokens(images, stage)
        elif has_blocks(self.visual):
            tokens = ImageTokens(*trunk_tokens(self.visual, images, normed=stage != "hidden"))
        else:
            raise ValueError(
                f"tower '{self.config.name}' ({_kind(self.visual)}) gives no patch tokens: only ViT towers with class "
                "token or average pooling, ViT trunks of timm (SigLIP), and ResNet towers do"
            )
        height, width = tokens.grid
        if tokens.patches.shape[1] != height * width:
            raise ValueError(
                f"tower '{self.config.name}' left out patches, so the rest has no grid: set vision_cfg.patch_dropout=0 "
                "where patch tokens are wanted in training"
            )
        return tokens

    def _vit_tokens(self, images: Tensor, stage: Stage) -> ImageTokens:
        visual = self.visual
        hidden = visual.transformer(visual._embeds(images))
        pooled = visual._pool(hidden)[0] @ visual.proj
        height, width = images.shape[-2] // visual.patch_size[0], images.shape[-1] // visual.patch_size[1]
        patches = hidden[:, 1:]
        if stage != "hidden":
            patches = visual.ln_post(patches)
        if stage == "projected":
            patches = patches @ visual.proj
        return ImageTokens(pooled, patches, (height, width))

    def _resnet_tokens(self, images: Tensor, stage: Stage) -> ImageTokens:
        visual = self.visual
        feature_map = visual.stem(self._laid_out(images))
        for layer in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
            feature_map = layer(feature_map)
        height, width = feature_map.shape[-2:]
        patches = feature_map.flatten(2).transpose(1, 2)
        if stage == "projected":
            pool = visual.attnpool
            patches = F.linear(patches, pool.v_proj.weight, pool.v_proj.bias)
            patches = F.linear(patches, pool.c_proj.weight, pool.c_proj.bias)
        return ImageTokens(visual.attnpool(feature_map), patches, (height, width))


def _kind(visual: nn.Module) -> str:
    """How messages call the class of a tower."""
    return f"{type(visual.trunk).__name__} of timm" if isinstance(visual, TimmModel) else type(visual).__name__


def _resize_pool_positions(weights: dict[str, Tensor], visual: ModifiedResNet) -> None:
    """Interpolate the attention pool's positions in `weights` to the grid of the tower, which open_clip leaves alone.

    The first position is the mean's; images are square. Halving a grid averages, which `antialias` sees to.
    """
    name = "visual.attnpool.positional_embedding"
    own, stored = visual.attnpool.positional_embedding, weights.get(name)
    if stored is None or stored.shape == own.shape:
        return
    old, new = (math.isqrt(len(positions) - 1) for positions in (stored, own))
    grid = stored[1:].float().T.view(1, -1, old, old)
    grid = F.interpolate(grid, size=(new, new), mode="bicubic", antialias=True, align_corners=False)
    weights[name] = torch.cat([stored[:1], grid.flatten(2)[0].T.to(stored.dtype)])
