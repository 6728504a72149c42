"""Losses over all pairs of a batch in the memory of a few rows of the similarity matrix.

A dense contrast keeps several B x N matrices until the backward pass. Here the value *and* the gradients are computed
in the forward pass, one block of rows after another, and only the gradients, as large as the embeddings, are kept:

    tiles = PairTiles(image, text, scale, bias, tile)
    with torch.no_grad():
        for rows in tiles.blocks:
            logits_IN = tiles.logits(rows)
            ...                                     # the block's part of the value, and its slope d value / d logits
            tiles.send_back(rows, slope_IN)
    return tiles.attach(value)

Shape letters of this file: B rows of this rank, I rows of a block, N columns (of all ranks), D joint width.
"""

from typing import Any

import torch
from torch import Tensor


def require_tile(tile: int | None) -> None:
    """Refuse what is no block size.

    Raises:
        ValueError: `tile` is neither None nor a whole number of at least 1.
    """
    if tile is not None and (isinstance(tile, bool) or not isinstance(tile, int) or tile < 1):
        raise ValueError(f"tile must be None (dense) or a whole number of at least 1, got {tile!r}")


class _PrecomputedGradients(torch.autograd.Function):
    """A value whose gradients are known already; the backward pass only multiplies them."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: tuple[Tensor | None, ...], *_: Tensor) -> Tensor:
        ctx.save_for_backward(*gradients)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        # `once_differentiable` would treat the gradients as constants without a word where the factor is one.
        if torch.is_grad_enabled():
            raise RuntimeError("a tiled loss has no second derivative (create_graph=True): use tile=None")
        known = (None if gradient is None else grads[0] * gradient for gradient in ctx.saved_tensors)
        return None, None, *known


class PairTiles:
    """Blocks of rows of `scale * image @ text.T + bias`, and the way back from them to the four inputs.

    Gradients that nobody asks for are not computed.

    Args:
        image: (B, D), the rows.
        text: (N, D), the columns; over ranks the gathered ones, whose gradient `gather_rows` brings home.
        scale: ().
        bias: (), or None for 0.
        tile: rows of a block; the memory is a small multiple of `tile * N` and of the embeddings.
    """

    def __init__(self, image: Tensor, text: Tensor, scale: Tensor, bias: Tensor | None, tile: int) -> None:
        self._inputs = (image, text, scale) if bias is None else (image, text, scale, bias)
        self._image, self._text, self._scale = image.detach(), text.detach(), scale.detach()
        self._bias = None if bias is None else bias.detach()
        # Asked here: the block loop runs without gradients anyhow.
        learns = torch.is_grad_enabled()
        self._grads = [torch.zeros_like(p.detach()) if learns and p.requires_grad else None for p in self._inputs]
        self._buffer_IN = image.new_empty(min(tile, len(image)), len(text))
        self.blocks = [slice(first, min(first + tile, len(image))) for first in range(0, len(image), tile)]

    @property
    def needs_gradients(self) -> bool:
        """Whether `send_back` has anything to do."""
        return any(gradient is not None for gradient in self._grads)

    def logits(self, rows: slice) -> Tensor:
        """(I, N) logits of a block. They live in one buffer: yours to overwrite, gone with the next block."""
        logits_IN = self._buffer_IN[: rows.stop - rows.start]
        scaled_ID = self._scale * self._image[rows]
        if self._bias is None:
            return torch.mm(scaled_ID, self._text.T, out=logits_IN)
        return torch.addmm(self._bias, scaled_ID, self._text.T, out=logits_IN)

    def send_back(self, rows: slice, slope_IN: Tensor) -> None:
        """Add what a block contributes to the gradients.

        Args:
            rows: the block.
            slope_IN: (I, N), derivative of the value by the block's logits.
        """
        image_ID = self._image[rows]
        image_grad, text_grad, scale_grad, *bias_grad = self._grads
        if image_grad is not None or scale_grad is not None:
            pull_ID = slope_IN @ self._text
            if scale_grad is not None:
                # sum_ij slope_ij <image_i, text_j> without another pass over the block.
                scale_grad += (image_ID * pull_ID).sum()
            if image_grad is not None:
                torch.mul(pull_ID, self._scale, out=image_grad[rows])
        if text_grad is not None:
            text_grad.addmm_(slope_IN.T, self._scale * image_ID)
        if bias_grad and bias_grad[0] is not None:
            bias_grad[0] += slope_IN.sum()

    def attach(self, value: Tensor) -> Tensor:
        """`value` () with the collected gradients; it can be differentiated once."""
        attached: Tensor = _PrecomputedGradients.apply(value, tuple(self._grads), *self._inputs)
        return attached
