"""Zero-shot and few-shot answers to the same query, and both together ("dagger" rows of the paper's tables).

Shape letters of this file: E episodes, Q queries, W ways, T frames, D channels.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from clipplus.few_shot_video.distances import at_least_float32

#: Distances are divided by it before their softmax: a literal of the published code, whatever the number of frames.
DISTANCE_SCALE = 8.0


def text_log_probability(
    query: Float[Tensor, "E Q T D"], way_text: Float[Tensor, "E W D"], scale: Tensor
) -> Float[Tensor, "E Q W"]:
    """Logarithms of the probabilities by texts alone: softmax of scale * cosine of mean frame and text.

    Args:
        query: (E, Q, T, D), the backbone's features.
        way_text: (E, W, D).
        scale: factor of the cosines, a scalar.
    """
    with torch.autocast(query.device.type, enabled=False):
        mean_EQD = F.normalize(at_least_float32(query).mean(dim=2), dim=-1)
        text_EWD = F.normalize(way_text.to(mean_EQD.dtype), dim=-1)
        return (scale * mean_EQD @ text_EWD.transpose(1, 2)).log_softmax(dim=-1)


def few_shot_log_probability(logits: Float[Tensor, "E Q W"]) -> Float[Tensor, "E Q W"]:
    """Logarithms of softmax((8 - distance) / 8), for logits that are minus the distances."""
    return ((DISTANCE_SCALE + logits) / DISTANCE_SCALE).log_softmax(dim=-1)


def combined_log_score(
    text: Float[Tensor, "E Q W"], logits: Float[Tensor, "E Q W"], coefficient: Tensor | float
) -> Float[Tensor, "E Q W"]:
    """Logarithm of p_text^b * p_few_shot^(1 - b); with b = 0 or 1 exactly one of them.

    Args:
        text: of `text_log_probability`.
        logits: minus the distances.
        coefficient: b.
    """
    b = torch.as_tensor(coefficient).to(text)
    return b * text + (1 - b) * few_shot_log_probability(logits).to(text.dtype)
