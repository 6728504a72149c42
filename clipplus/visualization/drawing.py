"""Paper, ink and letters: what the pictures of results have in common. All lengths are pixels."""

from functools import cache
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from clipplus.visualization.thumbnails import Thumbnail

Colour = tuple[int, int, int]

PAPER: Colour = (255, 255, 255)
INK: Colour = (33, 37, 41)
MUTED: Colour = (110, 117, 125)
BLANK: Colour = (234, 237, 240)
# Green and orange of Okabe and Ito's palette: told apart by colour-blind readers too. The pale ones lie under text.
RIGHT: Colour = (0, 158, 115)
WRONG: Colour = (213, 94, 0)
RIGHT_PALE: Colour = (160, 222, 203)
WRONG_PALE: Colour = (250, 203, 167)
NEUTRAL_PALE: Colour = (219, 224, 229)

MARGIN = 20
GAP = 12
HEADER = 58
_FRAME = 3


@cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib brings along: Pillow's own font knows no letter beyond ASCII."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


def fitted(text: str, face: ImageFont.FreeTypeFont, width: int) -> str:
    """`text` on one line, its end replaced by '…' where it is wider than `width`."""
    text = " ".join(text.split())
    if face.getlength(text) <= width:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if face.getlength(text[:middle].rstrip() + "…") <= width:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + "…"


def wrapped(text: str, face: ImageFont.FreeTypeFont, width: int, lines: int) -> list[str]:
    """`text` broken between words into at most `lines` lines; the last one takes the rest, `fitted`."""
    result: list[str] = []
    words = text.split()
    while words and len(result) < lines - 1:
        count = 1
        while count < len(words) and face.getlength(" ".join(words[: count + 1])) <= width:
            count += 1
        result.append(fitted(" ".join(words[:count]), face, width))
        words = words[count:]
    if words:
        result.append(fitted(" ".join(words), face, width))
    return result


def sheet(width: int, height: int, title: str, legend: str) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """White paper of this size with a title and, below it, a line that explains the picture.

    The lines end at `HEADER` below the upper margin; what is drawn starts there.
    """
    image = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(image)
    inner = width - 2 * MARGIN
    draw.text((MARGIN, MARGIN - 4), fitted(title, font(18, bold=True), inner), INK, font(18, bold=True))
    draw.text((MARGIN, MARGIN + 24), fitted(legend, font(12), inner), MUTED, font(12))
    return image, draw


def paste_tile(
    image: Image.Image,
    corner: tuple[int, int],
    size: int,
    sample_id: int,
    picture: Thumbnail | None,
    frame: Colour | None = None,
) -> None:
    """A picture in the middle of a square, scaled to fill it; a blank square with the id where there is none.

    Args:
        image: drawn into.
        corner: left and upper edge of the square.
        size: side of the square.
        sample_id: written into a blank square.
        picture: RGB pixels.
        frame: colour of a frame around the square, outside of it.
    """
    x, y = corner
    draw = ImageDraw.Draw(image)
    if frame is not None:
        draw.rectangle((x - _FRAME, y - _FRAME, x + size + _FRAME - 1, y + size + _FRAME - 1), fill=frame)
    draw.rectangle((x, y, x + size - 1, y + size - 1), fill=BLANK)
    if picture is None:
        label = fitted(f"#{sample_id}", font(11), size - 8)
        draw.text((x + size / 2, y + size / 2), label, MUTED, font(11), anchor="mm")
        return
    height, width = picture.shape[:2]
    scale = size / max(height, width)
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    scaled = Image.fromarray(picture).resize(shape, Image.Resampling.LANCZOS)
    image.paste(scaled, (x + (size - shape[0]) // 2, y + (size - shape[1]) // 2))
