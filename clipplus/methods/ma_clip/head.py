"""Losses and predictions of MA-CLIP: matching with refined frames, and class texts told by the encoder's frames.

Figure 2 of MA-CLIP (arXiv 2308.01532). Shape letters of this file: E episodes, Q queries, S supports, N clips, W ways,
T frames, D joint width, C classes of the split.
"""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor, nn

from clipplus.few_shot_video import EpisodeDataSample, FewShotHead, Ways
from clipplus.few_shot_video.class_ids import class_ids
from clipplus.few_shot_video.distances import at_least_float32
from clipplus.few_shot_video.head import require_finite, stacked_labels
from clipplus.methods.ma_clip.losses import Reduction, class_divergence, mixture
from clipplus.methods.ma_clip.texts import way_classes

Contrast = Literal["episode", "all_train"]


@MODELS.register_module()
class MACLIPHead(FewShotHead):
    """`alpha` of the texts' loss and prediction, and the rest of the matcher's.

    `predict` fills `pred_score` (Q, W), the mixture that MA-CLIP predicts by; its parts are `text_score` and
    `match_score`.
    State-dict keys: `matcher.` of trained matchers, and `logit_scale` where it is learnt.

    Args:
        matcher: config of a matcher; None takes OTAM in both directions with a smoothing of 0.5.
        alpha: weight of the texts in [0, 1], in training and prediction; not published, 0.5 here.
        scale: of the cosines with texts: CLIP's 100.
        learnable_scale: train it (its logarithm).
        target_sharpness, reduction: see `class_divergence`.
        contrast: 'episode' tells a clip from the classes of its episode; 'all_train' from all classes of the split, in
            training only (CLIP-FSAR).

    Raises:
        ValueError: options outside of these.
    """

    #: The recogniser hands it class texts, and the backbone's features besides the neck's.
    needs_text = True
    needs_encoded = True

    def __init__(
        self,
        matcher: dict | None = None,
        alpha: float = 0.5,
        scale: float = 100.0,
        learnable_scale: bool = False,
        target_sharpness: float | None = None,
        reduction: Reduction = "batchmean",
        contrast: Contrast = "episode",
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(matcher or dict(type="OTAMMatcher", smoothing=0.5), init_cfg)
        for name, value, known in (
            ("reduction", reduction, get_args(Reduction)),
            ("contrast", contrast, get_args(Contrast)),
        ):
            if value not in known:
                raise ValueError(f"MACLIPHead.{name} must be one of {', '.join(known)}, got {value!r}")
        if not 0 <= alpha <= 1:
            raise ValueError(f"MACLIPHead.alpha must lie in [0, 1], got {alpha}")
        if not scale > 0:
            raise ValueError(f"MACLIPHead.scale must be above 0, got {scale}")
        self.alpha, self.scale, self.contrast = alpha, scale, contrast
        self.target_sharpness, self.reduction = target_sharpness, reduction
        if learnable_scale:
            self.logit_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def loss(  # type: ignore[override]
        self,
        query: Tensor,
        support: Tensor,
        data_samples: Sequence[EpisodeDataSample],
        class_text: Tensor,
        encoded: tuple[Tensor, Tensor],
    ) -> dict[str, Tensor]:
        """`loss_s2t` and `loss_q2t`, alpha / 2 of the divergences, and `loss_q2s`, the rest of the matcher's.

        Args:
            query: (E, Q, T, D), behind the neck.
            support: (E, S, T, D).
            data_samples: E of them, their labels on the CPU.
            class_text: (C, D), row = class id of the split, not normalised.
            encoded: query and support as the backbone gave them.

        Raises:
            ValueError: a query whose class is not among the supports, or a class without text.
        """
        support_label, query_label = stacked_labels(data_samples)
        ways = Ways.of(support_label)
        target_EQ = ways.columns(query_label).to(query.device, non_blocking=True)
        match_EQW = self(query, support, support_label)
        terms = {"loss_q2s": (1 - self.alpha) * F.cross_entropy(match_EQW.flatten(0, 1), target_EQ.flatten())}
        columns = dict(loss_s2t=ways.position, loss_q2t=target_EQ)
        for name, clips, field in zip(columns, reversed(encoded), ("support_class", "query_class"), strict=True):
            if self.contrast == "all_train":
                target = class_ids(data_samples, field, len(class_text))
                logits = self.text_logits(clips, class_text.expand(len(clips), -1, -1))
            else:
                target, logits = columns[name], self.text_logits(clips, self._way_texts(class_text, data_samples, ways))
            divergence = class_divergence(
                logits.flatten(0, 1), target.to(logits.device).flatten(), self.target_sharpness, self.reduction
            )
            terms[name] = self.alpha / 2 * divergence
        return terms

    def predict(  # type: ignore[override]
        self,
        query: Tensor,
        support: Tensor,
        data_samples: Sequence[EpisodeDataSample],
        class_text: Tensor,
        encoded: tuple[Tensor, Tensor],
    ) -> list[EpisodeDataSample]:
        """The samples with `pred_score`, `text_score` and `match_score` (Q, W), float32, ways by ascending label.

        Arguments are those of `loss`; labels of queries are not read.

        Raises:
            ValueError: features that are not finite; names the episodes.
        """
        require_finite(*encoded, data_samples)
        require_finite(query, support, data_samples)
        support_label = torch.stack([sample.support_label for sample in data_samples])
        match_EQW = self(query, support, support_label)
        texts_EWD = self._way_texts(class_text, data_samples, Ways.of(support_label))
        text_EQW = self.text_logits(encoded[0], texts_EWD)
        scores = mixture(text_EQW, match_EQW, self.alpha), text_EQW.softmax(dim=-1), match_EQW.softmax(dim=-1)
        for sample, mixed, texts, matches in zip(data_samples, *scores, strict=True):
            sample.pred_score, sample.text_score, sample.match_score = mixed.float(), texts.float(), matches.float()
        return list(data_samples)

    def text_logits(self, clips: Tensor, texts: Tensor) -> Tensor:
        """Scaled cosines (E, N, C) of mean frames with texts.

        Args:
            clips: (E, N, T, D), the backbone's.
            texts: (E, C, D).
        """
        with torch.autocast(clips.device.type, enabled=False):
            mean_END = F.normalize(at_least_float32(clips).mean(dim=2), dim=-1)
            scale = self.logit_scale.exp() if hasattr(self, "logit_scale") else self.scale
            return scale * mean_END @ F.normalize(texts.to(mean_END), dim=-1).transpose(1, 2)

    def _way_texts(self, class_text: Tensor, data_samples: Sequence[EpisodeDataSample], ways: Ways) -> Tensor:
        """Texts (E, W, D) of the columns."""
        class_ids(data_samples, "support_class", len(class_text))
        return class_text[way_classes(data_samples, ways).to(class_text.device, non_blocking=True)]
