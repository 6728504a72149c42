"""Sigmoid contrast between paired image and text embeddings (the SigLIP loss).

`sigmoid_contrast` is the mathematics, `SigmoidContrastiveLoss` what a config names.
Shape letters of this file: B pairs of this rank, I of them in a block, N pairs of all ranks, D joint width.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from mmengine.registry import MODELS
from torch import Tensor, nn

from clipplus.losses.gather import gather_rows, global_loss
from clipplus.losses.tiled import PairTiles, require_tile


def sigmoid_contrast(
    image: Float[Tensor, "B D"],
    text: Float[Tensor, "B D"],
    scale: Float[Tensor, ""],
    bias: Float[Tensor, ""],
    tile: int | None = None,
) -> Float[Tensor, ""]:
    """Of every image and every text of the global batch: do they belong together, yes or no?

    With l_ij = scale * <image_i, text_j> + bias over the N pairs of all ranks, and z_ij = 1 for i = j, -1 otherwise
    (Zhai et al. 2023, "Sigmoid Loss for Language Image Pre-Training", equation 2 and section 3.2):

        loss = -1/N * sum_ij log sigmoid(z_ij * l_ij).

    Under DDP the value is that of one process with all pairs, and the gradients, averaged by DDP, too;
    ranks may hold different numbers of pairs.

    Args:
        image: (B, D), L2-normalised. Row i belongs to row i of `text`.
        text: (B, D), L2-normalised.
        scale: (), the multiplier itself (`logit_scale.exp()`), not its logarithm.
        bias: (), added to every logit; about -log(N) keeps the many negatives quiet at the start.
        tile: None keeps (B, N) matrices for the backward pass; a number computes value and gradients in the forward
            pass, from blocks of so many rows (differentiable once).

    Returns:
        (), in nats per image. Scale and bias 0 give N * log(2).
    """
    all_texts_ND, offset = gather_rows(text)
    if tile is not None:
        return global_loss(_tiled_sum(image, all_texts_ND, scale, bias, offset, tile) / len(all_texts_ND))
    logits_BN = scale * image @ all_texts_ND.T + bias
    sign_BN = torch.full_like(logits_BN, -1.0)
    sign_BN.diagonal(offset).fill_(1.0)
    return global_loss(-F.logsigmoid(sign_BN * logits_BN).sum() / len(all_texts_ND))


def _tiled_sum(
    image: Tensor, all_texts: Tensor, scale: Tensor, bias: Tensor, offset: int, tile: int
) -> Float[Tensor, ""]:
    """This rank's part of the sum over all pairs, N times the loss."""
    tiles = PairTiles(image, all_texts, scale, bias, tile)
    with torch.no_grad():
        costs_B = torch.empty_like(image[:, 0])
        for rows in tiles.blocks:
            # Negatives cost log(1 + exp(l)) with slope sigmoid(l), positives the same of -l.
            wrong_IN = tiles.logits(rows)
            wrong_IN.diagonal(offset + rows.start).neg_()
            # Above the threshold softplus(x) is x: to the last bit of float64 from 40 on, not from the default 20 on.
            costs_B[rows] = F.softplus(wrong_IN, threshold=40.0).sum(1)
            if tiles.needs_gradients:
                slope_IN = wrong_IN.sigmoid_()
                slope_IN.diagonal(offset + rows.start).neg_()
                tiles.send_back(rows, slope_IN)
    return tiles.attach(costs_B.sum())


@MODELS.register_module()
class SigmoidContrastiveLoss(nn.Module):
    """`sigmoid_contrast` as a config part.

    Args:
        tile: see `sigmoid_contrast`; 256 is a good number, and faster than None from batches of about a thousand on.

    Raises:
        ValueError: `tile` below 1.
    """

    #: `CLIPModel` creates a `logit_bias` only for losses that read one.
    needs_bias = True

    def __init__(self, tile: int | None = None) -> None:
        super().__init__()
        require_tile(tile)
        self.tile = tile

    def forward(self, image: Tensor, text: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        """See `sigmoid_contrast`; computed in fp32 at least, also under autocast: bf16 logits would cost accuracy."""
        with torch.autocast(image.device.type, enabled=False):
            dtype = torch.promote_types(scale.dtype, torch.float32)
            image, text, scale, bias = (part.to(dtype) for part in (image, text, scale, bias))
            return sigmoid_contrast(image, text, scale, bias, self.tile)
