"""OTAM on batches of pairs against the recursion as it is written: time of forward + backward, and of forward alone.

The reference fills the table cell by cell, in place, and lets autograd differentiate that, as published code does; its
loops go over cells and directions, all pairs of an episode at once. Cases are episodes of 5 classes with 8 frames per
clip, fp32, both directions, one thread: a training episode of 25 queries, forward + backward, and 64 test episodes of 5
queries in one call, whose reference takes one episode after the other. Time is the median of `--seconds` of steps by
turns, in seconds of the processor. Ratios are ours / reference.

    python benchmarks/few_shot_matching.py [--seconds 3] [--json RESULT.json]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from measure import print_rows, write_rows
from torch import Tensor

from clipplus.few_shot_video import otam_distance

WAYS = 5
SMOOTHING = 0.5


def recursion(dist: Tensor, smoothing: float) -> Tensor:
    """One direction, (..., L, M) -> (...): see `otam_distance` for the recursion, of which this is the transcript."""

    def softmin(*options: Tensor) -> Tensor:
        return -smoothing * torch.logsumexp(torch.stack(options) / -smoothing, dim=0)

    padded = torch.nn.functional.pad(dist, (1, 1))
    rows, columns = padded.shape[-2:]
    cost = torch.zeros_like(padded)
    for m in range(1, columns):
        cost[..., 0, m] = cost[..., 0, m - 1] + padded[..., 0, m]
    for row in range(1, rows):
        above, here, step = cost[..., row - 1, :], cost[..., row, :], padded[..., row, :]
        here[..., 1] = step[..., 1] + softmin(above[..., 0].clone(), above[..., 1].clone(), here[..., 0].clone())
        for m in range(2, columns - 1):
            here[..., m] = step[..., m] + softmin(above[..., m - 1].clone(), here[..., m - 1].clone())
        here[..., -1] = softmin(above[..., -2].clone(), above[..., -1].clone(), here[..., -2].clone())
    return cost[..., -1, -1]


def by_recursion(dist: Tensor) -> Tensor:
    """Both directions."""
    return recursion(dist, SMOOTHING) + recursion(dist.transpose(-1, -2), SMOOTHING)


def ours(dist: Tensor) -> Tensor:
    """Both directions, with what configs use."""
    return otam_distance(dist, SMOOTHING)


def ours_episode_by_episode(dist: Tensor) -> Tensor:
    """What batching alone is worth."""
    return torch.stack([ours(episode) for episode in dist])


def recursion_episode_by_episode(dist: Tensor) -> Tensor:
    """As an evaluation without batches of episodes does."""
    return torch.stack([by_recursion(episode) for episode in dist])


def draw(*shape: int) -> Tensor:
    """Distances of frames, (..., T, T)."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def training_step(matching: Callable[[Tensor], Tensor], dist: Tensor) -> Tensor:
    """Forward and backward; the gradient."""
    leaf = dist.clone().requires_grad_()
    torch.nn.functional.cross_entropy(-matching(leaf).flatten(0, -2), torch.arange(leaf.shape[-4]) % WAYS).backward()
    return leaf.grad


def test_step(matching: Callable[[Tensor], Tensor], dist: Tensor) -> Tensor:
    """Forward alone."""
    with torch.no_grad():
        return matching(dist)


def compare(
    case: str,
    step: Callable[[Callable[[Tensor], Tensor], Tensor], Tensor],
    contestants: tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]],
    dist: Tensor,
    seconds: float,
) -> dict[str, str | float]:
    """One row: the first of the contestants against the second, by turns.

    Raises:
        AssertionError: they disagree.
    """
    torch.testing.assert_close(step(contestants[0], dist), step(contestants[1], dist), rtol=1e-4, atol=1e-5)
    times: tuple[list[float], list[float]] = ([], [])
    while sum(map(sum, times)) < seconds:
        for taken, contestant in zip(times, contestants, strict=True):
            start = time.process_time()
            step(contestant, dist)
            taken.append(time.process_time() - start)
    time_s, reference_s = map(statistics.median, times)
    return {
        "benchmark": "few_shot_matching",
        "case": case,
        "time_ratio": time_s / reference_s,
        "time_s": time_s,
        "reference_s": reference_s,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="per case")
    parser.add_argument("--json", type=Path, help="write the rows here as well")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [
        compare(f"forward + backward, {queries}x{WAYS}, T={frames}", training_step, (ours, by_recursion),
                draw(queries, WAYS, frames, frames), arguments.seconds)
        for queries, frames in ((25, 8), (100, 8), (25, 16))
    ]  # fmt: skip
    test_episodes = draw(64, 5, WAYS, 8, 8)
    rows.append(
        compare("64 test episodes, 5x5, T=8", test_step, (ours, recursion_episode_by_episode), test_episodes,
                arguments.seconds)
    )  # fmt: skip
    rows.append(
        compare("64 test episodes, ours one by one", test_step, (ours_episode_by_episode, recursion_episode_by_episode),
                test_episodes, arguments.seconds)
    )  # fmt: skip
    print_rows(rows)
    write_rows(rows, arguments.json)


if __name__ == "__main__":
    main()
