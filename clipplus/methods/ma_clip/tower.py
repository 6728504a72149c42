"""A frozen CLIP image tower with trained adapters in its blocks; it sees whole clips.

MA-CLIP / MA-FSAR: arXiv 2308.01532. Shape letters of this file: V clips, T frames, L tokens of a frame, D width, E
joint width.
"""

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from mmaction.registry import MODELS
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from clipplus.methods.ma_clip.block import BlockAdapters
from clipplus.methods.ma_clip.options import AdapterOptions
from clipplus.towers import CLIPImageTower


@MODELS.register_module()
class MACLIPVisualBackbone(CLIPImageTower):
    """An open_clip ViT, frozen and in eval mode, with adapters, text tokens and temporal embeddings that train.

    State-dict keys: `visual.<open_clip key>` (frozen), `temporal_embedding`, `adapters.{block}.{t_adapter,
    t_adapter_in,m_adapter,j_adapter}.{down,up}.*`, `adapters.{block}.text_fc.*` or `text_fc.*`,
    `adapters.{block}.gate`.

    Args:
        model, pretrained, image_size, quick_gelu: see `CLIPImageTower`.
        num_frames: T of the temporal embedding.
        adapter: options, see `AdapterOptions`.
        interpolate_frames: stretch the temporal embedding to clips of another length, linearly; otherwise they are
            refused.
        grad_checkpointing: recompute blocks in the backward pass. Frozen blocks need their activations, too: freezing
            alone saves little memory.

    Raises:
        ValueError: a tower whose blocks cannot be adapted (ResNets, timm trunks, attention pooling, ...), an unknown
            option; when running, clips of another shape, or texts of another number or width.
    """

    #: The recogniser hands it clips (V, T, 3, H, W), and texts where `needs_text`.
    takes_clips = True
    #: Checkpoints name these weights instead of holding them, see `TowerReferencesHook`.
    referenced_prefix = "visual."

    def __init__(
        self,
        model: str | dict,
        pretrained: str | None = None,
        num_frames: int = 8,
        adapter: dict | None = None,
        interpolate_frames: bool = False,
        image_size: int | None = None,
        grad_checkpointing: bool = False,
        quick_gelu: bool | None = None,
    ) -> None:
        super().__init__(model, pretrained, frozen=True, image_size=image_size, quick_gelu=quick_gelu)
        _require_adaptable(self.visual, self.config.name)
        if num_frames < 1:
            raise ValueError(f"num_frames must be at least 1, got {num_frames}")
        self.options = AdapterOptions.of(adapter)
        self.num_frames, self.interpolate_frames = num_frames, interpolate_frames
        self.grad_checkpointing = grad_checkpointing
        self.needs_text = self.options.use_text_token
        width = self.visual.class_embedding.shape[0]
        self.adapters = self._make_adapters(width)
        if self.options.use_text_token and self.options.share_text_fc:
            self.text_fc = nn.Linear(self.embed_dim, width)
        if self.options.temporal_embedding:
            self.temporal_embedding = nn.Parameter(torch.zeros(1, num_frames, width))
        self.train()

    def _make_adapters(self, width: int) -> nn.ModuleDict:
        blocks, options = self.visual.transformer.resblocks, self.options
        text_width = self.embed_dim if options.use_text_token and not options.share_text_fc else None
        last = max(1, len(blocks) - 1)
        return nn.ModuleDict(
            {
                str(layer): BlockAdapters(
                    width, blocks[layer].attn.num_heads, options, text_width, options.drop_path * layer / last
                )
                for layer in options.layers(len(blocks))
            }
        )

    def train(self, mode: bool = True) -> "MACLIPVisualBackbone":
        """Training mode for the adapters; the tower stays in eval mode."""
        nn.Module.train(self, mode)
        self.visual.eval()
        return self

    def trained_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        """What is not the frozen tower."""
        return ((name, value) for name, value in self.named_parameters() if not name.startswith("visual."))

    def forward(self, clips: Tensor, text: Tensor | None = None) -> Float[Tensor, "V T E"]:
        """Features of frames, not normalised.

        Args:
            clips: (V, T, 3, H, W), normalised.
            text: (V, E), for supports: the text of each one's class, not normalised; None for queries.

        Returns:
            (V, T, E).
        """
        self._require_fitting(clips, text)
        visual: Any = self.visual
        x = self._stem(clips)
        tokens = {} if text is None else self._text_tokens(text.to(clips))
        for layer, block in enumerate(visual.transformer.resblocks):
            x = self._run_block(layer, block, x, tokens)
        return visual.ln_post(x[:, :, 0]) @ visual.proj

    def _run_block(self, layer: int, block: nn.Module, x: Tensor, tokens: dict[str, Tensor]) -> Tensor:
        if str(layer) not in self.adapters:
            return block(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        adapters: Any = self.adapters[str(layer)]
        if self.grad_checkpointing and torch.is_grad_enabled():
            result: Tensor = checkpoint(adapters, block, x, tokens.get(str(layer)), use_reentrant=False)
            return result
        adapted: Tensor = adapters(block, x, tokens.get(str(layer)))
        return adapted

    def _stem(self, clips: Tensor) -> Float[Tensor, "V T L D"]:
        """Patches with class token and embeddings of place and time, normalised."""
        visual: Any = self.visual
        patches = visual.conv1(clips.flatten(0, 1)).flatten(2).transpose(1, 2)
        first = visual.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
        x = torch.cat([first, patches], dim=1) + visual.positional_embedding.to(patches.dtype)
        x = x.unflatten(0, clips.shape[:2])
        if self.options.temporal_embedding:
            x = x + self._time(clips.shape[1])[:, :, None].to(x.dtype)
        return visual.ln_pre(x)

    def _time(self, frames: int) -> Float[Tensor, "1 T D"]:
        if frames == self.num_frames:
            return self.temporal_embedding
        stretched = F.interpolate(self.temporal_embedding.transpose(1, 2), size=frames, mode="linear")
        return stretched.transpose(1, 2)

    def _text_tokens(self, text: Tensor) -> dict[str, Tensor]:
        """The token (V, D) of every adapted block."""
        if self.options.normalize_text:
            text = F.normalize(text, dim=-1)
        if self.options.share_text_fc:
            return dict.fromkeys(self.adapters, self.text_fc(text))
        return {layer: self._text_fc(layer)(text) for layer in self.adapters}

    def _text_fc(self, layer: str) -> nn.Module:
        adapters: Any = self.adapters[layer]
        projection: nn.Module = adapters.text_fc
        return projection

    def _require_fitting(self, clips: Tensor, text: Tensor | None) -> None:
        expected = _sides(self.image_size)
        if clips.dim() != 5 or tuple(clips.shape[2:]) != (3, *expected):
            raise ValueError(
                f"expected clips (clips, frames, 3, {expected[0]}, {expected[1]}), got {tuple(clips.shape)}: crop them "
                "to that, or state model.backbone.image_size"
            )
        if 0 in clips.shape[:2]:
            raise ValueError(f"no clips or no frames: {tuple(clips.shape)}")
        frames = clips.shape[1]
        if self.options.temporal_embedding and frames != self.num_frames and not self.interpolate_frames:
            raise ValueError(
                f"clips have {frames} frames, but the temporal embedding is for num_frames={self.num_frames}: sample "
                "as many, or set interpolate_frames=True"
            )
        if text is None:
            return
        if not self.options.use_text_token:
            raise ValueError("texts were given, but adapter.use_text_token is False")
        if tuple(text.shape) != (len(clips), self.embed_dim):
            raise ValueError(
                f"expected texts ({len(clips)}, {self.embed_dim}), one per support clip and as wide as the tower's "
                f"joint space, got {tuple(text.shape)}: model.text.tower and model.backbone must be of one model"
            )


def _sides(image_size: int | tuple[int, int]) -> tuple[int, int]:
    return (image_size, image_size) if isinstance(image_size, int) else (image_size[0], image_size[1])


def _require_adaptable(visual: nn.Module, name: str) -> None:
    """Refuse towers that are not CLIP's own ViT.

    Raises:
        ValueError: says what is in the way.
    """
    problem = None
    if not isinstance(visual, VisionTransformer):
        problem = f"it is a {type(visual).__name__} (for full fine-tuning, as of ResNets, use CLIPImageTower)"
    elif not all(isinstance(block, ResidualAttentionBlock) for block in visual.transformer.resblocks):
        problem = "its blocks are not open_clip's ResidualAttentionBlock"
    elif visual.attn_pool is not None or visual.pool_type != "tok" or visual.final_ln_after_pool:
        problem = "its features are not those of the normed class token"
    elif visual.proj is None:
        problem = "it has no projection into the joint space"
    if problem:
        raise ValueError(f"the blocks of tower '{name}' cannot be adapted: {problem}")
