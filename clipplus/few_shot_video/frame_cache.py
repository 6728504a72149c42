"""Videos decoded and resized once: one file per video, read frame by frame afterwards."""

import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from clipplus.checkpoints.atomic import written_aside
from clipplus.few_shot_video.clip_reading import Frame, VideoFile


class FrameCache:
    """A folder with all frames of every video that was opened, at one size.

    A file belongs to a video of this path, size and time of change; it is written aside and renamed, so that workers
    and ranks may share the folder and a kill leaves nothing half-written.

    Args:
        folder: where the files lie.
        size: (width, height) that frames are resized to, bilinear and without regard to their aspect ratio, as the
            recipes do.
        quality: of JPEG; 0 stores raw pixels, which changes nothing and takes some ten times the room.

    Raises:
        ValueError: a quality outside of 0..100.
    """

    def __init__(self, folder: str | Path, size: Sequence[int] = (256, 256), quality: int = 95) -> None:
        if not 0 <= quality <= 100:
            raise ValueError(f"frame_cache.quality must be 0 (raw pixels) to 100, got {quality}")
        self.folder = Path(folder).expanduser()
        self.size = (int(size[0]), int(size[1]))
        self.quality = quality

    def __repr__(self) -> str:
        return f"FrameCache({str(self.folder)!r}, size={self.size}, quality={self.quality})"

    def path(self, video: str | Path) -> Path:
        """The file of a video, whether it exists or not."""
        place = Path(video)
        state = place.stat() if place.is_file() else None
        known = (str(place.resolve()) if state else str(video), state and (state.st_size, state.st_mtime_ns))
        name = hashlib.sha256(repr((known, self.size, self.quality)).encode()).hexdigest()[:32]
        return self.folder / name[:2] / f"{name}.safetensors"

    def open(self, video: str | Path, decode: Callable[[], VideoFile]) -> "CachedVideo":
        """The cached frames of `video`; they are decoded from what `decode` opens if there are none yet."""
        path = self.path(video)
        found = CachedVideo.read(path)
        if found is None:
            self._write(path, decode())
            found = CachedVideo.read(path)
        if found is None:
            raise OSError(f"frame cache {path} was written, but cannot be read")
        return found

    def _write(self, path: Path, video: VideoFile) -> None:
        # One at a time: a long video's frames at full size would not fit into memory.
        stored = []
        for frame in video.each_frame():
            filmed = frame.shape
            stored.append(self._encode(frame))
        rate = video.avg_fps
        video.close()
        ends = np.cumsum([len(part) for part in stored])
        content = {"ends": torch.from_numpy(ends), "bytes": torch.from_numpy(np.concatenate(stored))}
        width, height = self.size
        metadata = {"fps": repr(rate), "height": str(height), "width": str(width), "raw": str(int(self.quality == 0))}
        metadata |= {"filmed_height": str(filmed[0]), "filmed_width": str(filmed[1])}
        with written_aside(path) as partial:
            save_file(content, partial, metadata=metadata)

    def _encode(self, frame: Frame) -> NDArray[np.uint8]:
        resized = cv2.resize(frame, self.size, interpolation=cv2.INTER_LINEAR)
        if self.quality == 0:
            return resized.reshape(-1)
        buffer = io.BytesIO()
        # Full colour resolution: halving it would cost more than the quality does.
        Image.fromarray(resized).save(buffer, format="JPEG", quality=self.quality, subsampling=0)
        return np.frombuffer(buffer.getvalue(), dtype=np.uint8)


class CachedVideo:
    """The frames of a cached video, with the interface of `VideoFile`; only wanted ones are read from the disk."""

    def __init__(self, file: Any, metadata: dict[str, str]) -> None:
        self._bytes = file.get_slice("bytes")
        self._ends = file.get_tensor("ends").tolist()
        self._shape = (int(metadata["height"]), int(metadata["width"]), 3)
        self._raw = metadata["raw"] == "1"
        self.avg_fps = float(metadata["fps"])
        # Files of earlier versions do not say it.
        filmed = (int(metadata.get("filmed_width", 0)), int(metadata.get("filmed_height", 0)))
        #: By how much (width, height) frames were scaled.
        self.scale = (self._shape[1] / filmed[0], self._shape[0] / filmed[1]) if all(filmed) else (1.0, 1.0)

    @classmethod
    def read(cls, path: Path) -> "CachedVideo | None":
        """The file at `path`; None if there is none, or a damaged one."""
        if not path.is_file():
            return None
        try:
            file = safe_open(path, framework="pt")
            return cls(file, file.metadata())
        except (SafetensorError, KeyError, TypeError):
            return None

    def __len__(self) -> int:
        return len(self._ends)

    def frames(self, numbers: Sequence[int] | NDArray[np.integer]) -> list[Frame]:
        """RGB frames (H, W, 3) uint8 in the order asked for."""
        return [self._frame(int(number)) for number in numbers]

    def _frame(self, number: int) -> Frame:
        if not 0 <= number < len(self):
            raise IndexError(f"the video has {len(self)} frames, asked for {number}")
        first = self._ends[number - 1] if number else 0
        stored = self._bytes[first : self._ends[number]].numpy()
        if self._raw:
            return stored.reshape(self._shape)
        return np.array(Image.open(io.BytesIO(stored.tobytes())))

    def close(self) -> None:
        """Nothing: the file is mapped into memory and goes with this object."""
