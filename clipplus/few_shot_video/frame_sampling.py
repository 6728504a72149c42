"""Which frames make a clip, where mmaction2's `SampleFrames` does not say it."""

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS
from numpy.typing import NDArray


def strided_frames(
    total_frames: int, fps: float, num_frames: int, stride: float, target_fps: float, position: float
) -> NDArray[np.int64]:
    """Frame numbers at equal distances, as CLIP-FSAR's Kinetics recipe samples them.

    The clip is `num_frames * stride` frames long at `target_fps`. In a video too short for that it is the largest
    multiple of `num_frames` that fits; if that is shorter than a stride, frames run backwards or repeat, as published.

    Args:
        total_frames: of the video.
        fps: of the video; 0 (unknown) is taken for `target_fps`.
        num_frames: frames to choose.
        stride: frames between two of them, at `target_fps`.
        target_fps: see there.
        position: where the clip begins, 0..1 of the room there is.

    Returns:
        (num_frames,), each 0..total_frames - 1.
    """
    length = num_frames * stride * (fps or target_fps) / target_fps
    if length > total_frames:
        length = total_frames // num_frames * num_frames
    start = position * max(total_frames - length + 1, 0)
    frames = np.linspace(start, start + length - stride, num_frames)
    return np.clip(frames, 0, total_frames - 1).astype(np.int64)


@TRANSFORMS.register_module()
class StrideSampleFrames(BaseTransform):
    """`strided_frames` of a video: somewhere in training, from the middle of the room in evaluation.

    Reads `total_frames`, `avg_fps` and `start_index`; adds `frame_inds`, `clip_len`, `frame_interval` and
    `num_clips`, as mmaction2's `SampleFrames` does.

    Args:
        num_frames: frames of a clip.
        stride: 35 at 12 frames per second is CLIP-FSAR's for Kinetics.
        target_fps: see there.
        test_mode: evaluation.
    """

    def __init__(
        self, num_frames: int = 8, stride: float = 35, target_fps: float = 12, test_mode: bool = False
    ) -> None:
        self.num_frames, self.stride, self.target_fps, self.test_mode = num_frames, stride, target_fps, test_mode

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Choose."""
        position = 0.5 if self.test_mode else float(np.random.uniform())
        total, fps = results["total_frames"], results.get("avg_fps") or 0.0
        frames = strided_frames(total, fps, self.num_frames, self.stride, self.target_fps, position)
        results["frame_inds"] = frames + results["start_index"]
        # Every frame is a clip of its own, which is how 2D towers are fed.
        results.update(clip_len=1, frame_interval=None, num_clips=self.num_frames)
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.num_frames}, {self.stride}, {self.target_fps}, {self.test_mode})"
