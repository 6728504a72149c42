"""Softmax contrast between paired image and text embeddings (the CLIP loss).

`softmax_contrast` is the mathematics, `SoftmaxContrastiveLoss` what a config names.
Shape letters of this file: B pairs of this rank, I of them in a block, N pairs of all ranks, D joint width.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from mmengine.registry import MODELS
from torch import Tensor, nn

from clipplus.losses.gather import gather_rows, global_logsumexp, global_loss
from clipplus.losses.tiled import PairTiles, require_tile


def softmax_contrast(
    image: Float[Tensor, "B D"],
    text: Float[Tensor, "B D"],
    scale: Float[Tensor, ""],
    smoothing: float = 0.0,
    tile: int | None = None,
) -> Float[Tensor, ""]:
    """Mean cross entropy of finding each image's text, and each text's image, in the global batch.

    With s_ij = scale * <image_i, text_j> over the N pairs of all ranks (symmetric InfoNCE; Radford et al.
    2021, "Learning Transferable Visual Models From Natural Language Supervision", figure 3):

        loss = -1/(2N) * sum_i [log softmax_j(s_ij)_i + log softmax_j(s_ji)_i].

    Under DDP the value is that of one process with all pairs, and the gradients, averaged by DDP, too;
    ranks may hold different numbers of pairs.

    Args:
        image: (B, D), L2-normalised. Row i belongs to row i of `text`.
        text: (B, D), L2-normalised.
        scale: (), the multiplier itself (`logit_scale.exp()`), not its logarithm.
        smoothing: probability mass in [0, 1) shared evenly by all N candidates.
        tile: None keeps (B, N) matrices for the backward pass; a number computes value and gradients in the forward
            pass, from blocks of so many rows (differentiable once; 4 instead of 3 matrix products).

    Returns:
        (), in nats. Collapsed embeddings give log(N); N = 1 gives 0 and no gradient.
    """
    all_texts_ND, offset = gather_rows(text)
    if tile is not None:
        return global_loss(_tiled_sum(image, all_texts_ND, scale, smoothing, offset, tile) / (2 * len(all_texts_ND)))
    all_images_ND, _ = gather_rows(image)
    pairs = len(all_images_ND)
    target_B = torch.arange(offset, offset + len(image), device=image.device)
    image_logits_BN = scale * image @ all_texts_ND.T
    # Alone, the second product is the transpose of the first.
    text_logits_BN = image_logits_BN.T if all_images_ND is image else scale * text @ all_images_ND.T
    image_to_text = F.cross_entropy(image_logits_BN, target_B, reduction="sum", label_smoothing=smoothing)
    text_to_image = F.cross_entropy(text_logits_BN, target_B, reduction="sum", label_smoothing=smoothing)
    return global_loss((image_to_text + text_to_image) / (2 * pairs))


def _tiled_sum(
    image: Tensor, all_texts: Tensor, scale: Tensor, smoothing: float, offset: int, tile: int
) -> Float[Tensor, ""]:
    """This rank's part of the sum over all rows and columns, 2N times the loss.

    Rows are this rank's images. A column's log-sum-exp needs all of them, so it goes over all blocks, and ranks,
    before the first gradient; the images of other ranks themselves are not needed.
    """
    tiles = PairTiles(image, all_texts, scale, None, tile)
    own, spread = 2 * (1 - smoothing), 2 * smoothing / len(all_texts)
    with torch.no_grad():
        rows_B = torch.empty_like(image[:, 0])
        columns_N = torch.full_like(all_texts[:, 0], -torch.inf)
        for rows in tiles.blocks:
            logits_IN = tiles.logits(rows)
            rows_B[rows] = logits_IN.logsumexp(1).sub_(logits_IN.diagonal(offset + rows.start), alpha=own)
            if smoothing:
                rows_B[rows] -= spread * logits_IN.sum(1)
            torch.logaddexp(columns_N, logits_IN.logsumexp(0), out=columns_N)
        columns_N = global_logsumexp(columns_N)
        for rows in reversed(tiles.blocks) if tiles.needs_gradients else ():
            if rows is not tiles.blocks[-1]:  # whose logits are still there
                logits_IN = tiles.logits(rows)
            slope_IN = logits_IN.softmax(1)
            slope_IN += logits_IN.sub_(columns_N).exp_()
            slope_IN.diagonal(offset + rows.start).sub_(own)
            if smoothing:
                slope_IN -= spread
            tiles.send_back(rows, slope_IN)
        value = (rows_B + columns_N[offset : offset + len(image)]).sum()
    return tiles.attach(value)


@MODELS.register_module()
class SoftmaxContrastiveLoss(nn.Module):
    """`softmax_contrast` as a config part.

    Args:
        smoothing: see `softmax_contrast`; CLIP uses none.
        tile: see `softmax_contrast`; 256 is a good number, and faster than None from batches of about a thousand on.

    Raises:
        ValueError: `smoothing` outside [0, 1), `tile` below 1.
    """

    #: `CLIPModel` creates a `logit_bias` only for losses that read one.
    needs_bias = False

    def __init__(self, smoothing: float = 0.0, tile: int | None = None) -> None:
        super().__init__()
        if not 0.0 <= smoothing < 1.0:
            raise ValueError(f"smoothing must lie in [0, 1), got {smoothing}")
        require_tile(tile)
        self.smoothing, self.tile = smoothing, tile

    def forward(self, image: Tensor, text: Tensor, scale: Tensor) -> Tensor:
        """See `softmax_contrast`; computed in fp32 at least, also under autocast: bf16 logits would cost accuracy."""
        with torch.autocast(image.device.type, enabled=False):
            dtype = torch.promote_types(scale.dtype, torch.float32)
            image, text, scale = (part.to(dtype) for part in (image, text, scale))
            return softmax_contrast(image, text, scale, self.smoothing, self.tile)
