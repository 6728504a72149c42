"""Videos of one thing that moves, drawn by the program: what happens is told by the order of the frames.

A motion is a path through three of five places. All ways through the same three places show much the same frames in
another order, and each path and its reverse exactly the same: whoever averages frames cannot tell them apart.
Coordinates are fractions of the picture's side. Shape letters of this file: H height and width, N frames of a video.
"""

import itertools
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from clipplus.data.shapes.render import coverage
from clipplus.data.shapes.scene import COLOURS, SHAPES, TEXTURES, Split, Thing, generator_of

#: Where paths begin, turn and end: x from the left, y from the top.
PLACES = {
    "top left": (0.26, 0.26),
    "top right": (0.74, 0.26),
    "bottom left": (0.26, 0.74),
    "bottom right": (0.74, 0.74),
    "centre": (0.5, 0.5),
}
Motion = tuple[str, str, str]

_RADIUS = (0.13, 0.2)
# How far from its place a path may begin, turn or end, and how unevenly it is travelled.
_ASTRAY = 0.04
_UNEVEN = 0.35
_PIXEL_NOISE = 6.0
_SHADE, _TINT = (20, 70), 10
#: Motions of each split: a path and its reverse are neighbours in `all_motions` and stay together.
_FIRST_AND_LAST = {"train": (0, 36), "val": (36, 46), "test": (46, 60)}


def all_motions() -> list[Motion]:
    """60 motions, each followed by its reverse, in an order that mixes the places."""
    forward = [path for path in itertools.permutations(PLACES, 3) if path[0] < path[2]]
    rng = generator_of("motions")
    mixed = [forward[i] for i in rng.permutation(len(forward))]
    return [path for first in mixed for path in (first, (first[2], first[1], first[0]))]


def motions_of(split: Split) -> list[Motion]:
    """The motions of a split; no split knows another's. Position = class id."""
    first, last = _FIRST_AND_LAST[split]
    return all_motions()[first:last]


def motion_name(motion: Motion) -> str:
    """E.g. 'moving from top left over centre to top right'."""
    return f"moving from {motion[0]} over {motion[1]} to {motion[2]}"


class MovingShape:
    """A video as a sequence of RGB frames (H, H, 3) uint8, each drawn when it is asked for.

    Args:
        motion: the path; the video's class.
        key: all else, looks and unevenness, follows from it.
        num_frames: length.
        size: side of the pictures in pixels.
    """

    def __init__(self, motion: Motion, key: tuple[object, ...], num_frames: int, size: int) -> None:
        rng = generator_of("moving shape", *key)
        self._thing = Thing(
            shape=SHAPES[rng.integers(len(SHAPES))],
            colour=list(COLOURS)[rng.integers(len(COLOURS))],
            texture=TEXTURES[0],
            x=0.5,
            y=0.5,
            radius=float(rng.uniform(*_RADIUS)),
            angle=float(rng.uniform(-0.4, 0.4)),
        )
        places = np.array([PLACES[name] for name in motion])
        self._path = places + rng.uniform(-_ASTRAY, _ASTRAY, places.shape)
        self._times = _uneven_times(rng, num_frames)
        # Dark and hardly coloured, so that a small tower learns where the thing is within minutes.
        self._shade = (rng.uniform(*_SHADE) + rng.uniform(-_TINT, _TINT, 3)).astype(np.float32)
        self._noise_seed = int(rng.integers(2**31))
        self.size = size

    def __len__(self) -> int:
        return len(self._times)

    def __getitem__(self, frame: int) -> NDArray[np.uint8]:
        """Frame number `frame`."""
        if not 0 <= frame < len(self):
            raise IndexError(f"the video has {len(self)} frames, asked for {frame}")
        x, y = (np.interp(self._times[frame], [0, 0.5, 1], self._path[:, axis]) for axis in (0, 1))
        thing = replace(self._thing, x=float(x), y=float(y))
        cover = cv2.GaussianBlur(coverage(thing, self.size), (3, 3), 0)[..., None] * np.float32(1 / 255)
        colour = np.array(COLOURS[thing.colour], dtype=np.float32)
        canvas = self._shade + (colour - self._shade) * cover
        rng = np.random.Generator(np.random.PCG64([self._noise_seed, frame]))
        canvas += rng.standard_normal(canvas.shape, dtype=np.float32) * np.float32(_PIXEL_NOISE)
        return np.clip(canvas, 0, 255).astype(np.uint8)


def _uneven_times(rng: np.random.Generator, num_frames: int) -> NDArray[np.float64]:
    """How much of the path is behind the thing at every frame, 0..1, rising; its speed changes slowly."""
    knots = rng.uniform(1 - _UNEVEN, 1 + _UNEVEN, 4)
    speed = np.interp(np.linspace(0, 1, num_frames), np.linspace(0, 1, 4), knots)
    travelled = np.cumsum(speed)
    return (travelled - travelled[0]) / max(travelled[-1] - travelled[0], 1e-9)
