"""Letters that fit, and pictures in the middle of their tiles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from clipplus.visualization.drawing import BLANK, PAPER, RIGHT, fitted, font, paste_tile, wrapped

FACE = font(12)


@given(text=st.text(st.characters(codec="latin-1"), max_size=60), width=st.integers(20, 200))
def test_fitted_text_is_never_wider_than_its_room(text, width):
    result = fitted(text, FACE, width)
    assert FACE.getlength(result) <= width
    assert result == " ".join(text.split()) or result.endswith("…")


def test_text_that_fits_stays_and_longer_text_keeps_its_beginning():
    assert fitted("a ring", FACE, 100) == "a ring"
    shortened = fitted("a large red star", FACE, 60)
    assert shortened.endswith("…")
    assert "a large red star".startswith(shortened[:-1])


def test_wrapped_lines_give_all_words_where_there_is_room():
    text = "a large red star with stripes left of a small blue ring"
    lines = wrapped(text, FACE, 120, lines=9)
    assert " ".join(lines) == text
    assert len(lines) > 1
    assert all(FACE.getlength(line) <= 120 for line in lines)


def test_wrapped_text_ends_in_dots_where_lines_run_out():
    lines = wrapped("word " * 50, FACE, 100, lines=3)
    assert len(lines) == 3
    assert lines[-1].endswith("…")


def test_the_font_knows_letters_beyond_ascii():
    unknown = bytes(FACE.getmask("\U000f0000"))
    assert all(bytes(FACE.getmask(letter)) != unknown for letter in "äéñøβж→✓✗…")


@pytest.mark.parametrize(("height", "width"), [(4, 8), (8, 4), (200, 100), (6, 6)])
def test_a_picture_fills_the_longer_side_of_its_tile_and_is_centred(height, width):
    image = Image.new("RGB", (60, 60), PAPER)
    paste_tile(image, (10, 10), 40, 1, np.full((height, width, 3), (10, 20, 200), np.uint8))
    blue = (np.asarray(image) == (10, 20, 200)).all(axis=-1)
    rows, columns = np.flatnonzero(blue.any(1)), np.flatnonzero(blue.any(0))
    assert max(len(rows), len(columns)) == 40
    assert len(rows) / len(columns) == pytest.approx(height / width, rel=0.05)
    assert rows.mean() == columns.mean() == 29.5


def test_a_frame_lies_outside_of_the_picture():
    image = Image.new("RGB", (60, 60), PAPER)
    paste_tile(image, (10, 10), 40, 1, np.full((5, 5, 3), 7, np.uint8), frame=RIGHT)
    assert [image.getpixel((x, 30)) for x in (6, 7, 9, 10, 49, 50, 52, 53)] == [
        PAPER, RIGHT, RIGHT, (7, 7, 7), (7, 7, 7), RIGHT, RIGHT, PAPER,
    ]  # fmt: skip


def test_a_missing_picture_is_a_blank_tile_with_letters_on_it():
    image = Image.new("RGB", (60, 60), PAPER)
    paste_tile(image, (10, 10), 40, 12, None)
    tile = np.asarray(image)[10:50, 10:50]
    assert tuple(tile[0, 0]) == BLANK
    assert (tile != BLANK).any()
