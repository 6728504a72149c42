"""The picture of two clips and the pairs of their frames."""

import numpy as np
import pytest

from clipplus.visualization.alignment import BACK, THERE, Layout, Side, draw_alignment, shade


def strip(frames: int, colour: tuple[int, int, int] = (10, 200, 30)) -> np.ndarray:
    return np.full((frames, 8, 8, 3), colour, dtype=np.uint8)


def test_near_frames_are_dark_and_far_ones_white() -> None:
    colours = shade(np.array([[0.5, 1.0], [0.75, 0.5]]))
    assert colours[0, 0].tolist() == colours[1, 1].tolist() == [20, 66, 114]
    assert colours[0, 1].tolist() == [255, 255, 255]
    assert colours[0, 0].sum() < colours[1, 0].sum() < colours[0, 1].sum()
    assert shade(np.ones((2, 2))).max() == 114


def test_pairs_lie_where_their_frames_meet() -> None:
    query, support = Side("query", [strip(3)], [1.0]), Side("jump", [strip(4)], [1.0])
    there, back = np.zeros((3, 4)), np.zeros((3, 4))
    there[2, 1], back[0, 3] = 1.0, 1.0
    dist = np.arange(12.0).reshape(3, 4)
    image = np.asarray(draw_alignment("title", query, support, dist, there, back, cell=100))
    layout = Layout.of(query, support, 100)

    def within(row: int, column: int, colour: tuple[int, int, int]) -> bool:
        x, y = layout.corner(row, column)
        return bool((image[y : y + 100, x : x + 100] == colour).all(axis=2).any())

    assert [(r, c) for r in range(3) for c in range(4) if within(r, c, THERE)] == [(2, 1)]
    assert [(r, c) for r in range(3) for c in range(4) if within(r, c, BACK)] == [(0, 3)]


def test_frames_stand_beside_their_rows_and_columns() -> None:
    query, support = Side("query", [strip(2, (1, 2, 3))], [2.0]), Side("jump", [strip(2, (4, 5, 6))], [0.5])
    image = np.asarray(draw_alignment("t", query, support, np.zeros((2, 2)), np.zeros((2, 2)), cell=40))
    layout = Layout.of(query, support, 40)
    left, above = image[:, : layout.left], image[: layout.top]
    assert (left == (1, 2, 3)).all(axis=2).sum() == 2 * 39 * 80
    assert (above == (4, 5, 6)).all(axis=2).sum() == 2 * 39 * 80


def test_at_most_three_clips_are_drawn_on_a_side_and_the_rest_counted() -> None:
    support = Side("jump", [strip(2)] * 5, [1.0] * 5)
    assert len(support.shown) == 3
    assert Layout.of(Side("q", [strip(2)], [1.0]), support, 40).top == 20 + 58 + 20 + 3 * 42 + 16


def test_matrices_of_another_shape_are_refused() -> None:
    side = Side("query", [strip(3)], [1.0])
    with pytest.raises(ValueError, match=r"have 3 and 3 frames, but the matrices are \[\(3, 2\), \(3, 3\)\]"):
        draw_alignment("t", side, side, np.zeros((3, 2)), np.zeros((3, 3)))
