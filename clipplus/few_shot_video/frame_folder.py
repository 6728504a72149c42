"""A clip that lies on the disk as pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clipplus.few_shot_video.clip_folders import frame_files
from clipplus.few_shot_video.clip_reading import Frame


class FrameFolder:
    """The frames of a clip, read like those of a `VideoFile`. Their rate is not known.

    Args:
        folder: with pictures; their order is that of the numbers in their names.

    Raises:
        ValueError: no pictures.
    """

    avg_fps = 0.0

    def __init__(self, folder: str | Path) -> None:
        self.name = str(folder)
        self.files = frame_files(Path(folder))
        if not self.files:
            raise ValueError(f"{folder} holds no frames")

    def __len__(self) -> int:
        return len(self.files)

    def frames(self, numbers: Sequence[int] | NDArray[np.integer]) -> list[Frame]:
        """RGB frames (H, W, 3) uint8 in the order asked for.

        Raises:
            ValueError: a picture that cannot be read, or one of another size; names it.
        """
        known = {int(number): self._read(int(number)) for number in sorted({int(number) for number in numbers})}
        frames = [known[int(number)] for number in numbers]
        odd = next((number for number, frame in known.items() if frame.shape != frames[0].shape), None)
        if odd is not None:
            raise ValueError(f"{self.files[odd]} has another size than the frames beside it")
        return frames

    def _read(self, number: int) -> Frame:
        try:
            with Image.open(self.files[number]) as picture:
                return np.asarray(picture.convert("RGB"))
        # PIL raises SyntaxError for broken PNG files.
        except (OSError, SyntaxError) as error:
            raise ValueError(f"frame {self.files[number]} cannot be read: {error}") from error

    def close(self) -> None:
        """Nothing: every picture is closed when it has been read."""
