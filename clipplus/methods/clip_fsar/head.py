"""Prototypes that the texts of their classes have modulated, and what is predicted from them.

Shape letters of this file: E episodes, Q queries, S supports, W ways, T frames, D channels, C classes of a split.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

from clipplus.did_you_mean import did_you_mean
from clipplus.few_shot_video import EpisodeDataSample, FewShotHead
from clipplus.few_shot_video.class_ids import class_ids
from clipplus.few_shot_video.distances import at_least_float32, eps_cosine
from clipplus.few_shot_video.head import require_finite, stacked_labels
from clipplus.few_shot_video.ways import Ways, mean_over_shots
from clipplus.methods.clip_fsar.combination import combined_log_score, text_log_probability
from clipplus.methods.clip_fsar.temporal_transformer import TemporalTransformer

ShotMerge = Literal["after", "before"]
_SHOT_MERGES = ("after", "before")
_EPS = 0.01


@MODELS.register_module()
class CLIPFSARHead(FewShotHead):
    """CLIP-guided prototype modulating: Wang et al., IJCV 2023, arXiv 2303.02982, sections 3.2 and 3.3.

    Queries pass a temporal transformer as they are, supports with the text of their class as one more token; a matcher
    compares the frames that come out. In training the mean frame of every clip is also told apart from the texts of
    *all* training classes (`loss_video_text`).

    `predict` fills `pred_score` (Q, W), the few-shot probabilities; `text_score`, zero-shot probabilities of CLIP's two
    towers; and `fused_score`, p_text^b p_few_shot^(1 - b), of which only the order means something.

    State-dict keys: `temporal_transformer.`, `scale`, `text_coefficient`.

    Args:
        in_channels: D, of the backbone's features and of the class texts.
        matcher: config of a matcher; None takes OTAM in both directions with a smoothing of 0.5, as published.
        shot_merge: 'after' averages the shots of a class when they have passed the transformer (published 1-shot
            configs); 'before' averages their features first (published 5-shot configs). Equal for one shot.
        depth: of the transformer; 0 leaves it out, and modulation with it (the paper's ablation).
        heads, hidden, attention_dropout, dropout: see `TemporalTransformer`.
        text_token: whether class texts modulate prototypes.
        class_loss_weight: of the video-text loss (published per data set: 1.2 to 3); 0 leaves it out.
        scale_init: of the factor of the video-text similarities, trained without exp or clamp; published: 1, not
            CLIP's 100.
        train_scale: whether it is trained.
        text_coefficient: b of `fused_score`, in [0, 1]; `clipplus clip-fsar combine` chooses it on validation classes
            and stores it in the checkpoint.

    Raises:
        ValueError: options outside of these.
    """

    needs_text = True
    text_coefficient: Tensor

    def __init__(
        self,
        in_channels: int,
        matcher: dict | None = None,
        shot_merge: ShotMerge = "after",
        depth: int = 1,
        heads: int = 8,
        hidden: int = 2048,
        attention_dropout: float = 0.2,
        dropout: float = 0.05,
        text_token: bool = True,
        class_loss_weight: float = 1.0,
        scale_init: float = 1.0,
        train_scale: bool = True,
        text_coefficient: float = 0.9,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(matcher or dict(type="OTAMMatcher", smoothing=0.5), init_cfg)
        if shot_merge not in _SHOT_MERGES:
            raise ValueError(
                f"shot_merge must be 'after' or 'before', got '{shot_merge}'{did_you_mean(shot_merge, _SHOT_MERGES)}"
            )
        if not 0 <= text_coefficient <= 1:
            raise ValueError(f"text_coefficient must lie in [0, 1], got {text_coefficient}")
        if not class_loss_weight >= 0:
            raise ValueError(f"class_loss_weight must not be negative, got {class_loss_weight}")
        self.shot_merge, self.text_token, self.class_loss_weight = shot_merge, text_token, class_loss_weight
        self.temporal_transformer = TemporalTransformer(
            in_channels, depth, heads, hidden=hidden, attention_dropout=attention_dropout, dropout=dropout
        )
        self.scale = nn.Parameter(torch.full((1,), float(scale_init)), requires_grad=train_scale)
        # Float64, so that 0.9 is 0.9.
        self.register_buffer("text_coefficient", torch.tensor(text_coefficient, dtype=torch.float64))

    # ------------------------------------------------------------------------------------------------------- few shots

    def forward(self, query: Tensor, support: Tensor, support_label: Tensor, support_text: Tensor) -> Tensor:  # type: ignore[override]
        """Logits (E, Q, W), minus the distances, columns by ascending label.

        Args:
            query: (E, Q, T, D), features of frames, not normalised.
            support: (E, S, T, D).
            support_label: (E, S) integers; on the CPU nothing waits for a device.
            support_text: (E, S, D), text of the class of each support.
        """
        return super().forward(*self.modulate(query, support, support_label, support_text))

    def modulate(
        self, query: Tensor, support: Tensor, support_label: Tensor, support_text: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (E, Q, T, D), supports (E, S', T, D) and their labels (E, S') as the matcher gets them.

        Arguments as `forward`. S' is S, or with `shot_merge='before'` W.
        """
        if self.shot_merge == "before":
            ways = Ways.of(support_label)
            support, support_text = (mean_over_shots(at_least_float32(x), ways) for x in (support, support_text))
            support_label = ways.labels
        return self._through_time(query), self._through_time(support, support_text), support_label

    def _through_time(self, clips: Tensor, text: Tensor | None = None) -> Tensor:
        """Clips (E, N, T, D) behind the transformer, which sees the text (E, N, D) as a last token."""
        tokens, frames = clips.flatten(0, 1), clips.shape[2]
        if text is not None and self.text_token:
            tokens = torch.cat([tokens, text.flatten(0, 1)[:, None].to(tokens.dtype)], dim=1)
        mixed: Tensor = self.temporal_transformer(tokens)[:, :frames]
        return mixed.unflatten(0, clips.shape[:2])

    # ------------------------------------------------------------------------------------------------------- with texts

    def loss(  # type: ignore[override]
        self, query: Tensor, support: Tensor, data_samples: Sequence[EpisodeDataSample], class_text: Tensor
    ) -> dict[str, Tensor]:
        """`loss_few_shot`, in nats, and `loss_video_text`, times its weight; each a mean over clips and episodes.

        Args:
            query: (E, Q, T, D).
            support: (E, S, T, D).
            data_samples: E of them, their labels on the CPU.
            class_text: (C, D), texts of all classes of the split, row = class id, not normalised.

        Raises:
            ValueError: a query whose class is not among the supports, or a class without text.
        """
        support_label, query_label = stacked_labels(data_samples)
        support_class = _classes(data_samples, "support_class", class_text)
        logits_EQW = self(query, support, support_label, class_text[support_class])
        target_EQ = Ways.of(support_label).columns(query_label).to(logits_EQW.device, non_blocking=True)
        terms = {"loss_few_shot": F.cross_entropy(logits_EQW.flatten(0, 1), target_EQ.flatten())}
        if self.class_loss_weight:
            query_class = _classes(data_samples, "query_class", class_text)
            logits = self.class_logits(torch.cat([support, query], dim=1), class_text)
            target = torch.cat([support_class, query_class], dim=1)
            terms["loss_video_text"] = self.class_loss_weight * F.cross_entropy(logits.flatten(0, 1), target.flatten())
        return terms

    def class_logits(self, clips: Tensor, class_text: Tensor) -> Tensor:
        """Logits (E, N, C) of clips (E, N, T, D), their mean frame against all class texts (C, D)."""
        with torch.autocast(clips.device.type, enabled=False):
            mean_END = at_least_float32(clips).mean(dim=2)
            return self.scale * eps_cosine(mean_END, class_text.to(mean_END.dtype), _EPS)

    def predict(  # type: ignore[override]
        self, query: Tensor, support: Tensor, data_samples: Sequence[EpisodeDataSample], class_text: Tensor
    ) -> list[EpisodeDataSample]:
        """The samples with `pred_score`, `text_score` and `fused_score`, (Q, W) by ascending label, float32.

        Arguments are those of `loss`; labels and classes of queries are not read.

        Raises:
            ValueError: features that are not finite; names the episodes.
        """
        require_finite(query, support, data_samples)
        support_label = torch.stack([sample.support_label for sample in data_samples])
        support_class = _classes(data_samples, "support_class", class_text)
        logits_EQW = self(query, support, support_label, class_text[support_class])
        way_text_EWD = self._way_text(support_label, class_text[support_class])
        text_EQW = text_log_probability(query, way_text_EWD, self.scale.detach())
        fused_EQW = combined_log_score(text_EQW, logits_EQW, self.text_coefficient)
        scores = logits_EQW.softmax(dim=-1).float(), text_EQW.exp().float(), fused_EQW.exp().float()
        for sample, few_shot, text, fused in zip(data_samples, *scores, strict=True):
            sample.pred_score, sample.text_score, sample.fused_score = few_shot, text, fused
        return list(data_samples)

    @staticmethod
    def _way_text(support_label: Tensor, support_text: Tensor) -> Tensor:
        """Text (E, W, D) of each way."""
        return mean_over_shots(at_least_float32(support_text), Ways.of(support_label))

    def between_frames(  # type: ignore[override]
        self, query: Tensor, support: Tensor, data_samples: Sequence[EpisodeDataSample], class_text: Tensor
    ) -> Tensor:
        """See `FewShotHead.between_frames`; between frames that have passed the transformer."""
        support_label = torch.stack([sample.support_label for sample in data_samples])
        support_text = class_text[_classes(data_samples, "support_class", class_text)]
        return self._matched(*self.modulate(query, support, support_label, support_text))


def _classes(data_samples: Sequence[EpisodeDataSample], field: str, class_text: Tensor) -> Tensor:
    """Class ids (E, N) on the texts' device."""
    return class_ids(data_samples, field, len(class_text)).to(class_text.device, non_blocking=True)
