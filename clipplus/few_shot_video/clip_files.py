"""Clips of a person's own, read as evaluation reads those of a data set."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import Compose
from numpy.typing import NDArray
from torch import Tensor

from clipplus.few_shot_video.clip_decoding import ClipDecode
from clipplus.few_shot_video.clip_reading import VideoFile
from clipplus.few_shot_video.evaluation_pipeline import Description
from clipplus.few_shot_video.frame_folder import FrameFolder

_SAMPLING = ("SampleFrames", "StrideSampleFrames")


@dataclass(frozen=True)
class ReadClip:
    """A clip before its pixels are normalised.

    Attributes:
        path: where it was read from.
        frames: (T, 3, H, W) uint8 RGB.
        total_frames: frames of the file, of which T were chosen.
        aspect: width by height of the frames as they were filmed.
    """

    path: Path
    frames: Tensor
    total_frames: int
    aspect: float


class ClipFiles:
    """Reads video files and folders of frames.

    Args:
        description: of the clips, see `describe_pipeline`.

    Raises:
        ValueError: no transform chooses frames, or more than one.
    """

    def __init__(self, description: Description) -> None:
        sampling = [step for step in description if step["type"] in _SAMPLING]
        if len(sampling) != 1 or description[0] is not sampling[0]:
            raise ValueError(f"a clip is cut out by {' or '.join(_SAMPLING)}, and first of all: {description}")
        self._sample = Compose(sampling)
        self._change = Compose([step for step in description if step is not sampling[0]])

    def read(self, path: Path) -> ReadClip:
        """Frames of a clip, as evaluation chooses them. One with fewer frames than are chosen shows some repeatedly.

        Raises:
            ValueError: it cannot be read.
        """
        reader = FrameFolder(path) if path.is_dir() else VideoFile(path)
        total = len(reader)
        found: Any = dict(filename=str(path), total_frames=total, avg_fps=reader.avg_fps, start_index=0, modality="RGB")
        found = ClipDecode().transform(dict(self._sample(found), video_reader=reader))
        height, width = found["original_shape"]
        found = self._change(found)
        frames = np.stack([np.ascontiguousarray(frame) for frame in found["imgs"]])
        return ReadClip(path, torch.from_numpy(frames).permute(0, 3, 1, 2), total, width / height)


def thumbnails(clip: ReadClip, side: int) -> NDArray[np.uint8]:
    """Frames (T, side, side, 3), squashed."""
    small = torch.nn.functional.interpolate(clip.frames.float(), (side, side), mode="bilinear", antialias=True)
    return small.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
