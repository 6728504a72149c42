"""The pictures of kept channels and of accuracy over shots."""

import numpy as np
import pytest
import torch
from mmpretrain.registry import MODELS

from clipplus.methods.ape.pictures import draw_accuracy_over_shots, draw_channels, draw_importance
from clipplus.methods.ape.refinement import Refinement, select_channels
from clipplus.visualization.drawing import RIGHT

BLUE, ORANGE = (0, 114, 178), (213, 94, 0)


def pixels(image, colour) -> np.ndarray:
    """(P, 2) rows and columns of all pixels of a colour."""
    return np.argwhere((np.asarray(image) == colour).all(axis=2))


def test_kept_channels_are_green_and_stand_left_of_the_others() -> None:
    criterion = torch.linspace(1, 3, 40, dtype=torch.float64)[torch.randperm(40)]
    refinement = Refinement(criterion, torch.ones_like(criterion), torch.ones_like(criterion))
    edges = []
    for num in (10, 30):
        green = pixels(draw_channels("kept", refinement, select_channels(criterion, num)), RIGHT)[:, 1]
        edges.append((green.min(), green.max() - green.min() + 1))
    (left, quarter), (same_left, three_quarters) = edges
    assert left == same_left
    assert three_quarters == pytest.approx(3 * quarter, abs=2)


def test_a_larger_value_has_a_longer_bar() -> None:
    criterion = torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64)
    drawn = draw_channels("bars", Refinement(criterion, criterion, criterion), torch.tensor([0, 1, 2]))
    green = pixels(drawn, RIGHT)
    columns = [(green[:, 1] == column).sum() for column in (green[:, 1].min() + 50, green[:, 1].max() - 50)]
    assert columns[0] > 3 * columns[1]


def test_negative_and_equal_values_can_be_drawn() -> None:
    for values in ([-3.0, -1.0, -2.0], [0.0, 0.0, 0.0], [0.5, 0.5, 0.5]):
        criterion = torch.tensor(values, dtype=torch.float64)
        assert draw_channels("any", Refinement(criterion, criterion, criterion), torch.tensor([0])).size[0] > 600


def test_a_fitted_head_shows_its_own_channels() -> None:
    generator = torch.Generator().manual_seed(0)
    text, keys = (torch.nn.functional.normalize(torch.randn(n, 12, generator=generator), dim=1) for n in (3, 6))
    images = []
    for num in (3, 9):
        head = MODELS.build(dict(type="mmpretrain.APEHead", num_channels=num, weights=(0.7, 0.3)))
        head.fit(text, keys, torch.tensor([0, 0, 1, 1, 2, 2]))
        images.append(draw_importance("head", head))
    few, many = (len(np.unique(pixels(image, RIGHT)[:, 1])) for image in images)
    assert many == pytest.approx(3 * few, rel=0.1)


def curve_height(image, colour) -> float:
    return float(pixels(image, colour)[:, 0].mean())


def test_a_better_method_lies_higher_and_is_named_first() -> None:
    image = draw_accuracy_over_shots(
        "two", {"worse": {1: [50.0], 2: [51.0], 4: [52.0]}, "better": {1: [60.0], 2: [61.0], 4: [62.0]}}
    )
    # Colours go by the order of the curves; to the right of the plot stand the names.
    assert curve_height(image, ORANGE) < curve_height(image, BLUE)
    names = image.crop((660, 0, *image.size))
    assert curve_height(names, ORANGE) < curve_height(names, BLUE)


def test_zero_shot_is_a_dashed_line_across_all_shots() -> None:
    image = draw_accuracy_over_shots("z", {"zero-shot": {0: [40.0]}, "ape": {1: [50.0, 52.0], 4: [60.0, 61.0]}})
    plot = np.asarray(image.crop((82, 78, 642, 418)).convert("L"))
    # The only row that is dark in many places: the curve rises.
    dark = plot[(plot < 190).sum(axis=1).argmax()] < 190
    columns = np.flatnonzero(dark)
    assert columns.max() - columns.min() > 500
    assert (np.diff(columns) > 1).sum() > 20


def test_seeds_that_disagree_widen_the_band() -> None:
    def ink(spread: float) -> int:
        curves = {"ape": {1: [50 - spread, 50 + spread], 2: [52 - spread, 52 + spread]}, "other": {1: [30], 2: [80]}}
        image = np.asarray(draw_accuracy_over_shots("b", curves).crop((100, 80, 640, 410))).astype(int)
        return int(((image[..., 2] - image[..., 0]) > 20).sum())

    assert ink(5.0) > 2 * ink(0.1)


@pytest.mark.parametrize("curves", [{"ape": {8: [70.0]}}, {"zero-shot": {0: [70.0]}}, {"ape": {1: [70.0], 2: [70.0]}}])
def test_a_single_point_and_equal_values_can_be_drawn(curves) -> None:
    assert draw_accuracy_over_shots("few", curves).size[0] > 600


@pytest.mark.parametrize("curves", [{}, {"ape": {}}, {"ape": {1: []}}])
def test_curves_without_values_are_refused(curves) -> None:
    with pytest.raises(ValueError, match="curve"):
        draw_accuracy_over_shots("none", curves)
