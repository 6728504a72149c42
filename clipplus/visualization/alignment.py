"""Two clips against each other: their frames, how far apart they are, and which of them a matcher pairs.

All lengths are pixels. Shape letters of this file: T frames of the query, U frames of the support, H and W of a frame.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from clipplus.visualization.drawing import GAP, HEADER, INK, MARGIN, MUTED, PAPER, Colour, fitted, font, sheet

# Of Okabe and Ito's palette, like the others; told apart from each other and from the blue of the cells.
THERE: Colour = (230, 159, 0)
BACK: Colour = (204, 80, 150)
_NEAR: Colour = (20, 66, 114)
_LABEL = 20
_NUMBER = 16
_MOST_STRIPS = 3
_WIDEST = 2.0
# Drawn larger and scaled down, so that circles are round.
_FINE = 3
# Shares below this are not drawn: they would be specks.
_LEAST = 0.02


@dataclass(frozen=True)
class Side:
    """The clip, or the clips, along one side of the picture.

    Attributes:
        label: what they are called.
        strips: one (N, H, W, 3) uint8 RGB per clip, all with equally many frames; the first three are drawn.
        aspect: width by height of the frames as they were filmed, one per clip: pixels of a model's input are squashed.
    """

    label: str
    strips: Sequence[UInt8[np.ndarray, "N H W 3"]]
    aspect: Sequence[float]

    @property
    def shown(self) -> list[tuple[UInt8[np.ndarray, "N H W 3"], float]]:
        """Strips that are drawn, with their aspect, neither wider nor higher than twice the other side."""
        limited = [min(_WIDEST, max(1 / _WIDEST, value)) for value in self.aspect]
        return list(zip(self.strips, limited, strict=True))[:_MOST_STRIPS]


@dataclass(frozen=True)
class Layout:
    """Where things are.

    Attributes:
        cell: side of a cell.
        left, top: corner of the matrix.
    """

    cell: int
    left: int
    top: int

    @classmethod
    def of(cls, query: Side, support: Side, cell: int) -> "Layout":
        """Room for the frames: those of the query stand left of the matrix, those of the support above it."""
        widths = [math.ceil(cell * aspect) + 2 for _, aspect in query.shown]
        heights = [math.ceil(cell / aspect) + 2 for _, aspect in support.shown]
        return cls(cell, MARGIN + _LABEL + sum(widths) + _NUMBER, MARGIN + HEADER + _LABEL + sum(heights) + _NUMBER)

    def corner(self, row: int, column: int) -> tuple[int, int]:
        """Left and upper edge of a cell."""
        return self.left + column * self.cell, self.top + row * self.cell

    def centre(self, row: int, column: int) -> tuple[float, float]:
        """Middle of a cell."""
        x, y = self.corner(row, column)
        return x + self.cell / 2, y + self.cell / 2


def draw_alignment(
    title: str,
    query: Side,
    support: Side,
    dist: Float[np.ndarray, "T U"],
    there: Float[np.ndarray, "T U"],
    back: Float[np.ndarray, "T U"] | None = None,
    ordered: bool = True,
    cell: int = 64,
) -> Image.Image:
    """The picture: time goes down for the query, to the right for the support.

    Cells are darker the nearer their frames are. A disc says how much a pair counts when the query's frames are led
    through the support's, a ring how much in the other direction; areas of discs are proportional to it.

    Args:
        title: written above.
        query: one clip.
        support: a clip, or several whose average is compared.
        dist: frame distances.
        there: how much each of them counts, 0 to about 1.
        back: in the other direction; None where there is none.
        ordered: whether pairs follow each other in time: neighbours are then joined by lines.
        cell: side of a cell.

    Raises:
        ValueError: matrices of other shapes than the clips have frames.
    """
    _require_fitting(query, support, dist, there, back)
    layout = Layout.of(query, support, cell)
    rows, columns = dist.shape
    image, draw = sheet(
        max(layout.left + columns * cell + MARGIN, 560),
        layout.top + rows * cell + MARGIN + 2 * GAP,
        title,
        f"dark: near ({dist.min():.2f}), white: far ({dist.max():.2f}); query down, {support.label} across",
    )
    _draw_key(draw, layout, rows, back is not None)
    _draw_cells(draw, layout, dist)
    _paste_query(image, layout, query)
    _paste_support(image, layout, support)
    _draw_paths(image, layout, there, back, ordered)
    _write_distances(draw, layout, dist)
    return image


def _require_fitting(query: Side, support: Side, dist: np.ndarray, *weights: np.ndarray | None) -> None:
    expected = (len(query.strips[0]), len(support.strips[0]))
    shapes = [matrix.shape for matrix in (dist, *weights) if matrix is not None]
    if any(shape != expected for shape in shapes):
        raise ValueError(f"the clips have {expected[0]} and {expected[1]} frames, but the matrices are {shapes}")


def shade(dist: Float[np.ndarray, "T U"]) -> UInt8[np.ndarray, "T U 3"]:
    """Colours of the cells, from dark blue (nearest) to white (farthest)."""
    low, high = float(dist.min()), float(dist.max())
    share = (dist - low) / (high - low) if high > low else np.zeros_like(dist)
    return np.round(np.array(_NEAR) + share[..., None] * (np.array(PAPER) - np.array(_NEAR))).astype(np.uint8)


def _draw_cells(draw: ImageDraw.ImageDraw, layout: Layout, dist: np.ndarray) -> None:
    colours = shade(dist)
    for row, column in np.ndindex(*dist.shape):
        x, y = layout.corner(row, column)
        red, green, blue = (int(value) for value in colours[row, column])
        draw.rectangle((x, y, x + layout.cell - 2, y + layout.cell - 2), fill=(red, green, blue))
    height, width = dist.shape[0] * layout.cell, dist.shape[1] * layout.cell
    draw.rectangle((layout.left - 1, layout.top - 1, layout.left + width - 1, layout.top + height - 1), outline=MUTED)


def _write_distances(draw: ImageDraw.ImageDraw, layout: Layout, dist: np.ndarray) -> None:
    """In a corner of each cell, where the discs leave room."""
    colours, face = shade(dist), font(10)
    for row, column in np.ndindex(*dist.shape):
        x, y = layout.corner(row, column)
        ink = INK if colours[row, column].mean() > 140 else PAPER
        draw.text((x + layout.cell - 5, y + layout.cell - 4), f"{dist[row, column]:.2f}", ink, face, anchor="rs")


def _paste_query(image: Image.Image, layout: Layout, query: Side) -> None:
    """Frames from the top to the bottom, a clip a column, their numbers beside the matrix."""
    draw, x = ImageDraw.Draw(image), MARGIN + _LABEL
    _write_upright(image, (MARGIN, layout.top), query.label, layout.cell * len(query.strips[0]))
    for strip, aspect in query.shown:
        width = math.ceil(layout.cell * aspect)
        for number, frame in enumerate(strip):
            _paste(image, frame, (x, layout.corner(number, 0)[1]), (width, layout.cell - 1))
        x += width + 2
    for number in range(len(query.strips[0])):
        y = layout.centre(number, 0)[1]
        draw.text((layout.left - _NUMBER / 2, y), str(number + 1), MUTED, font(11), anchor="mm")


def _paste_support(image: Image.Image, layout: Layout, support: Side) -> None:
    """Frames from the left to the right, a clip a row, their numbers above the matrix."""
    draw, y = ImageDraw.Draw(image), MARGIN + HEADER + _LABEL
    hidden = len(support.strips) - len(support.shown)
    label = support.label + (f" (and {hidden} more)" if hidden else "")
    room = layout.cell * len(support.strips[0])
    draw.text((layout.left, y - _LABEL), fitted(label, font(12), room), INK, font(12))
    for strip, aspect in support.shown:
        height = math.ceil(layout.cell / aspect)
        for number, frame in enumerate(strip):
            _paste(image, frame, (layout.corner(0, number)[0], y), (layout.cell - 1, height))
        y += height + 2
    for number in range(len(support.strips[0])):
        x = layout.centre(0, number)[0]
        draw.text((x, layout.top - _NUMBER / 2), str(number + 1), MUTED, font(11), anchor="mm")


def _paste(image: Image.Image, frame: np.ndarray, corner: tuple[int, int], size: tuple[int, int]) -> None:
    image.paste(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS), corner)


def _write_upright(image: Image.Image, corner: tuple[int, int], text: str, room: int) -> None:
    """A line of text that reads from the bottom to the top."""
    line = Image.new("RGB", (room, _LABEL - 2), PAPER)
    ImageDraw.Draw(line).text((room, 0), fitted(text, font(12), room), INK, font(12), anchor="ra")
    image.paste(line.rotate(90, expand=True), corner)


def _draw_paths(image: Image.Image, layout: Layout, there: np.ndarray, back: np.ndarray | None, ordered: bool) -> None:
    """Discs, rings and lines, drawn at a multiple of the size."""
    rows, columns = there.shape
    size = (columns * layout.cell * _FINE, rows * layout.cell * _FINE)
    fine = Image.new("RGBA", size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(fine)
    place = Layout(layout.cell * _FINE, 0, 0)
    if back is not None:
        if ordered:
            # The other direction's path goes down a column where this one's goes along a row.
            _draw_lines(draw, place, back, ((1, 0), (1, 1)), BACK)
        for row, column, share in _shares(back):
            _ring(draw, place.centre(row, column), place.cell * 0.40 * math.sqrt(share), place.cell // 20)
    if ordered:
        _draw_lines(draw, place, there, ((0, 1), (1, 1)), THERE)
    for row, column, share in _shares(there):
        _disc(draw, place.centre(row, column), place.cell * 0.26 * math.sqrt(share))
    small = fine.resize((columns * layout.cell, rows * layout.cell), Image.Resampling.LANCZOS)
    image.paste(small, (layout.left, layout.top), small)


def _shares(weights: np.ndarray) -> Iterator[tuple[int, int, float]]:
    for row, column in np.ndindex(*weights.shape):
        share = min(1.0, float(weights[row, column]))
        if share >= _LEAST:
            yield row, column, share


def _draw_lines(
    draw: ImageDraw.ImageDraw, place: Layout, weights: np.ndarray, steps: Sequence[tuple[int, int]], colour: Colour
) -> None:
    """From each cell to those that may come next, as thick as both count."""
    rows, columns = weights.shape
    for row, column, share in _shares(weights):
        for down, right in steps:
            if row + down >= rows or column + right >= columns:
                continue
            both = min(share, float(weights[row + down, column + right]))
            if both >= 5 * _LEAST:
                ends = (place.centre(row, column), place.centre(row + down, column + right))
                draw.line(ends, fill=(*colour, 255), width=max(1, round(both * place.cell / 12)))


def _disc(draw: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float) -> None:
    x, y = centre
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(*THERE, 255), outline=(*INK, 255), width=_FINE)


def _ring(draw: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float, width: int) -> None:
    x, y = centre
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=(*BACK, 255), width=width)


def _draw_key(draw: ImageDraw.ImageDraw, layout: Layout, rows: int, both: bool) -> None:
    """What discs and rings are, below the matrix."""
    x, y = float(MARGIN), layout.top + rows * layout.cell + 2 * GAP
    parts = [(THERE, "query led through support")] + ([(BACK, "support led through query")] if both else [])
    for colour, text in parts:
        box = (x, y - 6, x + 12, y + 6)
        if colour == THERE:
            draw.ellipse(box, fill=colour, outline=INK)
        else:
            draw.ellipse(box, outline=colour, width=3)
        draw.text((x + 18, y), text, MUTED, font(12), anchor="lm")
        x += 18 + font(12).getlength(text) + 2 * GAP
