"""Single frames of a video file, through PyAV: counted exactly, and only the wanted ones converted."""

import io
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]

# XviD's avi may announce frames at its end that no decoder gives; the last one stands in for them.
_NEVER_GIVEN = 2
# Frames at full size that are held at a time when a whole video is read.
_STRETCH = 64


class VideoFile:
    """An open video. Frames are numbered as they are shown, from 0.

    All packets are looked at once, without decoding them: that gives the number of frames where the header has none
    (webm, mkv), the time of every frame, and the key frames to start decoding from.

    Args:
        source: path, or the content of a file.
        name: what messages call it; default the path.

    Attributes:
        avg_fps: frames per second.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no video that can be decoded, or one without frames.
    """

    def __init__(self, source: str | Path | bytes, name: str | None = None) -> None:
        self.name = name or ("a video" if isinstance(source, bytes) else str(source))
        if not isinstance(source, bytes) and not Path(source).is_file():
            raise FileNotFoundError(f"video {source} does not exist (its extension? see suffix)")
        try:
            self._container: Any = av.open(io.BytesIO(source) if isinstance(source, bytes) else str(source))
            if not self._container.streams.video:
                raise ValueError(f"{self.name} holds no video")
            self._stream = self._container.streams.video[0]
            # Several threads answer later and cost more than they gain for a handful of frames; loaders are parallel.
            self._stream.thread_type = "NONE"
            self._index()
        except av.error.FFmpegError as error:
            raise ValueError(f"{self.name} cannot be read: {error}") from error

    def _index(self) -> None:
        packets = [packet for packet in self._container.demux(self._stream) if packet.size and not packet.is_discard]
        # An avi knows the order of storage only, which with B-frames is not that of showing: what the decoder gives is
        # counted instead, from the first frame on.
        self._timed = self._container.format.name != "avi" and all(packet.pts is not None for packet in packets)
        self.times: list[int] = sorted(packet.pts for packet in packets) if self._timed else list(range(len(packets)))
        self._key_times = sorted(packet.pts for packet in packets if packet.is_keyframe) if self._timed else [0]
        if not packets:
            raise ValueError(f"{self.name} has no frames")
        self._rewind(0)
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.avg_fps = float(rate) if rate else 0.0

    def __len__(self) -> int:
        return len(self.times)

    def frames(self, numbers: Sequence[int] | NDArray[np.integer]) -> list[Frame]:
        """RGB frames (H, W, 3) uint8 in the order asked for; a number may occur several times.

        Raises:
            IndexError: a number beyond the last frame.
            ValueError: the video is damaged before the last wanted frame; names the frame.
        """
        wanted = sorted({int(number) for number in numbers})
        if wanted and not 0 <= wanted[0] <= wanted[-1] < len(self):
            raise IndexError(f"{self.name} has {len(self)} frames, asked for {wanted[0]} to {wanted[-1]}")
        try:
            found = self._decode(wanted)
        except av.error.FFmpegError as error:
            raise ValueError(f"{self.name} cannot be decoded: {error}") from error
        return [found[int(number)] for number in numbers]

    def each_frame(self) -> Iterator[Frame]:
        """All RGB frames in their order, one at a time."""
        for first in range(0, len(self), _STRETCH):
            yield from self.frames(range(first, min(first + _STRETCH, len(self))))

    def _decode(self, wanted: list[int]) -> dict[int, Frame]:
        found: dict[int, Frame] = {}
        position, decoded = -1, iter(())  # type: tuple[int, Iterator[Any]]
        for number in wanted:
            key = self._key_before(number)
            if position < 0 or key > position:
                self._rewind(key)
                position, decoded = key, self._container.decode(self._stream)
            frame = self._next_at(decoded, number)
            if frame is None:
                raise ValueError(f"{self.name} cannot be decoded: frame {number} of {len(self)} is missing or damaged")
            found[number] = frame.to_ndarray(format="rgb24")
            position = number
        return found

    def _next_at(self, decoded: Iterator[Any], number: int) -> Any | None:
        """The frame of this number; those before it are decoded and thrown away."""
        if not self._timed:
            for frame in decoded:
                self._shown += 1
                self._last = frame
                if self._shown == number:
                    return frame
            return self._last if 0 <= number - self._shown <= _NEVER_GIVEN else None
        for frame in decoded:
            if frame.pts is not None and frame.pts >= self.times[number]:
                return frame if frame.pts == self.times[number] else None
        return None

    def _key_before(self, number: int) -> int:
        """Number of the last key frame that is not after frame `number`."""
        at = bisect_right(self._key_times, self.times[number]) - 1
        return bisect_right(self.times, self._key_times[at]) - 1 if at >= 0 else 0

    def _rewind(self, number: int) -> None:
        """Go on decoding at a key frame."""
        self._shown, self._last = -1, None
        offset = self.times[number] if self._timed else 0
        self._container.seek(offset, stream=self._stream, backward=True, any_frame=False)

    def close(self) -> None:
        """Close the file."""
        self._container.close()
