"""A sheet of pictures, each with the five class names that a model found nearest."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image, ImageDraw

from clipplus.visualization.drawing import (
    GAP,
    HEADER,
    INK,
    MARGIN,
    MUTED,
    NEUTRAL_PALE,
    RIGHT,
    RIGHT_PALE,
    WRONG,
    WRONG_PALE,
    fitted,
    font,
    paste_tile,
    sheet,
)
from clipplus.visualization.thumbnails import Thumbnail

_COLUMNS = 3
_SHOWN = 5
_TEXT_WIDTH = 216
_SCORE_WIDTH = 40
_NAME_HEIGHT = 21
_BAR_PITCH = 17
_BAR_HEIGHT = 15
# The lowest score of the sheet still has a bar that one can see.
_SHORTEST_BAR = 0.04


def _cell_size(tile: int) -> tuple[int, int]:
    """Width and height of one picture with its bars."""
    return tile + GAP + _TEXT_WIDTH, max(tile, _NAME_HEIGHT + _SHOWN * _BAR_PITCH)


def tile_corner(index: int, tile: int) -> tuple[int, int]:
    """Left and upper edge of the picture number `index` on the sheet, in pixels."""
    width, height = _cell_size(tile)
    row, column = divmod(index, _COLUMNS)
    return MARGIN + column * (width + 2 * GAP), MARGIN + HEADER + row * (height + 2 * GAP)


def draw_top5(
    title: str, predictions: Sequence[Mapping[str, Any]], thumbnails: Mapping[int, Thumbnail], tile: int = 96
) -> Image.Image:
    """Pictures with their true names and best guesses.

    Args:
        title: written above.
        predictions: of a `ZeroShotAccuracy`; all are drawn, in this order. At least one.
        thumbnails: RGB pixels by sample id; a blank square stands for a missing one.
        tile: side of a picture in pixels.
    """
    width, height = _cell_size(tile)
    columns = min(_COLUMNS, len(predictions))
    rows = -(-len(predictions) // _COLUMNS)
    # A model that diverged may give scores that are no numbers; it should be seen, not end the run.
    scores = [score for record in predictions for _, score in record["top"] if math.isfinite(score)] or [0.0]
    low, high = min(scores), max(scores)
    image, draw = sheet(
        2 * MARGIN + columns * (width + 2 * GAP) - 2 * GAP,
        2 * MARGIN + HEADER + rows * (height + 2 * GAP) - 2 * GAP,
        title,
        f"true name, five best guesses; bars from {low:.2f} to {high:.2f}; green: the true name, orange: a wrong first",
    )
    for index, record in enumerate(predictions):
        _draw_cell(image, draw, tile_corner(index, tile), tile, record, thumbnails, (low, high))
    return image


def _draw_cell(
    image: Image.Image,
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    tile: int,
    record: Mapping[str, Any],
    thumbnails: Mapping[int, Thumbnail],
    bounds: tuple[float, float],
) -> None:
    """One picture, framed by right or wrong, and its bars."""
    name, sample_id = record["label_name"], record["sample_id"]
    mark, verdict = ("✓", RIGHT) if record["top"][0][0] == name else ("✗", WRONG)
    paste_tile(image, corner, tile, sample_id, thumbnails.get(sample_id), verdict)
    x, y = corner[0] + tile + GAP, corner[1]
    face = font(14, bold=True)
    draw.text((x, y - 2), fitted(f"{mark} {name}", face, _TEXT_WIDTH), verdict, face)
    for place, (guess, score) in enumerate(record["top"][:_SHOWN]):
        colour = WRONG_PALE if place == 0 else NEUTRAL_PALE
        if guess == name:
            colour = RIGHT_PALE
        _draw_bar(draw, (x, y + _NAME_HEIGHT + place * _BAR_PITCH), guess, score, bounds, colour)


def _draw_bar(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    name: str,
    score: float,
    bounds: tuple[float, float],
    colour: tuple[int, int, int],
) -> None:
    """A bar as long as the score is high, with the name on it; the score in a column of its own."""
    (x, y), (low, high) = corner, bounds
    share = (score - low) / (high - low) if high > low else 1.0
    share = min(1.0, max(0.0, share)) if math.isfinite(score) else 0.0
    longest = _TEXT_WIDTH - _SCORE_WIDTH
    length = longest * (_SHORTEST_BAR + (1 - _SHORTEST_BAR) * share)
    draw.rectangle((x, y, x + length - 1, y + _BAR_HEIGHT - 1), fill=colour)
    middle = y + _BAR_HEIGHT / 2
    draw.text((x + 4, middle), fitted(name, font(11), longest - 4), INK, font(11), anchor="lm")
    draw.text((x + _TEXT_WIDTH, middle), f"{score:.2f}", MUTED, font(11), anchor="rm")
