"""From episodes as they were loaded to what the tower expects, on the device."""

import random
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import MODELS
from torch import Tensor

from clipplus.few_shot_video.clip_pixels import (
    center_offset,
    crop_each,
    jitter,
    normalize,
    random_offsets,
    squash,
)
from clipplus.few_shot_video.episode_sample import EpisodeDataSample

# OpenAI's pixel statistics, to all their digits: published clips are compared to 1e-5.
_MEAN = tuple(255 * value for value in (0.48145466, 0.4578275, 0.40821073))
_STD = tuple(255 * value for value in (0.26862954, 0.26130258, 0.27577711))


@MODELS.register_module()
class FewShotDataPreprocessor(BaseDataPreprocessor):
    """Stacks episodes, moves them as uint8, and resizes, crops, jitters and normalises on the device.

    In training every clip is cropped at a random place, in evaluation in the middle. Flips and colours are for queries
    in training only, as in CLIP-FSAR's Kinetics recipe. What is drawn for a clip follows from its `aug_seed`. Labels
    stay on the CPU, where reading them waits for nothing.

    Args:
        mean: per RGB channel, on the scale 0..255; CLIP's.
        std: likewise.
        size: (height, width) that frames are squashed to first; None leaves them as they are.
        crop: side of the square that is cut out; None takes whole frames.
        query_flip: probability that a query is mirrored.
        query_jitter: options `strength`, `hue_shift` and `gray_probability` of `jitter`, for queries; None leaves their
            colours alone. CLIP-FSAR's for Kinetics: 0.5, 0.25, 0.3.
        non_blocking: copy to the device without waiting.
    """

    def __init__(
        self,
        mean: Sequence[float] = _MEAN,
        std: Sequence[float] = _STD,
        size: Sequence[int] | None = None,
        crop: int | None = None,
        query_flip: float = 0.0,
        query_jitter: dict[str, float] | None = None,
        non_blocking: bool = True,
    ) -> None:
        super().__init__(non_blocking)
        if not 0 <= query_flip <= 1:
            raise ValueError(f"data_preprocessor.query_flip must be a probability, got {query_flip}")
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)
        self.size = size
        self.crop = crop
        self.query_flip = query_flip
        self.query_jitter = query_jitter

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """A batch of episodes with float pixels.

        Args:
            data: `inputs`, uint8 (S + Q, T, 3, H, W) per episode, and `data_samples`, as `pseudo_collate` gives them.
            training: whether to draw.

        Returns:
            `inputs` (E, S + Q, T, 3, h, w) float, `data_samples` as they came.

        Raises:
            ValueError: episodes of different numbers of supports or queries, frames or pixels, or smaller than `crop`.
        """
        samples: list[EpisodeDataSample] = list(data["data_samples"])
        _require_equal(data["inputs"], samples)
        moved = [self.cast_data(clips) for clips in data["inputs"]]
        if not training:
            return {"inputs": self.evaluation_pixels(torch.stack(moved)), "data_samples": samples}
        seeds = [int(seed) for sample in samples for seed in sample.aug_seed]
        queries = [i >= len(sample.support_label) for sample in samples for i in range(len(sample.aug_seed))]
        clips = [clip for episode in moved for clip in episode]
        pixels = self._training_pixels(clips, seeds, queries)
        return {"inputs": pixels.view(len(samples), -1, *pixels.shape[1:]), "data_samples": samples}

    @property
    def evaluation_settings(self) -> dict[str, Any]:
        """What `evaluation_pixels` depends on, JSON-able."""
        size = None if self.size is None else list(self.size)
        return dict(mean=self.mean.flatten().tolist(), std=self.std.flatten().tolist(), size=size, crop=self.crop)

    def evaluation_pixels(self, clips: Tensor) -> Tensor:
        """Clips (..., 3, H, W) uint8, without draws: squashed, cropped in the middle, normalised."""
        if self.size is not None:
            clips = squash(clips.to(self.mean.dtype), self.size)
        if self.crop is not None:
            self._require_room(clips)
            x, y = (center_offset(clips.shape[axis], self.crop) for axis in (-1, -2))
            clips = clips[..., y : y + self.crop, x : x + self.crop]
        return normalize(clips, self.mean, self.std)

    def _training_pixels(self, clips: list[Tensor], seeds: list[int], queries: list[bool]) -> Tensor:
        clips = [
            clip.flip(-1) if query and _stream(seed, "flip").random() < self.query_flip else clip
            for clip, seed, query in zip(clips, seeds, queries, strict=True)
        ]
        if self.size is not None:
            clips = [squash(clip.to(self.mean.dtype), self.size) for clip in clips]
        if self.crop is not None:
            self._require_room(clips[0])
            height, width = clips[0].shape[-2:]
            pixels = crop_each(clips, [random_offsets(seed, height, width, self.crop) for seed in seeds], self.crop)
        else:
            pixels = torch.stack(clips)
        if self.query_jitter is not None:
            pixels = pixels.to(self.mean.dtype)
            for i, seed in enumerate(seeds):
                if queries[i]:
                    pixels[i] = jitter(pixels[i] / 255, _stream(seed, "colour"), **self.query_jitter) * 255
        return normalize(pixels, self.mean, self.std)

    def _require_room(self, clips: Tensor) -> None:
        height, width = clips.shape[-2:]
        if self.crop is not None and min(height, width) < self.crop:
            raise ValueError(
                f"data_preprocessor.crop={self.crop} is larger than the frames, {height} x {width}: resize them in the "
                "pipeline or state data_preprocessor.size"
            )


def _require_equal(inputs: Sequence[Tensor], samples: Sequence[EpisodeDataSample]) -> None:
    """Episodes of a batch are stacked: they must be alike."""
    kinds = {
        (len(sample.support_label), len(sample.query_label), tuple(clips.shape[1:]))
        for sample, clips in zip(samples, inputs, strict=True)
    }
    if len(kinds) > 1:
        text = "; ".join(f"{s} supports, {q} queries, clips {shape}" for s, q, shape in sorted(kinds))
        raise ValueError(f"episodes of a batch differ and cannot be stacked ({text}): use batch_size=1 for them")


def _stream(seed: int, use: str) -> random.Random:
    """What is drawn for a clip besides its crop, each use for itself."""
    return random.Random(f"{use} {seed}")
