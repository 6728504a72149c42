"""Lay out and paint an emoji scene: which drawings, where, how large, on what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BACKGROUNDS = ("plain", "shaded", "cloudy", "striped")
#: Longer side of a thing, as a fraction of the picture's, by the number of things.
SIDES = {2: (0.30, 0.50), 3: (0.26, 0.42), 4: (0.22, 0.36)}
#: Things are turned by at most this, in degrees, to either side.
MAX_TURN = 15.0
#: Of each thing's own pixels at least this share stays visible.
MIN_VISIBLE = 0.6
#: Centres are at least this far apart, sideways or in height, so that 'left of' can be seen; fraction of the side.
MIN_APART = 0.15
#: Alpha from which a pixel belongs to a thing.
_OPAQUE = 128
_ATTEMPTS = 30


@dataclass(frozen=True)
class Paste:
    """A drawing ready to be pasted.

    Attributes:
        label: what it shows.
        picture: RGBA, turned and resized, cropped to what is drawn.
        left, top: where its corner goes, in pixels.
    """

    label: str
    picture: Image.Image
    left: int
    top: int

    @property
    def centre(self) -> tuple[float, float]:
        """In pixels, from the left and from the top."""
        return self.left + self.picture.width / 2, self.top + self.picture.height / 2

    def cover(self, size: int) -> NDArray[np.bool_]:
        """Pixels of a picture of `size` x `size` that it would paint; (size, size)."""
        result = np.zeros((size, size), dtype=bool)
        opaque = np.asarray(self.picture.getchannel("A")) >= _OPAQUE
        result[self.top : self.top + opaque.shape[0], self.left : self.left + opaque.shape[1]] = opaque
        return result


def lay_out(rng: np.random.Generator, drawings: Mapping[str, Sequence[Image.Image]], size: int) -> list[Paste]:
    """Two to four different things, the largest first; later ones cover earlier ones.

    Args:
        rng: all chance comes from it.
        drawings: RGBA pictures by label, cropped to what is drawn; one in each style that has the thing.
        size: side of the scene in pixels.
    """
    count = int(rng.integers(min(SIDES), max(SIDES) + 1))
    labels = list(drawings)
    chosen = [labels[position] for position in rng.choice(len(labels), count, replace=False)]
    pictures = [drawings[label][rng.integers(len(drawings[label]))] for label in chosen]
    sides = sorted(rng.uniform(*SIDES[count], count), reverse=True)
    turned = [_turn(picture, rng, side * size) for picture, side in zip(pictures, sides, strict=True)]
    # Things that leave no room for the last one are laid out anew; four fit almost always at the first go.
    while True:
        placed: list[Paste] = []
        for label, picture in zip(chosen, turned, strict=True):
            paste = _find_place(rng, label, picture, placed, size)
            if paste is None:
                break
            placed.append(paste)
        else:
            return placed


def _turn(picture: Image.Image, rng: np.random.Generator, side: float) -> Image.Image:
    scale = side / max(picture.size)
    width, height = (max(round(length * scale), 1) for length in picture.size)
    resized = picture.resize((width, height), Image.Resampling.LANCZOS)
    turned = resized.rotate(rng.uniform(-MAX_TURN, MAX_TURN), Image.Resampling.BICUBIC, expand=True)
    return turned.crop(turned.getchannel("A").getbbox())


def _find_place(
    rng: np.random.Generator, label: str, picture: Image.Image, placed: Sequence[Paste], size: int
) -> Paste | None:
    for _ in range(_ATTEMPTS):
        left, top = (int(rng.integers(0, size - length + 1)) for length in picture.size)
        paste = Paste(label, picture, left, top)
        if all(_apart(paste, other, size) for other in placed) and _all_visible([*placed, paste], size):
            return paste
    return None


def _apart(first: Paste, second: Paste, size: int) -> bool:
    distances = (abs(a - b) for a, b in zip(first.centre, second.centre, strict=True))
    return max(distances) >= MIN_APART * size


def _all_visible(pastes: Sequence[Paste], size: int) -> bool:
    owners = owners_of(pastes, size)
    return all(
        np.count_nonzero(owners == number) >= MIN_VISIBLE * np.count_nonzero(paste.cover(size))
        for number, paste in enumerate(pastes, start=1)
    )


def owners_of(pastes: Sequence[Paste], size: int) -> NDArray[np.uint8]:
    """1 + position of the thing that is seen at each pixel, 0 for the background; (size, size)."""
    owners = np.zeros((size, size), dtype=np.uint8)
    for number, paste in enumerate(pastes, start=1):
        owners[paste.cover(size)] = number
    return owners


def paint(pastes: Sequence[Paste], canvas: Image.Image) -> Image.Image:
    """The things on a background, with soft edges."""
    scene = canvas.convert("RGBA")
    for paste in pastes:
        scene.alpha_composite(paste.picture, (paste.left, paste.top))
    return scene.convert("RGB")


def draw_background(rng: np.random.Generator, size: int) -> tuple[Image.Image, str]:
    """A muted background of some kind, RGB, and what it is in words: 'light and striped'."""
    kind = BACKGROUNDS[rng.integers(len(BACKGROUNDS))]
    dark = rng.random() < 0.3
    base = rng.uniform(40, 90) if dark else rng.uniform(150, 230)
    first, second = base + rng.uniform(-30, 30, (2, 3))
    weight = _weights(rng, kind, size)[..., None]
    canvas = np.clip(first + weight * (second - first), 0, 255).astype(np.uint8)
    return Image.fromarray(canvas), f"{'dark' if dark else 'light'} and {kind}"


def _weights(rng: np.random.Generator, kind: str, size: int) -> NDArray[np.float64]:
    """How much of the second colour each pixel has; (size, size)."""
    if kind == "plain":
        return np.zeros((size, size))
    if kind == "cloudy":
        coarse = Image.fromarray(rng.uniform(-0.5, 1.5, (8, 8)).astype(np.float32))
        return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), dtype=np.float64)
    angle = rng.uniform(0, np.pi)
    line = (np.arange(size) + 0.5) / size - 0.5
    along = line * np.cos(angle) + line[:, None] * np.sin(angle)
    if kind == "shaded":
        return along / np.sqrt(2) + 0.5
    return (np.floor(along * rng.uniform(6, 16)) % 2).astype(np.float64)
