"""Clips compared by the averages of their frames: what matching without order is measured against.

Shape letters of this file: E episodes, Q queries, S supports, W ways, T frames, D channels.
"""

from typing import Literal

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from clipplus.did_you_mean import did_you_mean
from clipplus.few_shot_video.distances import at_least_float32, eps_cosine, require_eps
from clipplus.few_shot_video.frame_matcher import require_clips
from clipplus.few_shot_video.ways import Ways, mean_over_shots

Measure = Literal["cosine", "squared_euclidean"]
_MEASURES = ("cosine", "squared_euclidean")


@MODELS.register_module()
class MeanPoolMatcher(nn.Module):
    """Distances between the time-averaged features of queries and classes.

    * 'cosine': minus the cosine similarity to a shot, averaged over the shots of a class (between -1 and 1);
    * 'squared_euclidean': |mean query - mean of the class|^2 (ProtoNet; Snell et al. 2017, "Prototypical Networks for
      Few-shot Learning", equation 2).

    Args:
        measure: one of these.
        eps: added to the product of the norms, see `eps_cosine`; only for 'cosine'.

    Raises:
        ValueError: unknown `measure`, negative `eps`.
    """

    def __init__(self, measure: Measure = "cosine", eps: float = 0.01) -> None:
        super().__init__()
        require_eps(eps)
        if measure not in _MEASURES:
            raise ValueError(
                f"unknown measure '{measure}'; known: {', '.join(_MEASURES)}{did_you_mean(measure, _MEASURES)}"
            )
        self.measure: Measure = measure
        self.eps = eps

    def forward(self, query: Tensor, support: Tensor, support_label: Tensor) -> Tensor:
        """Distances (E, Q, W); arguments and errors as `FrameMatcher.forward`."""
        ways = Ways.of(support_label)
        require_clips(query, support, support_label)
        with torch.autocast(query.device.type, enabled=False):
            # A row per query, so that supports may depend on it: (E, Q, 1, D) against (E, 1 or Q, S, D).
            clips = at_least_float32(query).mean(dim=-2)[:, :, None]
            shots = at_least_float32(support).mean(dim=-2)
            if support.dim() == 4:
                shots = shots[:, None]
            if self.measure == "cosine":
                return mean_over_shots(-eps_cosine(clips, shots, self.eps)[:, :, 0], ways, dim=2)
            return (clips - mean_over_shots(shots, ways, dim=2)).square().sum(dim=-1)
