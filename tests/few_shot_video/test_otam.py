"""OTAM: the recursion, its limits, its gradient, and the published numbers."""

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.registry import MODELS

from clipplus.few_shot_video import otam_distance


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def by_recursion(dist, smoothing):
    """One direction for one pair, cell by cell, as the docstring says."""

    def softmin(*options):
        least = min(options)
        return least - smoothing * math.log(sum(math.exp((least - option) / smoothing) for option in options))

    rows, columns = dist.shape
    cost = [[0.0] * (columns + 2) for _ in range(rows)]
    for m in range(1, columns + 2):
        cost[0][m] = cost[0][m - 1] + (float(dist[0, m - 1]) if m <= columns else 0.0)
    for row in range(1, rows):
        above, here = cost[row - 1], cost[row]
        here[1] = float(dist[row, 0]) + softmin(above[0], above[1], here[0])
        for m in range(2, columns + 1):
            here[m] = float(dist[row, m - 1]) + softmin(above[m - 1], here[m - 1])
        here[columns + 1] = softmin(above[columns], above[columns + 1], here[columns])
    return cost[-1][-1]


def cheapest_path(dist):
    """The same with a hard minimum."""
    return by_recursion(dist, 1e-12)


def matcher(**options):
    return MODELS.build(dict(type="OTAMMatcher", **options))


# Golden: tolerances are those of the files' README.


@pytest.mark.golden("clip_fsar", "otam")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_clip_fsar_golden_otam(golden, dtype):
    for number, case in enumerate(json.loads(golden.metadata["cases"])):
        stored = {
            name: golden[f"case{number}.{name}"]
            for name in ("dists", "cotangent", "q2s", "s2q", "sum", "grad_sum", "grad_q2s")
        }
        for direction in ("q2s", "s2q", "sum"):
            dist = stored["dists"].to(dtype).requires_grad_()
            one_way = matcher(smoothing=case["lbda"], bidirectional=direction == "sum")
            result = one_way.clip_distance(dist.transpose(-1, -2) if direction == "s2q" else dist)
            assert_golden(result, stored[direction], f"case {number} {direction}")
            if direction != "s2q":
                (gradient,) = torch.autograd.grad((result * stored["cotangent"].to(dtype)).sum(), dist)
                assert_golden(gradient, stored[f"grad_{direction}"], f"case {number} gradient of {direction}")


def assert_golden(actual, expected, what):
    if actual.dtype == torch.float64:
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-9, msg=lambda text: f"{what}: {text}")
    else:
        room = 2e-5 * (1 + float(expected.abs().max()))
        torch.testing.assert_close(actual.double(), expected, rtol=0, atol=room, msg=lambda text: f"{what}: {text}")


@pytest.mark.golden("ma_clip", "metric")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_ma_clip_golden_metric_otam(golden, dtype):
    for smoothing in json.loads(golden.metadata["config"])["lambdas"]:
        for suffix, bidirectional in (("uni", False), ("bi", True)):
            name = f"otam_lam{smoothing}_{suffix}"
            dist = golden["dist"].to(dtype).requires_grad_()
            result = matcher(smoothing=smoothing, bidirectional=bidirectional).clip_distance(dist)
            (gradient,) = torch.autograd.grad((result * golden["cot"].to(dtype)).sum(), dist)
            exact = dtype == torch.float64
            torch.testing.assert_close(
                result.double(), golden[f"out.{name}"], rtol=0 if exact else 2e-4, atol=1e-9 if exact else 2e-5
            )
            torch.testing.assert_close(
                gradient.double(), golden[f"grad.{name}"], rtol=0 if exact else 2e-3, atol=1e-8 if exact else 2e-4
            )


# Definition and invariants.


@given(
    rows=st.integers(1, 7),
    columns=st.integers(1, 7),
    smoothing=st.floats(0.05, 10),
    scale=st.floats(0.1, 20),
    seed=st.integers(0, 99),
)
def test_equals_the_recursion(rows, columns, smoothing, scale, seed):
    dist = scale * (draw(rows, columns, seed=seed) - 0.2)
    there, back = by_recursion(dist, smoothing), by_recursion(dist.T, smoothing)
    assert float(otam_distance(dist, smoothing, bidirectional=False)) == pytest.approx(there, abs=1e-9)
    assert float(otam_distance(dist, smoothing)) == pytest.approx(there + back, abs=1e-9)


@given(rows=st.integers(1, 6), columns=st.integers(1, 6), seed=st.integers(0, 99))
def test_soft_cost_is_below_the_cheapest_path_and_tends_to_it(rows, columns, seed):
    dist = draw(rows, columns, seed=seed)
    cheapest = cheapest_path(dist)
    costs = [float(otam_distance(dist, smoothing, bidirectional=False)) for smoothing in (1.0, 0.1, 1e-4)]
    assert all(softer <= harder + 1e-9 for softer, harder in zip(costs, [*costs[1:], cheapest], strict=True))
    assert costs[-1] == pytest.approx(cheapest, abs=1e-2)


@pytest.mark.parametrize(("rows", "columns"), [(5, 5), (3, 6), (6, 3), (1, 4), (4, 1), (1, 1)])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_gradient_equals_finite_differences(rows, columns, bidirectional):
    dist = draw(2, 2, rows, columns).requires_grad_()
    assert torch.autograd.gradcheck(lambda d: otam_distance(d, 0.3, bidirectional), dist)


def test_transposed_matrices_cost_the_same_both_ways():
    dist = draw(3, 4, 5, 7)
    torch.testing.assert_close(otam_distance(dist), otam_distance(dist.transpose(-1, -2)))
    torch.testing.assert_close(
        otam_distance(dist),
        otam_distance(dist, bidirectional=False) + otam_distance(dist.transpose(-1, -2), bidirectional=False),
    )


def test_a_batch_of_pairs_equals_a_loop_over_them():
    dist = draw(2, 3, 4, 8, 8)
    loop = torch.stack([otam_distance(pair) for pair in dist.flatten(0, 2)]).view(2, 3, 4)
    torch.testing.assert_close(otam_distance(dist), loop, rtol=0, atol=1e-12)


@pytest.mark.parametrize("frames", [1, 8, 64])
@pytest.mark.parametrize("smoothing", [0.01, 0.1, 10.0])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_value_and_gradient_are_finite(frames, smoothing, dtype):
    dist = (1000 * draw(2, frames, frames, seed=frames)).to(dtype).requires_grad_()
    result = otam_distance(dist, smoothing)
    result.sum().backward()
    assert result.dtype == torch.float32
    assert dist.grad.dtype == dtype
    assert bool(result.isfinite().all())
    assert bool(dist.grad.isfinite().all())


def test_half_precision_and_autocast_do_not_reach_the_sums():
    dist = draw(3, 8, 8, dtype=torch.float32).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        result = otam_distance(dist)
    torch.testing.assert_close(result, otam_distance(dist.float()), rtol=0, atol=0)


def test_one_query_frame_costs_its_row():
    dist = draw(4, 1, 6)
    torch.testing.assert_close(otam_distance(dist, bidirectional=False), dist.sum(dim=(1, 2)))


def test_one_frame_on_both_sides_costs_twice_its_distance():
    assert float(otam_distance(torch.tensor([[0.37]], dtype=torch.float64))) == pytest.approx(0.74)


def test_zero_distances_cost_a_negative_constant():
    # Two frames each: the last column counts row 0 twice and row 1 once, and column 1 of row 1 has three free options.
    # Row 1, column 2 follows either of two cells that hold 0 and -0.5 log 3.
    expected = -0.5 * math.log(2 + (1 + 3))
    assert float(otam_distance(torch.zeros(2, 2), bidirectional=False)) == pytest.approx(expected, abs=1e-6)


@given(frames=st.integers(2, 6), seed=st.integers(0, 99))
def test_a_clip_in_its_own_order_costs_less_than_reversed(frames, seed):
    # Frames that are all different: 0 on the diagonal, about 1 elsewhere.
    same = 1 - torch.eye(frames, dtype=torch.float64) + 0.05 * draw(frames, frames, seed=seed)
    assert float(otam_distance(same, 0.1)) < float(otam_distance(same.flip(1), 0.1))


def test_gradients_of_gradients_are_refused_not_wrong():
    dist = draw(4, 4).requires_grad_()
    (gradient,) = torch.autograd.grad(otam_distance(dist).square(), dist, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize("smoothing", [0.0, -1.0, float("nan")])
def test_bad_smoothing_is_refused_when_the_config_is_built(smoothing):
    with pytest.raises(ValueError, match="smoothing must be above 0"):
        matcher(smoothing=smoothing)


def test_no_frames_are_refused():
    with pytest.raises(ValueError, match=r"frames on both sides, got distances of shape \(2, 0, 3\)"):
        otam_distance(torch.zeros(2, 0, 3))
