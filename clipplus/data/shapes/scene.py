"""What is in a scene: things, where they are and what is behind them, drawn from (seed, split, index) alone.

Coordinates and sizes are fractions of the picture's side, so that a scene is the same at any resolution.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Split = Literal["train", "val", "test"]

SHAPES = ("circle", "square", "triangle", "star", "ring", "cross", "heart", "diamond", "crescent", "arrow")
#: RGB.
COLOURS = {
    "red": (214, 40, 40),
    "orange": (244, 140, 6),
    "yellow": (250, 218, 60),
    "green": (46, 150, 64),
    "cyan": (58, 202, 214),
    "blue": (36, 72, 196),
    "purple": (128, 50, 160),
    "pink": (246, 134, 190),
}
TEXTURES = ("plain", "striped", "dotted", "checked")
BACKGROUNDS = ("plain", "gradient", "noisy", "tiled")

#: How hard the scenes are: other things beside the main one, and how large things are (radius).
MAX_OTHERS = 3
MAIN_RADIUS = (0.23, 0.32)
OTHER_RADIUS = (0.09, 0.14)
#: A main thing of at least this radius is called large.
LARGE_RADIUS = 0.275
#: Pixel noise, as a fraction of full contrast.
PIXEL_NOISE = 0.03
_MARGIN = 0.02


@dataclass(frozen=True)
class Thing:
    """One object.

    Attributes:
        shape, colour, texture: names.
        x, y: centre, from the left and from the top.
        radius: of the circle around it.
        angle: rotation in radians, small enough that a square does not become a diamond.
    """

    shape: str
    colour: str
    texture: str
    x: float
    y: float
    radius: float
    angle: float

    @property
    def size(self) -> str:
        """'large' or 'small'."""
        return "large" if self.radius >= LARGE_RADIUS else "small"


@dataclass(frozen=True)
class Scene:
    """A picture's content.

    Attributes:
        things: the main one first; it is the largest, and drawn on top.
        background: name of its kind.
        shades: two RGB colours of the background, pale or dark, never saturated.
        noise_seed: of the pixel noise.
    """

    things: tuple[Thing, ...]
    background: str
    shades: tuple[tuple[int, ...], tuple[int, ...]]
    noise_seed: int

    @property
    def main(self) -> Thing:
        """The thing that names the scene's class."""
        return self.things[0]


def class_names() -> list[str]:
    """'red circle', ...: every colour of every shape; position = label."""
    return [f"{colour} {shape}" for shape in SHAPES for colour in COLOURS]


def class_label(thing: Thing) -> int:
    """Position of a thing's class in `class_names`."""
    return SHAPES.index(thing.shape) * len(COLOURS) + list(COLOURS).index(thing.colour)


def generator_of(*key: object) -> np.random.Generator:
    """A random generator that depends on `key` alone."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


def draw_scene(seed: int, split: Split, index: int) -> Scene:
    """The scene number `index` of a split."""
    rng = generator_of("scene", seed, split, index)
    main = _draw_thing(rng, rng.uniform(*MAIN_RADIUS))
    things = [main]
    for _ in range(rng.integers(0, MAX_OTHERS + 1)):
        other = _place_beside(rng, things)
        if other is not None:
            things.append(other)
    base = rng.uniform(0, 70) if rng.random() < 0.35 else rng.uniform(150, 245)
    shades = tuple(tuple(int(v) for v in np.clip(base + rng.uniform(-28, 28, 3), 0, 255)) for _ in range(2))
    return Scene(tuple(things), BACKGROUNDS[rng.integers(len(BACKGROUNDS))], shades, int(rng.integers(2**31)))  # type: ignore[arg-type]


def _draw_thing(rng: np.random.Generator, radius: float) -> Thing:
    low, high = radius + _MARGIN, 1 - radius - _MARGIN
    return Thing(
        shape=SHAPES[rng.integers(len(SHAPES))],
        colour=list(COLOURS)[rng.integers(len(COLOURS))],
        texture=TEXTURES[rng.integers(len(TEXTURES))],
        x=float(rng.uniform(low, high)),
        y=float(rng.uniform(low, high)),
        radius=float(radius),
        angle=float(rng.uniform(-0.2, 0.2)),
    )


def _place_beside(rng: np.random.Generator, things: Sequence[Thing], attempts: int = 12) -> Thing | None:
    """Another, small thing that touches none of `things`; None when there is no room."""
    for _ in range(attempts):
        other = _draw_thing(rng, rng.uniform(*OTHER_RADIUS))
        if all(np.hypot(other.x - t.x, other.y - t.y) > other.radius + 0.9 * t.radius for t in things):
            return other
    return None
