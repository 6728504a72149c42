"""Moves batches to the device and normalises their pixels there."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import MODELS

# OpenAI's pixel statistics times 255; all CLIPs but a few (SigLIP: 127.5, 127.5) were trained with them.
CLIP_MEAN = (122.771, 116.746, 104.094)
CLIP_STD = (68.501, 66.632, 70.323)


@MODELS.register_module()
class CaptionDataPreprocessor(BaseDataPreprocessor):
    """Normalises the pixels of image-text batches; batches with `data_samples` go to the host's own preprocessor.

    Args:
        mean: per channel in RGB order, on the scale 0..255.
        std: likewise.
        host: config of the host's preprocessor, e.g. `dict(type='mmpretrain.ClsDataPreprocessor', to_rgb=True)`; it
            gets this one's `mean` and `std` unless it states its own.
        non_blocking: copy to the device without waiting.
    """

    def __init__(
        self,
        mean: Sequence[float] = CLIP_MEAN,
        std: Sequence[float] = CLIP_STD,
        host: dict | None = None,
        non_blocking: bool = True,
    ) -> None:
        super().__init__(non_blocking)
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)
        self.host = None if host is None else MODELS.build(dict(mean=list(mean), std=list(std)) | host)

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """A batch on the device with float pixels.

        Args:
            data: `inputs` uint8 (B, 3, H, W) RGB and whatever travels along; or a host's batch with `data_samples`.
            training: handed on to the host's preprocessor.

        Raises:
            ValueError: a host's batch without a `host` preprocessor.
        """
        if data.get("data_samples") is not None:
            if self.host is None:
                raise ValueError(
                    "the batch has data_samples, but data_preprocessor states no host: add "
                    "host=dict(type='mmpretrain.ClsDataPreprocessor', to_rgb=True) to the CaptionDataPreprocessor"
                )
            return self.host(data, training)
        batch = self.cast_data(data)
        batch["inputs"] = self.normalize(batch["inputs"])
        return batch

    def normalize(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 or float RGB pixels on 0..255, (..., 3, H, W), to what the image tower expects."""
        return (pixels.to(self.mean.dtype) - self.mean) / self.std
