"""Frames as a video file, through PyAV."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from clipplus.checkpoints.atomic import written_aside

#: Encoder of each kind of file: H.264, MPEG-4 and VP9, as Kinetics, UCF101 and Something-Something have them.
CODECS = {".mp4": "libx264", ".avi": "mpeg4", ".webm": "libvpx-vp9"}
# x264 looks ahead at pictures of half the size, and at memory beyond small ones: what it decides from them differs from
# one time to the next.
_NO_LOOKAHEAD = "rc-lookahead=0:mbtree=0:weightp=0:b-adapt=0:scenecut=0"
# Matroska files would have a number drawn at random.
_EXACT = {"fflags": "+bitexact"}


def write_video(path: str | Path, frames: Sequence[NDArray[np.uint8]] | Any, fps: int, quality: int = 8) -> None:
    """Encode frames: the same frames give the same file; a kill leaves no half-written one.

    Args:
        path: its extension says what kind of file is written.
        frames: RGB (H, W, 3) uint8, with even height and width.
        fps: frames per second.
        quality: constant rate factor of H.264 and VP9, lower is better; MPEG-4 is written at its best.

    Raises:
        ValueError: an extension that is not in `CODECS`, or sides that are not even.
    """
    path = Path(path)
    if path.suffix not in CODECS:
        raise ValueError(f"{path}: videos are written as {', '.join(CODECS)}")
    height, width = frames[0].shape[:2]
    if height % 2 or width % 2:
        raise ValueError(f"{path}: height and width must be even, got {height} x {width}")
    with written_aside(path) as partial, av.open(str(partial), "w", format=_format(path), options=_EXACT) as container:
        # One thread: with more, what an encoder writes depends on which of them is faster.
        options = {"threads": "1"} if path.suffix == ".avi" else {"threads": "1", "crf": str(quality), "b": "0"}
        if path.suffix == ".mp4":
            options["x264-params"] = _NO_LOOKAHEAD
        stream: Any = container.add_stream(CODECS[path.suffix], rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if path.suffix == ".avi":
            stream.bit_rate = 8 * width * height * fps
        for number in range(len(frames)):
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frames[number]), format="rgb24"))
            )
        container.mux(stream.encode())


def _format(path: Path) -> str:
    """Name of the container; the file that is written aside has another extension."""
    return path.suffix.removeprefix(".")
