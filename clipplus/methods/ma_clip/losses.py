"""How the encoder learns to say what its clips show: a divergence between classes and scaled similarities.

ActionCLIP (arXiv 2109.08472) as MA-CLIP uses it. Shape letters of this file: V clips, C columns.
"""

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

Reduction = Literal["batchmean", "actionclip"]


def class_divergence(
    logits: Float[Tensor, "V C"],
    target: Int[Tensor, " V"],
    sharpness: float | None = None,
    reduction: Reduction = "batchmean",
) -> Float[Tensor, ""]:
    """KL(target ‖ softmax(logits)), in nats.

    Args:
        logits: (V, C).
        target: (V,) columns.
        sharpness: None for one-hot targets, with which this is the cross entropy; otherwise targets are the softmax of
            the one-hot rows times it (ActionCLIP: 10). Their entropy stays in the value.
        reduction: 'batchmean' divides the sum by V; 'actionclip' by C, as its code does for any shape.
    """
    one_hot = F.one_hot(target, logits.shape[1]).to(logits.dtype)
    wanted = one_hot if sharpness is None else (sharpness * one_hot).softmax(dim=1)
    total = F.kl_div(logits.log_softmax(dim=1), wanted, reduction="sum")
    return total / logits.shape[0 if reduction == "batchmean" else 1]


def mixture(text_logits: Tensor, match_logits: Tensor, alpha: float) -> Tensor:
    """`alpha` times the probabilities of the texts and the rest of those of the matches; an arithmetic mean."""
    return alpha * text_logits.softmax(dim=-1) + (1 - alpha) * match_logits.softmax(dim=-1)
