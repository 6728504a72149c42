"""From a scene to pixels and a segmentation mask, at any size.

Shape letters of this file: H height and width of the picture, P points of an outline.
"""

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from clipplus.data.shapes.scene import COLOURS, PIXEL_NOISE, SHAPES, Scene, Thing

# Sub-pixel positions for OpenCV: coordinates are multiplied by 2 ** _SHIFT.
_SHIFT = 6


def _on_circle(angles: NDArray[np.float64], radii: float | NDArray[np.float64] = 1.0) -> NDArray[np.float64]:
    """Points at these angles, 0 being straight up and angles turning clockwise; (P, 2)."""
    return np.stack([np.sin(angles) * radii, -np.cos(angles) * radii], axis=1)


@functools.cache
def outline(shape: str) -> tuple[NDArray[np.float64], ...]:
    """Closed outlines of a shape within the unit circle, each (P, 2) as (x, y), y downwards; a second one is a hole."""
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    if shape == "circle":
        return (_on_circle(turn),)
    if shape == "square":
        return (_on_circle(np.pi / 4 + np.arange(4) * np.pi / 2),)
    if shape == "triangle":
        return (_on_circle(np.arange(3) * 2 * np.pi / 3) + np.array([0, 0.15]),)
    if shape == "star":
        return (_on_circle(np.arange(10) * np.pi / 5, np.where(np.arange(10) % 2, 0.42, 1.0)),)
    if shape == "ring":
        return (_on_circle(turn), _on_circle(turn, 0.55))
    if shape == "cross":
        a, b = 0.95, 0.3
        arms = [
            (-b, -a),
            (b, -a),
            (b, -b),
            (a, -b),
            (a, b),
            (b, b),
            (b, a),
            (-b, a),
            (-b, b),
            (-a, b),
            (-a, -b),
            (-b, -b),
        ]
        return (np.array(arms),)
    if shape == "heart":
        x, y = (
            16 * np.sin(turn) ** 3,
            13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn),
        )
        return (np.stack([x, -y - 2.5], axis=1) / 17,)
    if shape == "diamond":
        return (np.array([(0, -1.0), (0.6, 0), (0, 1.0), (-0.6, 0)]),)
    if shape == "crescent":
        outer = _on_circle(np.linspace(0.5, 2 * np.pi - 0.5, 32))
        inner = _on_circle(np.linspace(2 * np.pi - 0.9, 0.9, 28), 0.78) + np.array([0, -0.38])
        return (np.concatenate([outer, inner]),)
    if shape == "arrow":
        return (np.array([(0, -1), (0.8, 0), (0.3, 0), (0.3, 0.95), (-0.3, 0.95), (-0.3, 0), (-0.8, 0)], dtype=float),)
    raise ValueError(f"unknown shape '{shape}'; known: {', '.join(SHAPES)}")


def window(thing: Thing, size: int) -> tuple[slice, slice]:
    """Rows and columns that a thing can touch."""
    reach = 1.2 * thing.radius
    low = [max(int((centre - reach) * size) - 1, 0) for centre in (thing.y, thing.x)]
    high = [min(int((centre + reach) * size) + 2, size) for centre in (thing.y, thing.x)]
    return slice(low[0], high[0]), slice(low[1], high[1])


def coverage(thing: Thing, size: int) -> NDArray[np.uint8]:
    """How much of each pixel the thing covers, 0..255; (H, H)."""
    cos, sin = np.cos(thing.angle), np.sin(thing.angle)
    rotation = np.array([[cos, sin], [-sin, cos]])
    scale = 2**_SHIFT * size
    polygons = [
        np.round((part @ rotation * thing.radius + [thing.x, thing.y]) * scale - 2 ** (_SHIFT - 1)).astype(np.int32)
        for part in outline(thing.shape)
    ]
    mask = np.zeros((size, size), dtype=np.uint8)
    cv2.fillPoly(mask, polygons, 255, lineType=cv2.LINE_AA, shift=_SHIFT)
    return mask


@functools.cache
def _grid(size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Pixel centres as fractions of the side."""
    line = (np.arange(size, dtype=np.float32) + 0.5) / size
    return np.broadcast_to(line, (size, size)), np.broadcast_to(line[:, None], (size, size))


def texture_shade(thing: Thing, size: int) -> NDArray[np.float32] | None:
    """Factor on a thing's colour at every pixel of its window; None for plain things."""
    x, y = (axis[window(thing, size)] for axis in _grid(size))
    u, v = (x - thing.x) / thing.radius, (y - thing.y) / thing.radius
    if thing.texture == "plain":
        return None
    if thing.texture == "striped":
        dark = np.sin(9.5 * u) > 0.2
    elif thing.texture == "dotted":
        dark = np.cos(8.5 * u) + np.cos(8.5 * v) > 0.9
    else:
        dark = (np.sin(6.8 * u) > 0) == (np.sin(6.8 * v) > 0)
    return np.where(dark, np.float32(0.5), np.float32(1.0))


def _background(scene: Scene, size: int) -> NDArray[np.float32]:
    """(H, H, 3) RGB."""
    x, y = _grid(size)
    first, second = (np.array(shade, dtype=np.float32) for shade in scene.shades)
    if scene.background == "gradient":
        return first + y[..., None] * (second - first)
    if scene.background == "tiled":
        odd = (np.floor(x * 6) + np.floor(y * 6)) % 2
        return first + odd[..., None] * (second - first)
    canvas = np.broadcast_to(first, (size, size, 3)).copy()
    if scene.background == "noisy":
        rng = np.random.Generator(np.random.PCG64(scene.noise_seed + 1))
        coarse = rng.uniform(-34, 34, (8, 8)).astype(np.float32)
        canvas += cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)[..., None]
    return canvas


def render(scene: Scene, size: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pixels and mask of a scene.

    Args:
        scene: what to draw.
        size: side in pixels.

    Returns:
        (size, size, 3) uint8 **BGR**, as mmcv's transforms expect; (size, size) uint8, 0 for background and
        1 + position in `SHAPES` for a thing.
    """
    canvas = _background(scene, size)
    mask = np.zeros((size, size), dtype=np.uint8)
    for thing in reversed(scene.things):
        part = window(thing, size)
        cover = coverage(thing, size)[part]
        colour = np.array(COLOURS[thing.colour], dtype=np.float32)
        shade = texture_shade(thing, size)
        paint = colour if shade is None else colour * shade[..., None]
        canvas[part] += (paint - canvas[part]) * (cover[..., None] * np.float32(1 / 255))
        mask[part][cover > 127] = 1 + SHAPES.index(thing.shape)
    rng = np.random.Generator(np.random.PCG64(scene.noise_seed))
    canvas += rng.standard_normal(canvas.shape, dtype=np.float32) * np.float32(255 * PIXEL_NOISE)
    return np.clip(canvas[..., ::-1], 0, 255).astype(np.uint8), mask
