"""The frozen attention of an open_clip block, for queries and keys that are not the same tokens.

`nn.MultiheadAttention` is never called: its weights are read. Shape letters of this file: B sequences, N query tokens,
M key tokens, H heads, D width.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


def project_all(attention: nn.MultiheadAttention, tokens: Float[Tensor, "... D"]) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values (..., D) of tokens, with one matrix product."""
    query, key, value = F.linear(tokens, attention.in_proj_weight, attention.in_proj_bias).chunk(3, dim=-1)
    return query, key, value


def project_keys(attention: nn.MultiheadAttention, tokens: Float[Tensor, "... D"]) -> tuple[Tensor, Tensor]:
    """Keys and values (..., D) of tokens that nothing is asked for."""
    width = tokens.shape[-1]
    key, value = F.linear(tokens, attention.in_proj_weight[width:], attention.in_proj_bias[width:]).chunk(2, dim=-1)
    return key, value


def attend(
    query: Float[Tensor, "... N D"], key: Float[Tensor, "... M D"], value: Float[Tensor, "... M D"], heads: int
) -> Float[Tensor, "... N D"]:
    """Softmax attention of `heads` heads, joined, before the output projection; no mask and no dropout."""
    split = [part.unflatten(-1, (heads, -1)).transpose(-2, -3) for part in (query, key, value)]
    return F.scaled_dot_product_attention(*split).transpose(-2, -3).flatten(-2)


def gated(joined: Float[Tensor, "... N D"], gate: Float[Tensor, " H"]) -> Float[Tensor, "... N D"]:
    """Each head's part of joined heads, scaled by the tangent of its gate."""
    return (joined.unflatten(-1, (len(gate), -1)) * torch.tanh(gate)[:, None]).flatten(-2)
