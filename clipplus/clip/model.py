"""The one CLIP: two towers, a scale and a loss.

It is the baseline of every method, and the base class where a method is "CLIP with another loss".
Shape letters of this file: B images, M texts of the batch, E joint width.
"""

import logging
import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from clipplus.clip.chunks import encode_in_chunks, require_independent_rows
from clipplus.losses.gather import is_distributed
from clipplus.text import build_tokenizer
from clipplus.towers import CLIPImageTower, CLIPTextTower


@MODELS.register_module()
class CLIPModel(BaseModel):
    """Trains and embeds with an image tower and a text tower.

    State-dict keys: `image_tower.<open_clip key>`, `text_tower.<open_clip key>`, `logit_scale`, `logit_bias`. Without
    the first component they are an open_clip file.

    Args:
        image_tower: config of a `CLIPImageTower`.
        text_tower: config of a `CLIPTextTower`.
        loss: config of a contrastive loss, e.g. `dict(type='SoftmaxContrastiveLoss')`.
        data_preprocessor: config of a `CaptionDataPreprocessor`, the default.
        init_scale: initial multiplier of similarities; `logit_scale` holds its logarithm. None takes that of the image
            tower's pretrained weights, or CLIP's 1 / 0.07.
        init_bias: initial `logit_bias`, for losses that read one; None likewise, or SigLIP's -10.
        micro_batch: most pairs of a rank's batch whose activations are kept at a time, so that the batch may be larger
            than what a device holds (`encode_in_chunks`); the contrast still sees all pairs. None encodes them at once.

    Raises:
        ValueError: towers of different joint widths; a `micro_batch` below 1, or with a training BatchNorm.
    """

    #: The loss compares samples of a batch with each other: gradient accumulation would change it.
    couples_samples = True

    def __init__(
        self,
        image_tower: dict,
        text_tower: dict,
        loss: dict,
        data_preprocessor: dict | None = None,
        init_scale: float | None = None,
        init_bias: float | None = None,
        micro_batch: int | None = None,
    ) -> None:
        super().__init__(data_preprocessor or dict(type="CaptionDataPreprocessor"))
        self.image_tower: CLIPImageTower = MODELS.build(image_tower)
        self.text_tower: CLIPTextTower = MODELS.build(text_tower)
        if self.text_tower.pad_id is None and not self.text_tower.trims:
            tokenizer = build_tokenizer(self.text_tower.model, self.text_tower.tokenizer)
            self.text_tower.pad_id = tokenizer.pad_id
        if self.image_tower.embed_dim != self.text_tower.embed_dim:
            raise ValueError(
                f"the towers' joint widths differ: image {self.image_tower.embed_dim}, text {self.text_tower.embed_dim}"
            )
        self.contrast: nn.Module = MODELS.build(loss)
        start = self.image_tower.pretrained_scalars
        log_scale = start.get("logit_scale", math.log(1 / 0.07)) if init_scale is None else math.log(init_scale)
        self.logit_scale = nn.Parameter(torch.tensor(log_scale))
        if getattr(self.contrast, "needs_bias", False):
            bias = start.get("logit_bias", -10.0) if init_bias is None else init_bias
            self.logit_bias = nn.Parameter(torch.tensor(float(bias)))
        self._warned_single = False
        # Read by NonFiniteHook: it names the samples whose rows are not finite.
        self.rows_behind_loss: tuple[Tensor, ...] = ()
        self.micro_batch = micro_batch
        if micro_batch is not None:
            if isinstance(micro_batch, bool) or not isinstance(micro_batch, int) or micro_batch < 1:
                raise ValueError(f"micro_batch must be None or a whole number of at least 1 pair, got {micro_batch!r}")
            require_independent_rows(self)

    def init_weights(self) -> None:
        """Nothing: open_clip's towers initialise or load themselves when they are built."""

    def forward(
        self,
        inputs: Tensor,
        tokens: Tensor | None = None,
        counts: Tensor | None = None,
        ids: Tensor | None = None,
        data_samples: list[BaseDataElement] | None = None,
        mode: Literal["tensor", "loss", "predict"] = "tensor",
        **extra: Any,
    ) -> Any:
        """One batch.

        Args:
            inputs: (B, 3, H, W), normalised by the preprocessor.
            tokens: (M, L) int64; the captions of an image are neighbours.
            counts: (B,), captions per image; M is their sum.
            ids: (B,), stable hash of each sample's key.
            data_samples: the host's own samples, when the batch comes from a host's data set.
            mode: 'loss' -> dict of terms; 'predict' -> list of samples with embeddings; 'tensor' -> normalised
                (image (B, E), text (M, E) or None).
            **extra: what else travels with the batch: `keys` (NonFiniteHook names samples by them), `texts`.

        Raises:
            ValueError: unknown mode, or a training batch without exactly one caption per image.
        """
        if mode == "loss":
            return self.loss(inputs, tokens, counts)
        if mode == "predict":
            return self.predict(inputs, tokens, counts, ids, data_samples, extra.get("texts"))
        if mode == "tensor":
            return self.embed_images(inputs), None if tokens is None else self.embed_texts(tokens)
        raise ValueError(f"unknown mode '{mode}'; known: tensor, loss, predict")

    def embed_images(self, images: Tensor) -> Tensor:
        """Normalised embeddings (B, E) of normalised pixels."""
        return F.normalize(self._encode(self.image_tower, images), dim=-1)

    def embed_texts(self, tokens: Tensor) -> Tensor:
        """Normalised embeddings (M, E) of token rows."""
        return F.normalize(self._encode(self.text_tower, tokens), dim=-1)

    def _encode(self, tower: nn.Module, rows: Tensor) -> Tensor:
        return tower(rows) if self.micro_batch is None else encode_in_chunks(tower, rows, self.micro_batch)

    def loss(self, inputs: Tensor, tokens: Tensor | None, counts: Tensor | None) -> dict[str, Tensor]:
        """`loss_contrast`, and the current `scale` for the log."""
        if tokens is None or len(tokens) != len(inputs) or (counts is not None and len(counts) != len(tokens)):
            raise ValueError(
                f"{type(self).__name__} contrasts one caption per image, got {len(inputs)} images and "
                f"{0 if tokens is None else len(tokens)} captions: "
                "use SampleCaptions(policy='first') or SampleCaptions(policy='sample_k', k=1)"
            )
        self._warn_single(len(inputs))
        image, text = self.embed_images(inputs), self.embed_texts(tokens)
        scale = self.logit_scale.exp()
        bias = (self.logit_bias,) if hasattr(self, "logit_bias") else ()
        terms = {"loss_contrast": self.contrast(image, text, scale, *bias)}
        self.rows_behind_loss = (image.detach(), text.detach())
        return {**terms, "scale": scale.detach()}

    def _warn_single(self, pairs: int) -> None:
        if pairs == 1 and not is_distributed() and not self._warned_single:
            self._warned_single = True
            print_log(
                "the batch has one pair: a contrast needs others to compare with (raise train_dataloader.batch_size)",
                logger="current",
                level=logging.WARNING,
            )

    def predict(
        self,
        inputs: Tensor,
        tokens: Tensor | None,
        counts: Tensor | None,
        ids: Tensor | None,
        data_samples: list[BaseDataElement] | None,
        texts: list[list[str]] | None = None,
    ) -> list[BaseDataElement]:
        """Samples with `image_embedding` (E,): the host's own, or new ones with `text_embeddings` (K, E) as well."""
        image = self.embed_images(inputs).float()
        if data_samples is not None:
            for sample, embedding in zip(data_samples, image, strict=True):
                sample.image_embedding = embedding
            return data_samples
        if ids is None:
            raise ValueError("predict needs the samples' ids: pack the data with PackCaptions and caption_collate")
        samples = [BaseDataElement(sample_id=int(i), image_embedding=e) for i, e in zip(ids, image, strict=True)]
        if tokens is not None and counts is not None:
            for sample, embeddings in zip(
                samples, self.embed_texts(tokens).float().split(counts.tolist()), strict=True
            ):
                sample.text_embeddings = embeddings
        for sample, captions in zip(samples, texts or [], strict=False):
            sample.captions = captions
        return samples
