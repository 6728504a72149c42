"""What is trained in a frozen block, and the block with it: temporal, multimodal and joint adaptation.

Section 3 of MA-CLIP (arXiv 2308.01532v1; MA-FSAR in v2), figure 3c and d. The same frozen norm and attention serve
time and tokens. Shape letters of this file: V clips, T frames, L tokens of a frame (class token first), X additional
tokens, D width, E joint width, H heads.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clipplus.methods.ma_clip.adapter import Adapter
from clipplus.methods.ma_clip.attention import attend, gated, project_all, project_keys
from clipplus.methods.ma_clip.options import AdapterOptions

Tokens = Float[Tensor, "V T L D"]
ClassTokens = Float[Tensor, "V T D"]


class BlockAdapters(nn.Module):
    """The trained parts of one block. The frozen block is an argument, never a child.

    Args:
        width: D.
        heads: H, of the frozen attention.
        options: see there.
        text_width: E of a text projection of its own; None where there is none or the blocks share one.
        drop_path: rate for this block.
    """

    def __init__(
        self, width: int, heads: int, options: AdapterOptions, text_width: int | None = None, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.options, self.heads, self.drop_path = options, heads, drop_path
        if options.temporal_mode != "none":
            self.t_adapter = Adapter(width, options.ratio)
        if options.num_temporal_adapters == 2:
            self.t_adapter_in = Adapter(width, options.ratio, inner_skip=True)
        self.m_adapter = Adapter(width, options.ratio, inner_skip=True)
        self.j_adapter = Adapter(width, options.ratio)
        if text_width is not None:
            self.text_fc = nn.Linear(text_width, width)
        if options.extra_token_gate == "zero_init" and self.has_extras:
            self.gate = nn.Parameter(torch.zeros(heads))

    @property
    def has_extras(self) -> bool:
        """Whether some clips get additional tokens."""
        return self.options.temporal_mode == "cls_token" or self.options.use_text_token

    def forward(self, block: Any, x: Tokens, text_token: Float[Tensor, "V D"] | None = None) -> Tokens:
        """The adapted block.

        Args:
            block: open_clip's `ResidualAttentionBlock`.
            x: (V, T, L, D).
            text_token: (V, D), the projected text of each clip's class; None for queries.

        Returns:
            (V, T, L, D).
        """
        if self.options.temporal_mode == "all_tokens":
            x = self.over_time(block, x)
        projected = project_all(block.attn, block.ln_1(x))
        extras = []
        if self.options.temporal_mode == "cls_token":
            extras.append(self.class_over_time(block, x[:, :, 0], projected))
        if text_token is not None:
            extras.append(text_token[:, None].expand(-1, x.shape[1], -1))
        x = self.over_tokens(block, x, projected, torch.stack(extras, dim=2) if extras else None)
        return self.joint(block, x)

    def class_over_time(self, block: Any, token: ClassTokens, projected: tuple[Tensor, Tensor, Tensor]) -> ClassTokens:
        """Class tokens (V, T, D) after attention over the frames of their clip.

        `projected`, queries, keys and values (V, T, L, D) of all tokens, is what the attention over tokens needs as
        well; those of the class token are computed anew where an adapter comes before.
        """
        if self.options.num_temporal_adapters == 2:
            query, key, value = project_all(block.attn, self.t_adapter_in(block.ln_1(token)))
        else:
            query, key, value = (part[:, :, 0] for part in projected)
        attended = block.attn.out_proj(attend(query, key, value, self.heads))
        return token + self._dropped(self.t_adapter(block.ls_1(attended)))

    def over_time(self, block: Any, x: Tokens) -> Tokens:
        """All tokens after attention over time, each position by itself (AIM)."""
        normed = block.ln_1(x).transpose(1, 2)
        if self.options.num_temporal_adapters == 2:
            normed = self.t_adapter_in(normed)
        query, key, value = project_all(block.attn, normed)
        attended = block.attn.out_proj(attend(query, key, value, self.heads))
        return x + self._dropped(self.t_adapter(block.ls_1(attended)).transpose(1, 2))

    def over_tokens(
        self, block: Any, x: Tokens, projected: tuple[Tensor, Tensor, Tensor], extras: Float[Tensor, "V T X D"] | None
    ) -> Tokens:
        """The L tokens after attention over all tokens of their frame, the additional ones among them.

        Additional tokens are keys only: what they would become is discarded.
        """
        query, key, value = projected
        if extras is None:
            joined = attend(query, key, value, self.heads)
        else:
            extra_key, extra_value = project_keys(block.attn, block.ln_1(extras))
            if self.options.extra_token_gate == "none":
                key, value = torch.cat([key, extra_key], dim=2), torch.cat([value, extra_value], dim=2)
                joined = attend(query, key, value, self.heads)
            else:
                beside = attend(query, extra_key, extra_value, self.heads)
                joined = attend(query, key, value, self.heads) + gated(beside, self.gate)
        return x + self.m_adapter(block.ls_1(block.attn.out_proj(joined)))

    def joint(self, block: Any, x: Tokens) -> Tokens:
        """The MLP with an adapter beside it."""
        normed = block.ln_2(x)
        return x + block.ls_2(block.mlp(normed)) + self.options.joint_scale * self._dropped(self.j_adapter(normed))

    def _dropped(self, branch: Tensor) -> Tensor:
        """In training, without the branch for some clips, and more of it for the others."""
        if not self.training or self.drop_path == 0:
            return branch
        kept = torch.rand(len(branch), device=branch.device) >= self.drop_path
        return branch * (kept / (1 - self.drop_path)).to(branch.dtype).view(-1, *[1] * (branch.dim() - 1))
