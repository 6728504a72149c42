"""Recognises the queries of an episode by its supports: a tower for frames, and a head that compares clips.

Shape letters of this file: E episodes, S supports, Q queries, V clips, T frames, D joint width, W ways, C classes of
the split.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import Tensor, nn

from clipplus.few_shot_video.class_lists import class_lists, warn_of_other_lists
from clipplus.few_shot_video.episode_sample import EpisodeDataSample
from clipplus.few_shot_video.evaluation_pipeline import describe_pipeline
from clipplus.text import ClassTextBank


@MODELS.register_module()
class FewShotRecognizer(BaseModel):
    """Few-shot recognition of videos.

    State-dict keys: `backbone.<open_clip key>`, `neck.`, `cls_head.`.

    Args:
        backbone: config of a `CLIPImageTower`, which sees every frame by itself; or of a module with
            `takes_clips = True`, called with clips (V, T, 3, H, W). One with `needs_text = True` is called
            `backbone(clips, text)`, text being (V, D), that of each support's class, or None for queries.
        cls_head: config of a head, see `FewShotHead`; one with `needs_text = True` gets `class_text` (C, D), too,
            and one with `needs_encoded = True` gets `encoded`, the backbone's (query, support) before the neck.
        neck: config of a module between them, called like a head: `neck(query, support, data_samples)` -> (query,
            support).
        text: config of a `ClassTextBank` with a `tower` of its own. It gives the texts of all classes of the split that
            the episodes are of; row = class id.
        data_preprocessor: config, by default of a `FewShotDataPreprocessor`.
        encode: 'joint' encodes supports and queries in one call, 'separate' in two, supports first: what matters to
            training batch norms only, which CLIP-FSAR's ResNets have.

    Raises:
        ValueError: unknown `encode`, or a part that needs texts without `text`; when running, no data samples, an
            unknown mode, texts without class names or of another width than the features.
    """

    #: An episode's loss knows no other episode: accumulating is averaging over them.
    couples_samples = False

    def __init__(
        self,
        backbone: dict,
        cls_head: dict,
        neck: dict | None = None,
        text: dict | None = None,
        data_preprocessor: dict | None = None,
        encode: Literal["joint", "separate"] = "joint",
    ) -> None:
        super().__init__(data_preprocessor or dict(type="FewShotDataPreprocessor"))
        if encode not in ("joint", "separate"):
            raise ValueError(f"encode must be 'joint' or 'separate', got '{encode}'")
        self.backbone: nn.Module = MODELS.build(backbone)
        self.neck: nn.Module | None = None if neck is None else MODELS.build(neck)
        self.cls_head: nn.Module = MODELS.build(cls_head)
        self.encode = encode
        self.text: ClassTextBank | None = None if text is None else MODELS.build(text)
        for part in (self.backbone, self.neck, self.cls_head):
            if _needs_text(part) and self.text is None:
                raise ValueError(f"{type(part).__name__} needs class texts: give the model text=dict(...)")
        self._texts: dict[tuple[str, ...], Tensor] = {}
        # Read by NonFiniteHook: it names the samples whose rows are not finite.
        self.rows_behind_loss: tuple[Tensor, ...] = ()

    @property
    def needs_text(self) -> bool:
        """Whether the features of a support depend on the text of its class."""
        return _needs_text(self.backbone)

    def init_weights(self) -> None:
        """Nothing: towers and heads initialise or load themselves when they are built."""

    def checkpoint_record(self, runner: Any) -> dict[str, Any]:
        """What a checkpoint says besides its weights: how clips are cut out, and which texts the weights knew.

        Returns:
            `clips`, see `describe_pipeline`; with class texts also `class_texts`, see `class_lists`.
        """
        record: dict[str, Any] = {"clips": describe_pipeline(runner.cfg.to_dict())}
        return record if self.text is None else {**record, "class_texts": class_lists(self.text, runner)}

    def compare_record(self, record: dict[str, Any], runner: Any) -> None:
        """Warn where the weights were trained with other class texts; nothing else would show it."""
        if self.text is not None:
            warn_of_other_lists(record.get("class_texts"), class_lists(self.text, runner), str(runner._load_from))

    def forward(
        self,
        inputs: Tensor,
        data_samples: Sequence[EpisodeDataSample] | None = None,
        mode: Literal["tensor", "loss", "predict"] = "tensor",
    ) -> Any:
        """A batch of episodes.

        Args:
            inputs: (E, S + Q, T, 3, H, W), normalised by the preprocessor, supports first.
            data_samples: E of them.
            mode: 'loss' -> dict of terms; 'predict' -> the samples with predictions; 'tensor' -> features (query
                (E, Q, T, D), support (E, S, T, D)).
        """
        if data_samples is None:
            raise ValueError("FewShotRecognizer needs data_samples: they say which clips are supports")
        if mode == "loss":
            return self.loss(inputs, data_samples)
        if mode == "predict":
            return self.predict(inputs, data_samples)
        if mode == "tensor":
            return self.extract_feat(inputs, data_samples)
        raise ValueError(f"unknown mode '{mode}'; known: tensor, loss, predict")

    def loss(self, inputs: Tensor, data_samples: Sequence[EpisodeDataSample]) -> dict[str, Tensor]:
        """The head's terms, each a mean over the queries of all episodes."""
        query, support = self.extract_feat(inputs, data_samples)
        self.rows_behind_loss = (query.detach().flatten(1), support.detach().flatten(1))
        more = self._for_head(query, support, data_samples)
        query, support = self.refine(query, support, data_samples)
        head: Any = self.cls_head
        terms: dict[str, Tensor] = head.loss(query, support, data_samples, **more)
        return terms

    def predict(self, inputs: Tensor, data_samples: Sequence[EpisodeDataSample]) -> list[EpisodeDataSample]:
        """The samples with what the head predicts, `pred_score` (Q, W) among it."""
        return self.predict_features(*self.extract_feat(inputs, data_samples), data_samples)

    def predict_features(
        self, query: Tensor, support: Tensor, data_samples: Sequence[EpisodeDataSample]
    ) -> list[EpisodeDataSample]:
        """Predictions from the backbone's features, (E, Q, T, D) and (E, S, T, D), wherever they come from."""
        more = self._for_head(query, support, data_samples)
        query, support = self.refine(query, support, data_samples)
        head: Any = self.cls_head
        found: list[EpisodeDataSample] = head.predict(query, support, data_samples, **more)
        return found

    def between_frames(self, query: Tensor, support: Tensor, data_samples: Sequence[EpisodeDataSample]) -> Tensor:
        """Distances between frames as the head compares them, see `FewShotHead.between_frames`.

        Arguments are those of `predict_features`.
        """
        more = self._for_head(query, support, data_samples)
        query, support = self.refine(query, support, data_samples)
        head: Any = self.cls_head
        found: Tensor = head.between_frames(query, support, data_samples, **more)
        return found

    def extract_feat(self, inputs: Tensor, data_samples: Sequence[EpisodeDataSample]) -> tuple[Tensor, Tensor]:
        """Frame features of the backbone, not normalised: query (E, Q, T, D), support (E, S, T, D)."""
        shots = len(data_samples[0].support_label)
        if self.encode == "joint" and not self.needs_text:
            features = _per_episode(self.encode_clips(inputs.flatten(0, 1)), inputs)
            return features[:, shots:], features[:, :shots]
        text = self.support_text(data_samples) if self.needs_text else None
        support = self.encode_clips(inputs[:, :shots].flatten(0, 1), text)
        query = self.encode_clips(inputs[:, shots:].flatten(0, 1))
        return _per_episode(query, inputs), _per_episode(support, inputs)

    def encode_clips(self, clips: Tensor, text: Tensor | None = None) -> Tensor:
        """Frame features (V, T, D) of normalised clips (V, T, 3, H, W); `text` (V, D) for supports, if it is needed."""
        if self.needs_text:
            features: Tensor = self.backbone(clips, text)
        elif getattr(self.backbone, "takes_clips", False):
            features = self.backbone(clips)
        else:
            features = self.backbone(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])
        return features

    def support_text(self, data_samples: Sequence[EpisodeDataSample]) -> Tensor:
        """Texts (E * S, D) of the supports' classes."""
        text = self.class_text(data_samples[0].get("classes"))
        classes = torch.cat([sample.support_class for sample in data_samples])
        return text[classes.to(text.device, non_blocking=True)]

    def class_text(self, names: Sequence[str] | None) -> Tensor:
        """Texts (C, D) of the classes of a split, computed once."""
        if self.text is None or names is None:
            missing = "text=dict(type='ClassTextBank', ...)" if self.text is None else "classes_file in its data set"
            raise ValueError(f"class texts are needed: the model lacks {missing}")
        key = tuple(names)
        if key not in self._texts:
            self._texts[key] = self.text.embeddings(names=key)
        device = next(self.backbone.parameters()).device
        self._texts[key] = self._texts[key].to(device)
        return self._texts[key]

    def _texts_for(self, part: nn.Module, data_samples: Sequence[EpisodeDataSample], width: int) -> dict[str, Tensor]:
        """What a head or a neck is given besides features of this width."""
        if not _needs_text(part):
            return {}
        text = self.class_text(data_samples[0].get("classes"))
        if text.shape[1] != width:
            raise ValueError(
                f"class texts have {text.shape[1]} channels, but {type(part).__name__} gets features of {width}: "
                "model.text.tower and model.backbone must be the two towers of one model"
            )
        return {"class_text": text}

    def _for_head(self, query: Tensor, support: Tensor, data_samples: Sequence[EpisodeDataSample]) -> dict[str, Any]:
        """What the head is given besides the refined features, from those of the backbone."""
        more: dict[str, Any] = dict(self._texts_for(self.cls_head, data_samples, query.shape[-1]))
        if getattr(self.cls_head, "needs_encoded", False):
            more["encoded"] = (query, support)
        return more

    def refine(
        self, query: Tensor, support: Tensor, data_samples: Sequence[EpisodeDataSample]
    ) -> tuple[Tensor, Tensor]:
        """What the neck makes of the backbone's features; they stay as they are where there is none."""
        if self.neck is None:
            return query, support
        refined: tuple[Tensor, Tensor] = self.neck(
            query, support, data_samples, **self._texts_for(self.neck, data_samples, query.shape[-1])
        )
        return refined


def _needs_text(part: nn.Module | None) -> bool:
    return bool(getattr(part, "needs_text", False))


def _per_episode(features: Tensor, inputs: Tensor) -> Tensor:
    """(E * N, T, D) to (E, N, T, D)."""
    return features.unflatten(0, (len(inputs), -1))
