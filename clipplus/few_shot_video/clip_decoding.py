"""Transforms that open a video and decode its sampled frames through PyAV, which brings its own FFmpeg."""

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.fileio import get
from mmengine.registry import TRANSFORMS

from clipplus.few_shot_video.clip_reading import VideoFile
from clipplus.few_shot_video.frame_cache import CachedVideo, FrameCache


@TRANSFORMS.register_module()
class ClipInit(BaseTransform):
    """Opens the video `filename`; mmaction2's `SampleFrames` and `ClipDecode` follow.

    Adds `video_reader`, `total_frames` (exact, also where the header has no count) and `avg_fps`, as `DecordInit` does;
    with a frame cache also `scale_factor`, (width, height), by how much its frames were resized.

    Args:
        frame_cache: config of a `FrameCache`: the whole video is decoded and resized once, later frames are read from
            there.
        backend_args: of mmengine's file backends, for videos that are not on a disk.

    Raises:
        FileNotFoundError: no such video.
        ValueError: it cannot be read.
    """

    def __init__(self, frame_cache: dict | None = None, backend_args: dict | None = None) -> None:
        self.frame_cache = None if frame_cache is None else FrameCache(**frame_cache)
        self.backend_args = backend_args

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Open `results['filename']`."""
        name = results["filename"]

        def open_video() -> VideoFile:
            return VideoFile(name if self.backend_args is None else get(name, self.backend_args), name)

        reader = open_video() if self.frame_cache is None else self.frame_cache.open(name, open_video)
        results["video_reader"] = reader
        results["total_frames"] = len(reader)
        results["avg_fps"] = reader.avg_fps
        if isinstance(reader, CachedVideo):
            # mmaction2's `Resize` multiplies it by its own.
            results["scale_factor"] = np.array(reader.scale, dtype=np.float32)
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(frame_cache={self.frame_cache}, backend_args={self.backend_args})"


@TRANSFORMS.register_module()
class ClipDecode(BaseTransform):
    """Decodes the frames `frame_inds` of a video that `ClipInit` opened, and closes it.

    Adds `imgs` (a list of RGB (H, W, 3) uint8), `original_shape` and `img_shape`, as `DecordDecode` does.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Decode.

        Raises:
            ValueError: the video is damaged.
        """
        reader = results.pop("video_reader")
        try:
            results["imgs"] = reader.frames(np.asarray(results["frame_inds"]).reshape(-1))
        finally:
            reader.close()
        results["original_shape"] = results["img_shape"] = results["imgs"][0].shape[:2]
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"
