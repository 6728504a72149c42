"""Softmax contrast between paired image and text embeddings (the CLIP loss).

`softmax_contrast` is the mathematics, `SoftmaxContrastiveLoss` what a config names.
Shape letters of this file: B pairs of this rank, N pairs of all ranks, D joint width.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from mmengine.registry import MODELS
from torch import Tensor, nn

from clipplus.losses.gather import gather_rows, global_loss


def softmax_contrast(
    image: Float[Tensor, "B D"], text: Float[Tensor, "B D"], scale: Float[Tensor, ""], smoothing: float = 0.0
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

    Returns:
        (), in nats. Collapsed embeddings give log(N); N = 1 gives 0 and no gradient.
    """
    all_images_ND, offset = gather_rows(image)
    all_texts_ND, _ = gather_rows(text)
    pairs = len(all_images_ND)
    target_B = torch.arange(offset, offset + len(image), device=image.device)
    image_logits_BN = scale * image @ all_texts_ND.T
    # Alone, the second product is the transpose of the first.
    text_logits_BN = image_logits_BN.T if all_images_ND is image else scale * text @ all_images_ND.T
    image_to_text = F.cross_entropy(image_logits_BN, target_B, reduction="sum", label_smoothing=smoothing)
    text_to_image = F.cross_entropy(text_logits_BN, target_B, reduction="sum", label_smoothing=smoothing)
    return global_loss((image_to_text + text_to_image) / (2 * pairs))


@MODELS.register_module()
class SoftmaxContrastiveLoss(nn.Module):
    """`softmax_contrast` as a config part.

    Args:
        smoothing: see `softmax_contrast`; CLIP uses none.

    Raises:
        ValueError: `smoothing` outside [0, 1).
    """

    #: `CLIPModel` creates a `logit_bias` only for losses that read one.
    needs_bias = False

    def __init__(self, smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0.0 <= smoothing < 1.0:
            raise ValueError(f"smoothing must lie in [0, 1), got {smoothing}")
        self.smoothing = smoothing

    def forward(self, image: Tensor, text: Tensor, scale: Tensor) -> Tensor:
        """See `softmax_contrast`; computed in fp32 also under autocast, where bf16 logits would cost accuracy."""
        with torch.autocast(image.device.type, enabled=False):
            image, text = image.to(scale.dtype), text.to(scale.dtype)
            return softmax_contrast(image, text, scale, self.smoothing)
