"""A sheet of retrieved pictures and captions: what a model finds for a text, and what for a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw

from clipplus.visualization.drawing import (
    GAP,
    HEADER,
    INK,
    MARGIN,
    MUTED,
    RIGHT,
    fitted,
    font,
    paste_tile,
    sheet,
    wrapped,
)
from clipplus.visualization.thumbnails import Thumbnail, first_by_lot

_SHOWN = 5
_QUERIES = 5
_CAPTION_WIDTH = 250
_CAPTION_LINES = 5
_LINE_PITCH = 18
_SECTION = 32
_SCORE_HEIGHT = 18
_SCORE_WIDTH = 36


@dataclass(frozen=True)
class TextQuery:
    """A caption, the picture it belongs to, and the pictures found: (sample id, score), best first."""

    caption: str
    own: int
    found: list[tuple[int, float]]


@dataclass(frozen=True)
class ImageQuery:
    """A picture and the captions found for it: (caption, whether it is its own, score), best first."""

    own: int
    found: list[tuple[str, bool, float]]


@dataclass(frozen=True)
class Gallery:
    """The queries of one sheet."""

    texts: list[TextQuery]
    images: list[ImageQuery]

    @property
    def pictures(self) -> set[int]:
        """Sample ids of all pictures on the sheet."""
        own = {query.own for query in self.texts} | {query.own for query in self.images}
        return own.union(sample_id for query in self.texts for sample_id, _ in query.found[:_SHOWN])


def choose_queries(predictions: Sequence[Mapping[str, Any]], count: int = _QUERIES) -> Gallery:
    """The first caption and the picture of `count` samples, chosen by lot, as queries.

    Args:
        predictions: of a `CrossModalRecall`, the whole set's.
        count: samples.
    """
    by_id = {record["sample_id"]: record for record in predictions}

    def caption(sample_id: int, index: int) -> str:
        captions = by_id[sample_id]["captions"]
        return captions[index] if captions else f"caption {index} of #{sample_id}"

    chosen = first_by_lot(by_id, count)
    return Gallery(
        texts=[
            TextQuery(caption(own, 0), own, [(found, score) for found, score in by_id[own]["text_to_image"][0]])
            for own in chosen
        ],
        images=[
            ImageQuery(
                own,
                [(caption(found, index), found == own, score) for found, index, score in by_id[own]["image_to_text"]],
            )
            for own in chosen
        ],
    )


def text_row_corner(row: int, place: int, tile: int) -> tuple[int, int]:
    """Left and upper edge of a picture of the upper section, in pixels.

    Args:
        row: number of the text query.
        place: 0 is the query's own picture, 1 to 5 are the found ones.
        tile: side of a picture.
    """
    # The own picture stands apart from the found ones.
    x = MARGIN + _CAPTION_WIDTH + GAP + place * (tile + GAP) + (GAP if place else 0)
    return x, MARGIN + HEADER + _SECTION + row * _text_row_height(tile)


def _text_row_height(tile: int) -> int:
    return tile + _SCORE_HEIGHT + GAP


def _image_row_height(tile: int) -> int:
    return max(tile, _SHOWN * _LINE_PITCH) + GAP


def draw_gallery(title: str, gallery: Gallery, thumbnails: Mapping[int, Thumbnail], tile: int = 96) -> Image.Image:
    """Text queries with the pictures found, then picture queries with the captions found.

    Args:
        title: written above.
        gallery: queries with their results.
        thumbnails: RGB pixels by sample id; a blank square stands for a missing one.
        tile: side of a picture in pixels.
    """
    width = text_row_corner(0, _SHOWN + 1, tile)[0] - GAP + MARGIN
    images_top = text_row_corner(len(gallery.texts), 0, tile)[1] + GAP
    height = images_top + _SECTION + len(gallery.images) * _image_row_height(tile) - GAP + MARGIN
    legend = "numbers are similarities; green: the picture and the captions that belong together"
    image, draw = sheet(width, height, title, legend)
    _draw_heading(draw, MARGIN + HEADER, "text → image: the caption, its own picture, and the five nearest pictures")
    for row, query in enumerate(gallery.texts):
        _draw_text_query(image, draw, row, query, thumbnails, tile)
    _draw_heading(draw, images_top, "image → text: the picture and the five nearest captions")
    for row, found in enumerate(gallery.images):
        corner = (MARGIN, images_top + _SECTION + row * _image_row_height(tile))
        _draw_image_query(image, draw, corner, found, thumbnails, tile)
    return image


def _draw_heading(draw: ImageDraw.ImageDraw, y: int, text: str) -> None:
    draw.text((MARGIN, y), text, INK, font(13, bold=True))


def _draw_text_query(
    image: Image.Image,
    draw: ImageDraw.ImageDraw,
    row: int,
    query: TextQuery,
    thumbnails: Mapping[int, Thumbnail],
    tile: int,
) -> None:
    """A row: caption, own picture, found pictures with scores."""
    y = text_row_corner(row, 0, tile)[1]
    for line, text in enumerate(wrapped(query.caption, font(13), _CAPTION_WIDTH - GAP, _CAPTION_LINES)):
        draw.text((MARGIN, y + line * _LINE_PITCH), text, INK, font(13))
    for place, sample_id in enumerate([query.own] + [sample_id for sample_id, _ in query.found[:_SHOWN]]):
        corner = text_row_corner(row, place, tile)
        frame = RIGHT if place and sample_id == query.own else None
        paste_tile(image, corner, tile, sample_id, thumbnails.get(sample_id), frame)
        label = f"{query.found[place - 1][1]:.2f}" if place else "own"
        draw.text((corner[0] + tile / 2, corner[1] + tile + 5), label, MUTED, font(11), anchor="ma")


def _draw_image_query(
    image: Image.Image,
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    query: ImageQuery,
    thumbnails: Mapping[int, Thumbnail],
    tile: int,
) -> None:
    """A picture with a line per found caption."""
    x, y = corner
    paste_tile(image, corner, tile, query.own, thumbnails.get(query.own))
    left = x + tile + GAP
    room = image.width - MARGIN - left - _SCORE_WIDTH
    for line, (caption, own, score) in enumerate(query.found[:_SHOWN]):
        top = y + line * _LINE_PITCH
        draw.text((left, top), f"{score:.2f}", MUTED, font(11))
        text = fitted(f"✓ {caption}" if own else caption, font(12), room)
        draw.text((left + _SCORE_WIDTH, top - 1), text, RIGHT if own else INK, font(12))
