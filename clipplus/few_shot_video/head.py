"""From features to logits, loss and predictions, through any matcher.

Shape letters of this file: E episodes, Q queries, S supports, W ways, T frames, D channels.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor

from clipplus.few_shot_video.episode_sample import EpisodeDataSample
from clipplus.few_shot_video.frame_matcher import FrameMatcher
from clipplus.few_shot_video.ways import Ways
from clipplus.losses import non_finite_rows


@MODELS.register_module()
class FewShotHead(BaseModule):
    """Logits are minus the matcher's distances, without any temperature; the base of heads that do more.

    Args:
        matcher: config of a matcher, e.g. `dict(type='OTAMMatcher', smoothing=0.1, shots='distance_mean')`.
    """

    def __init__(self, matcher: dict, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.matcher = MODELS.build(matcher)

    def forward(self, query: Tensor, support: Tensor, support_label: Tensor) -> Tensor:
        """Logits (E, Q, W), columns by ascending label.

        Args:
            query: (E, Q, T, D), features of frames, not normalised.
            support: (E, S, T, D).
            support_label: (E, S) integers; on the CPU nothing waits for a device.
        """
        logits: Tensor = -self.matcher(query, support, support_label)
        return logits

    def between_frames(
        self, query: Tensor, support: Tensor, data_samples: Sequence[EpisodeDataSample], **_: Any
    ) -> Tensor:
        """Distances between frames as the matcher sees them, see `FrameMatcher.between_frames`; for pictures.

        Heads that change features before they match them do so here, too. Arguments are those of `predict`; what is
        predicted from besides features means nothing here.

        Raises:
            ValueError: a matcher that compares clips otherwise.
        """
        return self._matched(query, support, torch.stack([sample.support_label for sample in data_samples]))

    def _matched(self, query: Tensor, support: Tensor, support_label: Tensor) -> Tensor:
        if not isinstance(self.matcher, FrameMatcher):
            raise ValueError(f"{type(self.matcher).__name__} does not pair frames: there is no alignment to draw")
        return self.matcher.between_frames(query, support, support_label)

    def loss(self, query: Tensor, support: Tensor, data_samples: Sequence[EpisodeDataSample]) -> dict[str, Tensor]:
        """`loss_few_shot`, the cross entropy of the queries' classes, averaged over all queries; in nats.

        Args:
            query: (E, Q, T, D).
            support: (E, S, T, D).
            data_samples: E of them, their labels on the CPU.

        Raises:
            ValueError: a query whose class is not among the supports.
        """
        support_label, query_label = stacked_labels(data_samples)
        logits_EQW = self(query, support, support_label)
        target_EQ = Ways.of(support_label).columns(query_label).to(logits_EQW.device, non_blocking=True)
        return {"loss_few_shot": F.cross_entropy(logits_EQW.flatten(0, 1), target_EQ.flatten())}

    def predict(
        self, query: Tensor, support: Tensor, data_samples: Sequence[EpisodeDataSample]
    ) -> list[EpisodeDataSample]:
        """The samples with `pred_score` (Q, W): probabilities of the ways by ascending label, float32.

        Arguments are those of `loss`; labels of queries are not read.

        Raises:
            ValueError: features that are not finite; names the episodes.
        """
        require_finite(query, support, data_samples)
        support_label = torch.stack([sample.support_label for sample in data_samples])
        scores_EQW = self(query, support, support_label).softmax(dim=-1).float()
        for sample, scores in zip(data_samples, scores_EQW, strict=True):
            sample.pred_score = scores
        return list(data_samples)


def stacked_labels(data_samples: Sequence[EpisodeDataSample]) -> tuple[Tensor, Tensor]:
    """Labels of the supports (E, S) and of the queries (E, Q)."""
    return (
        torch.stack([sample.support_label for sample in data_samples]),
        torch.stack([sample.query_label for sample in data_samples]),
    )


def require_finite(query: Tensor, support: Tensor, data_samples: Sequence[EpisodeDataSample]) -> None:
    """Refuse features from which nothing can be predicted.

    In training the loss is looked at instead, see `NonFiniteHook`: reading features would wait for the device.

    Raises:
        ValueError: names the episodes.
    """
    bad = non_finite_rows([query, support])
    if bad:
        names = ", ".join(str(data_samples[number].get("episode_id", number)) for number in bad[:8])
        raise ValueError(
            f"features of {len(bad)} of {len(data_samples)} episodes are not finite (episodes {names}"
            f"{', ...' if len(bad) > 8 else ''}): look at the backbone's weights and at the frames"
        )
