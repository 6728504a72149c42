"""Pictures of a few-shot classifier: which channels it keeps and why, and accuracy over shots. Lengths are pixels."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev

import torch
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from PIL import Image, ImageDraw
from torch import Tensor

from clipplus.checkpoints.atomic import written_aside
from clipplus.methods.ape.heads import RefinedHead
from clipplus.methods.ape.refinement import Refinement
from clipplus.visualization.drawing import (
    BLANK,
    GAP,
    HEADER,
    INK,
    MARGIN,
    MUTED,
    PAPER,
    RIGHT,
    Colour,
    fitted,
    font,
    sheet,
)

# Okabe and Ito's palette, told apart by colour-blind readers too; grey is zero-shot.
_COLOURS: tuple[Colour, ...] = (
    (0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233),
)  # fmt: skip
_LEFT_OUT: Colour = (176, 183, 190)
_AXIS_WIDTH = 62
_PANEL_HEIGHT = 130
_TITLE_HEIGHT = 22
_CURVES_SIZE = (560, 340)
_KEY_WIDTH = 210
_KEY_PITCH = 24
# Lines are drawn larger and made small again: Pillow has no smooth ones.
_FINER = 3


def save_importance(file: Path, title: str, head: RefinedHead) -> None:
    """Write `draw_importance` to a file, and name it in the log; one of several ranks does."""
    if not is_main_process():
        return
    with written_aside(file) as partial:
        draw_importance(title, head).save(partial)
    print_log(f"pictures: {file}", logger="current")


def draw_importance(title: str, head: RefinedHead) -> Image.Image:
    """The channels of a fitted APE or APE-T head, see `draw_channels`."""
    return draw_channels(title, head.refinement, head.channels)


def draw_channels(title: str, refinement: Refinement, channels: Tensor) -> Image.Image:
    """Criterion, similarity between classes and variance of all channels, each a bar; kept channels are green.

    All three panels have the same order, by falling criterion.

    Args:
        title: written above.
        refinement: of all D channels.
        channels: (Q,), the kept ones.
    """
    order = refinement.criterion.sort(descending=True, stable=True).indices
    kept = torch.isin(order, channels).tolist()
    width = max(640, min(1024, len(order)))
    panels = {
        "criterion: what a channel is kept for": refinement.criterion,
        "similarity between classes: low is good": refinement.similarity,
        "variance of the class texts: high is good": refinement.variance,
    }
    pitch = _TITLE_HEIGHT + _PANEL_HEIGHT + GAP
    image, draw = sheet(
        2 * MARGIN + _AXIS_WIDTH + width,
        2 * MARGIN + HEADER + len(panels) * pitch,
        title,
        f"{len(channels)} of {len(order)} channels are kept (green), sorted by criterion",
    )
    for number, (name, values) in enumerate(panels.items()):
        top = MARGIN + HEADER + number * pitch
        draw.text((MARGIN + _AXIS_WIDTH, top), name, INK, font(12))
        _draw_bars(draw, (MARGIN + _AXIS_WIDTH, top + _TITLE_HEIGHT), width, values[order].tolist(), kept)
    return image


def _draw_bars(
    draw: ImageDraw.ImageDraw, corner: tuple[int, int], width: int, values: Sequence[float], kept: Sequence[bool]
) -> None:
    """Bars from zero, with the largest and the smallest value at the axis."""
    x, y = corner
    low, high = min(0.0, *values), max(0.0, *values)
    unit = _PANEL_HEIGHT / ((high - low) or 1.0)
    zero = y + round(high * unit)
    draw.rectangle((x, y, x + width - 1, y + _PANEL_HEIGHT), fill=BLANK)
    for index, (value, is_kept) in enumerate(zip(values, kept, strict=True)):
        left, right = x + index * width // len(values), x + (index + 1) * width // len(values) - 1
        end = y + round((high - value) * unit)
        draw.rectangle((left, min(zero, end), max(left, right), max(zero, end)), fill=RIGHT if is_kept else _LEFT_OUT)
    draw.line((x, zero, x + width - 1, zero), MUTED)
    for value in {low, high}:
        draw.text((x - 6, y + (high - value) * unit), f"{value:.2g}", MUTED, font(11), anchor="rm")


def draw_accuracy_over_shots(title: str, curves: Mapping[str, Mapping[int, Sequence[float]]]) -> Image.Image:
    """Accuracy of each method over the number of shots, with a band of one standard deviation over the seeds.

    Shots double from step to step, as they are usually given. What has no shots is a dashed line.

    Args:
        title: written above.
        curves: method -> shots -> top-1 in percent, one value per seed; zero-shot under 0 shots.

    Raises:
        ValueError: no curve, or one without values.
    """
    for name, values in curves.items():
        if not values or not all(values.values()):
            raise ValueError(f"curve '{name}' has shots without an accuracy")
    if not curves:
        raise ValueError("there is no curve to draw")
    seeds = max(len(values) for curve in curves.values() for values in curve.values())
    width, height = _CURVES_SIZE
    image, draw = sheet(
        2 * MARGIN + _AXIS_WIDTH + width + GAP + _KEY_WIDTH,
        2 * MARGIN + HEADER + height + 2 * _KEY_PITCH,
        title,
        f"top-1 (%) over shots per class; band: one standard deviation over up to {seeds} seeds",
    )
    corner = (MARGIN + _AXIS_WIDTH, MARGIN + HEADER)
    scale = _Scale(curves)
    image.paste(_plot(curves, scale), corner)
    _label_axes(draw, corner, scale)
    _label_curves(draw, (corner[0] + width + GAP, corner[1]), curves)
    return image


class _Scale:
    """Where values lie on the plot."""

    def __init__(self, curves: Mapping[str, Mapping[int, Sequence[float]]]) -> None:
        self.shots = sorted({shots for curve in curves.values() for shots in curve if shots}) or [1]
        ends = [end for curve in curves.values() for values in curve.values() for end in _band(values)]
        self.step = next((step for step in (0.2, 0.5, 1, 2, 5, 10, 20) if (max(ends) - min(ends)) / step <= 7), 20)
        self.low = self.step * math.floor(min(ends) / self.step - 0.2)
        self.high = self.step * math.ceil(max(ends) / self.step + 0.2)
        self._first, self._last = math.log2(self.shots[0]), math.log2(self.shots[-1])

    def x(self, shots: float) -> float:
        """From the left edge."""
        margin, width = 24, _CURVES_SIZE[0]
        share = (math.log2(shots) - self._first) / ((self._last - self._first) or 1.0)
        return margin + share * (width - 2 * margin)

    def y(self, accuracy: float) -> float:
        """From the upper edge."""
        return (self.high - accuracy) / (self.high - self.low) * _CURVES_SIZE[1]

    @property
    def ticks(self) -> list[float]:
        """Accuracies with a line."""
        return [self.low + self.step * number for number in range(round((self.high - self.low) / self.step) + 1)]


def _band(values: Sequence[float]) -> tuple[float, float]:
    spread = stdev(values) if len(values) > 1 else 0.0
    return mean(values) - spread, mean(values) + spread


def _colour(curves: Mapping[str, Mapping[int, Sequence[float]]], name: str) -> Colour:
    if set(curves[name]) == {0}:
        return MUTED
    few_shot = [other for other in curves if set(curves[other]) != {0}]
    return _COLOURS[few_shot.index(name) % len(_COLOURS)]


def _plot(curves: Mapping[str, Mapping[int, Sequence[float]]], scale: _Scale) -> Image.Image:
    width, height = _CURVES_SIZE
    plot = Image.new("RGB", (width * _FINER, height * _FINER), PAPER)
    draw = ImageDraw.Draw(plot, "RGBA")

    def fine(*points: tuple[float, float]) -> list[tuple[float, float]]:
        return [(x * _FINER, y * _FINER) for x, y in points]

    for tick in scale.ticks:
        draw.line(fine((0, scale.y(tick)), (width, scale.y(tick))), BLANK, _FINER)
    for name, curve in curves.items():
        colour = _colour(curves, name)
        if 0 in curve:
            y = scale.y(mean(curve[0]))
            for dash in range(0, width, 14):
                draw.line(fine((dash, y), (dash + 8, y)), colour, 2 * _FINER)
        shots = sorted(set(curve) - {0})
        points = [(scale.x(number), scale.y(mean(curve[number]))) for number in shots]
        lower, upper = ([(scale.x(n), scale.y(_band(curve[n])[end])) for n in shots] for end in (0, 1))
        if len(points) > 1:
            draw.polygon(fine(*lower, *reversed(upper)), fill=(*colour, 40))
            draw.line(fine(*points), colour, 2 * _FINER, joint="curve")
        for x, y in points:
            draw.ellipse(fine((x - 4, y - 4), (x + 4, y + 4)), fill=colour)
    return plot.resize((width, height), Image.Resampling.LANCZOS)


def _label_axes(draw: ImageDraw.ImageDraw, corner: tuple[int, int], scale: _Scale) -> None:
    x, y = corner
    bottom = y + _CURVES_SIZE[1]
    for tick in scale.ticks:
        draw.text((x - 8, y + scale.y(tick)), f"{tick:.4g}", MUTED, font(12), anchor="rm")
    for shots in scale.shots:
        draw.text((x + scale.x(shots), bottom + 8), str(shots), MUTED, font(12), anchor="mt")
    draw.text((x + _CURVES_SIZE[0] / 2, bottom + 26), "shots per class", INK, font(12), anchor="mt")


def _label_curves(
    draw: ImageDraw.ImageDraw, corner: tuple[int, int], curves: Mapping[str, Mapping[int, Sequence[float]]]
) -> None:
    """Names with the accuracy at most shots, best first."""
    last = {name: (max(curve), mean(curve[max(curve)])) for name, curve in curves.items()}
    x, y = corner
    for place, name in enumerate(sorted(curves, key=lambda name: -last[name][1])):
        middle = y + place * _KEY_PITCH + 10
        draw.line((x, middle, x + 18, middle), _colour(curves, name), 3)
        text = f"{name} {last[name][1]:.1f}"
        draw.text((x + 24, middle), fitted(text, font(12), _KEY_WIDTH - 24), INK, font(12), anchor="lm")
