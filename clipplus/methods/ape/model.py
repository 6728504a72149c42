"""The classifier that configs name: a frozen image tower, and a head that knows the class texts and the few shots.

Shape letters of this file: B images, C classes, D channels of a feature.
"""

from typing import Any, Literal

import torch
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.models.classifiers import BaseClassifier
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor

from clipplus.clip.preprocessor import CLIP_MEAN, CLIP_STD
from clipplus.methods.ape.cache_head import CacheHead
from clipplus.methods.ape.logits import unit
from clipplus.text import ClassTextBank
from clipplus.towers import CLIPImageTower


@MODELS.register_module()
class ImageOrFeaturePreprocessor(ClsDataPreprocessor):
    """mmpretrain's preprocessor, which hands feature vectors on as they are.

    Args:
        mean: per channel in RGB order, on the scale 0..255; the default is CLIP's.
        std: likewise.
        to_rgb: whether images come as BGR, as mmcv reads them.
        **options: as mmpretrain's `ClsDataPreprocessor`.
    """

    def __init__(self, mean: Any = CLIP_MEAN, std: Any = CLIP_STD, to_rgb: bool = True, **options: Any) -> None:
        super().__init__(mean=list(mean), std=list(std), to_rgb=to_rgb, **options)

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """A batch on the device: images normalised (B, 3, H, W), or features (B, D)."""
        inputs = data["inputs"]
        if inputs[0].ndim != 1:
            return super().forward(data, training)
        features = inputs if isinstance(inputs, Tensor) else torch.stack(list(inputs))
        return {"inputs": self.cast_data(features), "data_samples": self.cast_data(data.get("data_samples"))}

    @property
    def identity(self) -> dict[str, Any]:
        """What it does to pixels, as plain data."""
        statistics = {name: getattr(self, name).flatten().tolist() for name in ("mean", "std")}
        return {**statistics, "to_rgb": self.to_rgb, "pad_size_divisor": self.pad_size_divisor}


@MODELS.register_module()
class FewShotClassifier(BaseClassifier):
    """Classifies images, or their features, by class texts and a few labelled images per class.

    State-dict keys: `image_tower.<open_clip key>`, `head.<name>`. It is built unfitted; `FewShotFitLoop` or a
    checkpoint fits it.

    Args:
        image_tower: config of a frozen `CLIPImageTower`; None where all inputs are features.
        head: config of a `CacheHead`: `ZeroShotCacheHead`, `TipAdapterHead`, `APEHead`, `APETHead`.
        text_bank: config of a `ClassTextBank` with its `tower`. It is built when a fit begins, and not in a test: the
            checkpoint holds what came of it.
        data_preprocessor: config, by default `ImageOrFeaturePreprocessor`.

    Raises:
        ValueError: an image tower that is not frozen.
    """

    #: The loss is a mean over samples.
    couples_samples = False
    #: Keys whose shapes a checkpoint decides.
    sized_by_file = ("head.",)

    def __init__(
        self,
        head: dict,
        image_tower: dict | None = None,
        text_bank: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg, data_preprocessor or dict(type="ImageOrFeaturePreprocessor"))
        self.image_tower: CLIPImageTower | None = None if image_tower is None else MODELS.build(image_tower)
        if self.image_tower is not None and not self.image_tower.frozen:
            raise ValueError("FewShotClassifier trains no tower: set image_tower.frozen=True")
        self.head: CacheHead = MODELS.build(head)
        if self.image_tower is not None and "logit_scale" in self.image_tower.pretrained_scalars:
            self.head.model_scale = float(torch.tensor(self.image_tower.pretrained_scalars["logit_scale"]).exp())
        self.text_bank_config = text_bank

    def build_text_bank(self) -> Any:
        """The class texts' bank with its tower (None where texts come from elsewhere).

        Raises:
            ValueError: none is configured, or its tower has another joint width than the image tower.
        """
        if self.text_bank_config is None:
            raise ValueError("a fit needs model.text_bank=dict(type='ClassTextBank', ..., tower=dict(...))")
        bank: Any = MODELS.build(self.text_bank_config)
        if isinstance(bank, ClassTextBank) and bank.tower is None:
            raise ValueError("model.text_bank needs a text tower of its own: text_bank.tower=dict(...)")
        if (
            self.image_tower is not None
            and bank.tower is not None
            and bank.tower.config.embed_dim != self.image_tower.embed_dim
        ):
            raise ValueError(
                f"the towers' joint widths differ: image {self.image_tower.embed_dim}, text "
                f"{bank.tower.config.embed_dim}; image_tower and text_bank.tower must be of one CLIP"
            )
        return bank

    def init_weights(self) -> None:
        """Nothing: towers load themselves when they are built, and heads are fitted."""

    def extract_feat(self, inputs: Tensor) -> Tensor:
        """Features (B, D) of normalised images (B, 3, H, W), not of length 1; features are returned as they are.

        Raises:
            ValueError: images, and no image tower.
        """
        if inputs.ndim == 2:
            return inputs
        if self.image_tower is None:
            raise ValueError("the inputs are images, but model.image_tower is None")
        with torch.no_grad():
            return self.image_tower(inputs)

    def forward(
        self,
        inputs: Tensor,
        data_samples: list[DataSample] | None = None,
        mode: Literal["tensor", "loss", "predict"] = "tensor",
    ) -> Any:
        """One batch.

        Args:
            inputs: normalised images (B, 3, H, W), or features (B, D).
            data_samples: with `gt_label` for the loss.
            mode: 'tensor' gives logits (B, C), 'loss' a dict of terms, 'predict' the samples with `pred_score` (C,),
                `pred_label`, `logits` (C,) and `image_embedding` (D,).

        Raises:
            ValueError: not fitted, an unknown mode, or a loss without labels.
        """
        features = self.extract_feat(inputs)
        # Half precision would tell logits of 25 apart by 1/64 only: it ends with the tower.
        with torch.autocast(features.device.type, enabled=False):
            features = unit(features.to(torch.promote_types(features.dtype, torch.float32)))
            if mode == "tensor":
                return self.head(features)
            if mode == "loss":
                return self.head.loss(features, _labels(data_samples).to(features.device))
            if mode == "predict":
                return self._predict(features, data_samples)
        raise ValueError(f"unknown mode '{mode}'; known: tensor, loss, predict")

    def _predict(self, features: Tensor, data_samples: list[DataSample] | None) -> list[DataSample]:
        logits = self.head(features)
        samples = [DataSample() for _ in logits] if data_samples is None else data_samples
        # Logits can lie more than 100 apart, where float32 probabilities would be 0.
        scores = logits.double().softmax(dim=1)
        for sample, own, score, feature in zip(samples, logits, scores, features, strict=True):
            sample.set_pred_score(score).set_pred_label(own.argmax())
            sample.logits, sample.image_embedding = own, feature
        return samples


def _labels(data_samples: list[DataSample] | None) -> Tensor:
    if data_samples is None or any("gt_label" not in sample for sample in data_samples):
        raise ValueError(
            "training needs gt_label in every sample: use mmpretrain.PackInputs and a data set with labels"
        )
    return torch.cat([sample.gt_label for sample in data_samples])
