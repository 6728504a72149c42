"""The small transformer over the frames of a clip.

Shape letters of this file: B sequences, N tokens of a sequence, M tokens attended to, D channels, H heads.
"""

import torch.nn.functional as F
from jaxtyping import Float
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn


class _Attention(nn.Module):
    """Multi-head attention; names are those of the published state dict."""

    def __init__(self, dim: int, heads: int, dim_head: int, dropout: float) -> None:
        super().__init__()
        inner = heads * dim_head
        self.heads = heads
        self.to_q = nn.Linear(dim, inner, bias=False)
        self.to_k = nn.Linear(dim, inner, bias=False)
        self.to_v = nn.Linear(dim, inner, bias=False)
        projects = heads > 1 or dim_head != dim
        self.to_out = nn.Sequential(nn.Linear(inner, dim), nn.Dropout(dropout)) if projects else nn.Identity()

    def forward(self, query: Float[Tensor, "B N D"], memory: Float[Tensor, "B M D"]) -> Float[Tensor, "B N D"]:
        q, k, v = (
            layer(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, tokens in ((self.to_q, query), (self.to_k, memory), (self.to_v, memory))
        )
        mixed_BHND = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.to_out(mixed_BHND.transpose(1, 2).flatten(2))
        return out


class _NormalisedAttention(nn.Module):
    """One LayerNorm for queries, keys and values, then attention."""

    def __init__(self, dim: int, attention: _Attention) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fn = attention

    def forward(self, query: Tensor, memory: Tensor | None = None) -> Tensor:
        query = self.norm(query)
        mixed: Tensor = self.fn(query, query if memory is None else self.norm(memory))
        return mixed


class _FeedForward(nn.Module):
    """Two layers with an exact GELU between them."""

    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim), nn.Dropout(dropout)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.net(tokens)
        return out


@MODELS.register_module()
class TemporalTransformer(BaseModule):
    """Self-attention over the frames of a clip, and a text token where there is one; equivariant to their order.

    CLIP-FSAR section 3.3. In every layer

        x = x + dropout(attention(LayerNorm(x)))
        x = x + dropout(W2 dropout(GELU(W1 x)))

    without a norm before the second line, without one at the end and without positions: only what compares clips
    afterwards knows about order. State-dict keys are the published ones. Parameters: 3,149,824 for D = 512, 8,394,752
    for D = 1024.

    Args:
        dim: D.
        depth: layers.
        heads: H.
        dim_head: channels of a head; None takes D / H.
        hidden: of the feed-forward part; 2048 whatever D is, as published.
        attention_dropout: after the attention's output layer.
        dropout: in the feed-forward part.

    Raises:
        ValueError: D is no multiple of the heads and no `dim_head` is given.
    """

    def __init__(
        self,
        dim: int,
        depth: int = 1,
        heads: int = 8,
        dim_head: int | None = None,
        hidden: int = 2048,
        attention_dropout: float = 0.2,
        dropout: float = 0.05,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if dim_head is None and dim % heads:
            raise ValueError(f"TemporalTransformer: {dim} channels cannot be shared by {heads} heads: state dim_head")
        width = dim_head or dim // heads
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [
                    _NormalisedAttention(dim, _Attention(dim, heads, width, attention_dropout)),
                    _FeedForward(dim, hidden, dropout),
                ]
            )
            for _ in range(depth)
        )

    def forward(
        self, tokens: Float[Tensor, "B N D"], memory: Float[Tensor, "B M D"] | None = None
    ) -> Float[Tensor, "B N D"]:
        """Tokens that know of each other.

        Args:
            tokens: (B, N, D).
            memory: (B, M, D), what the first layer attends to; None: the tokens themselves.
        """
        for layer in self.layers:
            attention, feed_forward = layer[0], layer[1]  # type: ignore[index]
            tokens = tokens + attention(tokens, memory)
            tokens = tokens + feed_forward(tokens)
            memory = None
        return tokens
