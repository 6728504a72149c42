"""The text half of a CLIP: an open_clip text tower that accepts token rows of any length up to its context.

Shape letters of this file: B texts, L tokens of the longest text, C context length, W tower width, E joint width.
"""

import logging
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.registry import MODELS
from open_clip.model import _build_text_tower, convert_to_custom_text_state_dict
from open_clip.transformer import TextTransformer, text_global_pool
from torch import Tensor, nn

from clipplus.towers.compiling import compile_blocks
from clipplus.towers.config import load_pretrained, resolve_model
from clipplus.towers.loading import load_tower

# The text parts of open_clip's `CLIP`, which has them as its own children.
_PARTS = ("transformer", "token_embedding", "positional_embedding", "ln_final", "text_projection")


@MODELS.register_module()
class CLIPTextTower(nn.Module):
    """An open_clip text tower with its projection. State-dict keys are open_clip's.

    Causal towers that pool at the end token do not see what follows it, so columns behind the longest text of the
    batch are cut off, and equal rows can be encoded once; both are exact. Other towers (SigLIP attends to its
    padding) are padded back to the full context.

    Args:
        model: open_clip name, or a dict of open_clip's JSON form (`embed_dim`, `vision_cfg`, `text_cfg`).
        pretrained: weight tag of the name, or a file: open_clip's, or a checkpoint of any method here.
        frozen: no gradients, and always in eval mode.
        tokenizer: local folder of the tokenizer, where the model's own is not at hand (see
            `clipplus.text.build_tokenizer`).
        grad_checkpointing: recompute the blocks in the backward pass.
        unique_rows: encode equal rows once (several images with the same caption, class texts).
        quick_gelu: the activation, where neither the name nor the weight file says it.
        pad_id: the tokenizer's padding, for towers that look at it; None takes the config's `text_cfg.pad_id`, or what
            `CLIPModel` reads from the tokenizer.
        compile: `torch.compile` the blocks, see `CLIPImageTower`.

    Raises:
        ValueError: unknown model, weights that do not fit, activation mismatch, an option the tower cannot follow.
        FileNotFoundError: no such weights, or no compiler for `compile`.
    """

    def __init__(
        self,
        model: str | dict,
        pretrained: str | None = None,
        frozen: bool = False,
        tokenizer: str | None = None,
        grad_checkpointing: bool = False,
        unique_rows: bool = False,
        quick_gelu: bool | None = None,
        pad_id: int | None = None,
        compile: bool = False,
    ) -> None:
        super().__init__()
        self.config = resolve_model(model, quick_gelu)
        self.model, self.tokenizer = model, tokenizer
        text = _build_text_tower(self.config.embed_dim, self.config.text_cfg, self.config.quick_gelu)
        self.context_length: int = text.context_length if isinstance(text, TextTransformer) else 77
        self.vocab_size: int = text.vocab_size
        # Not in open_clip's configs of towers that look at their padding: SigLIP's tokenizer pads with 1.
        self.pad_id: int | None = self.config.text_cfg.get("pad_id") if pad_id is None else pad_id
        if self.pad_id is not None and not 0 <= self.pad_id < self.vocab_size:
            raise ValueError(
                f"pad_id={self.pad_id} is no token of text tower '{self.config.name}', whose vocabulary has "
                f"{self.vocab_size}"
            )
        self.pool_type: str = getattr(text, "pool_type", "none")
        self.eos_id: int | None = getattr(text, "eos_id", None)
        self.trims = (
            isinstance(text, TextTransformer)
            and text.attn_mask is not None
            and text.cls_emb is None
            and self.pool_type in ("argmax", "eos")
        )
        if self.config.custom_text:
            self.text = text
        else:
            self._adopt(text)
        self.unique_rows = unique_rows and self.trims
        self.frozen = frozen
        self._warned_padding = False
        self._checked_tokens = False
        if grad_checkpointing:
            text.set_grad_checkpointing(True)
        if compile:
            if not isinstance(text, TextTransformer):
                raise ValueError(
                    f"text tower '{self.config.name}' ({type(text).__name__}) is not open_clip's own transformer: it "
                    "has no blocks to compile"
                )
            compile_blocks(text.transformer.resblocks, dynamic=True)
        #: What the weights came from, a tag or a file; None for random ones.
        self.pretrained: str | None = None
        if pretrained is not None:
            self.load(pretrained)
        self.requires_grad_(not frozen)
        self.train()

    def _adopt(self, text: TextTransformer) -> None:
        """Take over the parts of `text` as own children, as open_clip's `CLIP` does, so that keys agree with it."""
        if not self.trims:
            raise ValueError(
                f"text tower '{self.config.name}' is not causal with end-token pooling: its dict needs custom_text=True"
            )
        for part in _PARTS:
            setattr(self, part, getattr(text, part))
        self.register_buffer("attn_mask", text.attn_mask, persistent=False)

    @property
    def embed_dim(self) -> int:
        """Joint width E."""
        return self.config.embed_dim

    def load(self, pretrained: str) -> None:
        """Take the weights of a tag or a file; see `pretrained` of the class, and its errors."""
        file = load_pretrained(self.config, pretrained)
        weights = file.weights
        if self.config.custom_text:
            weights = convert_to_custom_text_state_dict(weights)
        roots = ("text",) if self.config.custom_text else _PARTS
        own = {key: value for key, value in weights.items() if key.split(".")[0] in roots}
        load_tower(self, file, own, f"text tower '{self.config.name}'")
        self.pretrained = pretrained

    def train(self, mode: bool = True) -> "CLIPTextTower":
        """Training mode, unless frozen."""
        super().train(mode and not self.frozen)
        return self

    def forward(self, tokens: Tensor) -> Tensor:
        """Features (B, E), not normalised, of token rows.

        Args:
            tokens: (B, L) int64, L at most the context length; each row ends with the end token, then padding.

        Raises:
            ValueError: rows longer than the context, or ids outside of the vocabulary.
        """
        self._check(tokens)
        if not self.trims:
            return self.text(self._pad(tokens))
        # On a device, reading the longest length would wait for it; batches arrive trimmed there anyway.
        if tokens.device.type == "cpu":
            tokens = self.trim(tokens)
        if not self.unique_rows:
            return self._encode(tokens)
        rows, where = torch.unique(tokens, dim=0, return_inverse=True)
        return self._encode(rows)[where]

    def trim(self, tokens: Tensor) -> Tensor:
        """`tokens` without the columns behind the longest text, where that is exact; (B, L) -> (B, L' <= L)."""
        if not self.trims or len(tokens) == 0:
            return tokens
        return tokens[:, : int(self._end_position(tokens).max()) + 1]

    def _end_position(self, tokens: Tensor) -> Tensor:
        """Column of each row's end token, the one that is pooled; (B,)."""
        if self.pool_type == "eos":
            return tokens.eq(self.eos_id or 0).int().argmax(dim=-1)
        return tokens.argmax(dim=-1)

    def _encode(self, tokens: Tensor) -> Tensor:
        """open_clip's causal text forward for rows shorter than the context; (B, L) -> (B, E)."""
        parts: Any = self.text if self.config.custom_text else self
        length = tokens.shape[1]
        dtype = parts.transformer.get_cast_dtype()
        x_BLW = parts.token_embedding(tokens).to(dtype) + parts.positional_embedding[:length].to(dtype)
        x_BLW = parts.transformer(x_BLW, attn_mask=parts.attn_mask[:length, :length])
        pooled = text_global_pool(parts.ln_final(x_BLW), tokens, self.pool_type, eos_token_id=self.eos_id)
        projection = parts.text_projection
        if projection is None:
            return pooled
        return projection(pooled) if isinstance(projection, nn.Linear) else pooled @ projection

    def _pad(self, tokens: Tensor) -> Tensor:
        missing = self.context_length - tokens.shape[1]
        if missing == 0:
            return tokens
        if self.pad_id is None:
            raise ValueError(
                f"text tower '{self.config.name}' looks at its padding, and token rows have {tokens.shape[1]} of its "
                f"{self.context_length} columns: pass full rows, or set its `pad_id` to the tokenizer's"
            )
        if not self._warned_padding:
            self._warned_padding = True
            print_log(
                f"text tower '{self.config.name}' is not causal: token rows are padded back to {self.context_length}",
                logger="current",
                level=logging.INFO,
            )
        return F.pad(tokens, (0, missing), value=self.pad_id)

    def _check(self, tokens: Tensor) -> None:
        if tokens.shape[1] > self.context_length:
            raise ValueError(
                f"token rows have {tokens.shape[1]} columns, the text tower's context is {self.context_length}"
            )
        # Every batch on the CPU, the first one elsewhere: the look waits for the device.
        if self._checked_tokens and tokens.device.type != "cpu":
            return
        self._checked_tokens = True
        lowest, highest = (int(tokens.min()), int(tokens.max())) if tokens.numel() else (0, 0)
        if lowest < 0 or highest >= self.vocab_size:
            raise ValueError(
                f"token ids reach from {lowest} to {highest}, the vocabulary of text tower '{self.config.name}' has "
                f"{self.vocab_size}: were the captions tokenised for another model?"
            )
