"""Pixels of clips on the device: size, crops and colours, as few-shot recipes have them.

Clips are RGB, (..., 3, H, W), on the scale 0..1 where colours change. One draw serves all frames of a clip. Shape
letters of this file: T frames, H height, W width.
"""

import random
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torchvision.transforms.functional import adjust_hue

Clip = Float[Tensor, "T 3 H W"]

# Luma of ITU-R BT.601.
_LUMA = (0.299, 0.587, 0.114)


def squash(clips: Float[Tensor, "*clips 3 H W"], size: Sequence[int]) -> Float[Tensor, "*clips 3 h w"]:
    """Resize to (height, width), bilinear, without antialiasing and without regard to the aspect ratio."""
    flat = clips.reshape(-1, *clips.shape[-3:])
    resized = F.interpolate(flat, size=tuple(size), mode="bilinear", align_corners=False)
    return resized.view(*clips.shape[:-2], *resized.shape[-2:])


def center_offset(length: int, crop: int) -> int:
    """Where a centre crop begins."""
    return (length - crop) // 2


def random_offsets(seed: int, height: int, width: int, crop: int) -> tuple[int, int]:
    """Where a random crop begins, (x, y): whole parts of uniform draws, x first; the last position never occurs."""
    rng = random.Random(seed)
    return int(rng.uniform(0, width - crop)), int(rng.uniform(0, height - crop))


def gray(clip: Clip) -> Clip:
    """Luma in all three channels."""
    red, green, blue = (weight * clip[:, channel] for channel, weight in enumerate(_LUMA))
    return (red + green + blue)[:, None].expand_as(clip)


def brightness(clip: Clip, factor: float) -> Clip:
    """Blend with black; 1 changes nothing."""
    return (clip * factor).clamp(0, 1)


def contrast(clip: Clip, factor: float) -> Clip:
    """Blend with the mean luma of each frame; 1 changes nothing."""
    mean = gray(clip).mean(dim=(-3, -2, -1), keepdim=True)
    return (factor * clip + (1 - factor) * mean).clamp(0, 1)


def saturation(clip: Clip, factor: float) -> Clip:
    """Blend with luma; 1 changes nothing."""
    return (factor * clip + (1 - factor) * gray(clip)).clamp(0, 1)


def hue(clip: Clip, shift: float) -> Clip:
    """Turn the hue by a fraction of the circle, -0.5..0.5; 0 changes nothing."""
    shifted: Tensor = adjust_hue(clip, shift)
    return shifted


def jitter(clip: Clip, rng: random.Random, strength: float, hue_shift: float, gray_probability: float) -> Clip:
    """Random colours, the same for all frames of a clip.

    Args:
        clip: (T, 3, H, W) on 0..1.
        rng: what is drawn from.
        strength: factors of brightness, contrast and saturation are drawn from 1 - strength..1 + strength.
        hue_shift: the hue is turned by -hue_shift..hue_shift of the circle.
        gray_probability: of taking the colour away first.
    """
    if rng.random() < gray_probability:
        clip = gray(clip)
    operators: list[Callable[[Tensor, float], Tensor]] = [brightness, contrast, saturation, hue]
    rng.shuffle(operators)
    for operator in operators:
        reach, middle = (hue_shift, 0.0) if operator is hue else (strength, 1.0)
        clip = operator(clip, rng.uniform(middle - reach, middle + reach))
    return clip


def normalize(clips: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Zero mean and unit variance; `mean` and `std` (3, 1, 1) on the scale of the clips."""
    return (clips.to(mean.dtype) - mean) / std


def crop_each(clips: Sequence[Tensor], offsets: Sequence[tuple[int, int]], crop: int) -> Tensor:
    """A square of every clip (T, 3, H, W), stacked to (N, T, 3, crop, crop)."""
    parts = [clip[..., y : y + crop, x : x + crop] for clip, (x, y) in zip(clips, offsets, strict=True)]
    return torch.stack(parts)
