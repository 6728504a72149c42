"""The sheet of pictures with five guesses each."""

import numpy as np
import pytest

from clipplus.visualization.drawing import NEUTRAL_PALE, RIGHT, RIGHT_PALE, WRONG, WRONG_PALE
from clipplus.visualization.top5 import draw_top5, tile_corner

COLOURS = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0), (0, 250, 250)]


def prediction(sample_id, true="ring", guesses=("ring", "star", "square", "circle", "cross"), best=0.5):
    top = [[name, best - 0.1 * place] for place, name in enumerate(guesses)]
    return dict(sample_id=sample_id, label=0, label_name=true, top=top)


def thumbnails(ids):
    return {i: np.full((8, 8, 3), COLOURS[i % len(COLOURS)], np.uint8) for i in ids}


def colours_of(image, box):
    """Share of each colour within a box (left, upper, right, lower)."""
    pixels = np.asarray(image.crop(box)).reshape(-1, 3)
    values, counts = np.unique(pixels, axis=0, return_counts=True)
    return {tuple(map(int, value)): count / len(pixels) for value, count in zip(values, counts, strict=True)}


def test_every_picture_is_where_its_prediction_is():
    image = draw_top5("shapes", [prediction(i) for i in range(5)], thumbnails(range(5)), tile=40)
    for place in range(5):
        x, y = tile_corner(place, 40)
        assert colours_of(image, (x, y, x + 40, y + 40)) == {COLOURS[place]: 1.0}


def test_right_and_wrong_pictures_have_frames_of_their_colour():
    predictions = [prediction(0, true="ring"), prediction(1, true="star")]
    image = draw_top5("shapes", predictions, thumbnails(range(2)), tile=40)
    for place, frame in enumerate((RIGHT, WRONG)):
        x, y = tile_corner(place, 40)
        assert image.getpixel((x - 1, y + 20)) == frame


@pytest.mark.parametrize(
    ("true", "present", "absent"),
    [
        ("ring", {RIGHT_PALE, NEUTRAL_PALE}, {WRONG_PALE}),
        ("star", {RIGHT_PALE, WRONG_PALE, NEUTRAL_PALE}, set()),
        ("triangle", {WRONG_PALE, NEUTRAL_PALE}, {RIGHT_PALE}),
    ],
)
def test_bars_show_the_true_name_and_a_wrong_first_guess(true, present, absent):
    image = draw_top5("shapes", [prediction(0, true=true)], thumbnails([0]), tile=40)
    found = colours_of(image, (0, 0, *image.size)).keys()
    assert present <= found
    assert not absent & found


def test_a_higher_score_has_a_longer_bar():
    image = draw_top5("s", [prediction(0, best=0.9), prediction(1, best=0.6)], thumbnails(range(2)), tile=40)
    shares = []
    for place in range(2):
        x, y = tile_corner(place, 40)
        shares.append(colours_of(image, (x + 40, y, x + 300, y + 106))[RIGHT_PALE])
    assert shares[0] > 1.5 * shares[1]


@pytest.mark.parametrize("scores", [[0.3, 0.3], [float("nan"), float("nan")], [0.5, float("nan")]])
def test_scores_of_a_broken_model_are_drawn_all_the_same(scores):
    record = dict(sample_id=0, label=0, label_name="ring", top=[["ring", scores[0]], ["star", scores[1]]])
    assert draw_top5("shapes", [record], {}, tile=40).size[0] > 0


def test_fewer_pictures_make_a_smaller_sheet_with_equal_margins():
    one = draw_top5("shapes", [prediction(0)], thumbnails([0]), tile=40)
    many = draw_top5("shapes", [prediction(i) for i in range(7)], thumbnails(range(7)), tile=40)
    assert one.width < many.width
    assert one.height < many.height
    assert set(colours_of(many, (many.width - 15, 0, *many.size))) == {(255, 255, 255)}
    assert set(colours_of(many, (0, many.height - 15, *many.size))) == {(255, 255, 255)}
