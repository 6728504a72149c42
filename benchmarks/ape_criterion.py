"""APE's criterion from class sums against the loop over all pairs of rows, as published.

Ours is `prior_refinement`. The reference takes the product of every ordered pair of rows of different classes, in
float32, one pair at a time: its time is measured on `--pairs` pairs and extrapolated where there are more. A small
case, whose loop is run to its end, shows that both give the same. One thread; seconds of the processor.

    python benchmarks/ape_criterion.py [--case imagenet|caltech101] [--pairs 20000] [--json RESULT.json]
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from measure import in_own_process, peak_memory_mb, print_rows, write_rows
from torch import Tensor

from clipplus.methods.ape.logits import unit
from clipplus.methods.ape.refinement import prior_refinement

#: Classes, shots and channels.
CASES = {"imagenet": (1_000, 16, 1024), "caltech101": (100, 16, 1024), "small": (12, 2, 64)}
WEIGHTS = (0.7, 0.3)


def draw(classes: int, shots: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Texts, keys, labels."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(classes).repeat_interleave(shots)
    rows = unit(torch.randn(classes + len(labels), width, generator=generator))
    return rows[:classes], rows[classes:], labels


def pairs_of_rows(text: Tensor, keys: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """All ordered pairs of members of different classes."""
    members = [torch.cat([text[c : c + 1], keys[labels == c]]) for c in range(len(text))]
    for own, other in itertools.permutations(members, 2):
        for row in own:
            for rival in other:
                yield row, rival


def loop(case: str, pairs: int | None) -> tuple[Tensor, int, float]:
    """Mean product of so many pairs (None: of all), their number, and seconds for each."""
    inputs = draw(*CASES[case])
    total, number, start = torch.zeros(inputs[0].shape[1]), 0, time.process_time()
    for row, rival in itertools.islice(pairs_of_rows(*inputs), pairs):
        total += row * rival
        number += 1
    return total / number, number, (time.process_time() - start) / number


def closed(case: str) -> tuple[float, float]:
    """Median seconds, and MB above the inputs."""
    torch.set_num_threads(1)
    inputs, times = draw(*CASES[case]), []
    peak = peak_memory_mb(lambda: prior_refinement(*inputs, WEIGHTS))
    for _ in range(5):
        start = time.process_time()
        prior_refinement(*inputs, WEIGHTS)
        times.append(time.process_time() - start)
    return statistics.median(times), peak


def difference() -> float:
    """Largest difference of the similarities in the small case, relative to their largest."""
    expected = loop("small", None)[0].double()
    found = prior_refinement(*draw(*CASES["small"]), WEIGHTS).similarity
    return float((found - expected).abs().max() / expected.abs().max())


def compare(case: str, pairs: int) -> dict[str, str | float]:
    """One row of the table."""
    classes, shots, _ = CASES[case]
    members = shots + 1
    all_pairs = classes * (classes - 1) * members**2
    time_s, peak_mb = in_own_process(closed, case)
    _, number, pair_s = in_own_process(loop, case, pairs)
    print(
        f"{case}: {time_s * 1e3:.1f} ms; loop {pair_s * 1e6:.1f} us a pair ({number} of {all_pairs} measured): "
        f"{pair_s * all_pairs / time_s:.0f} times; small case {in_own_process(difference):.1e} of the largest apart"
    )
    return {
        "benchmark": "ape_criterion",
        "case": f"{case} (extrapolated)" if number < all_pairs else case,
        "time_ratio": time_s / (pair_s * all_pairs),
        "time_s": time_s,
        "reference_s": pair_s * all_pairs,
        "peak_mb": peak_mb,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=["imagenet", "caltech101"], default="imagenet")
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--json", type=Path, help="write the row here as well")
    arguments = parser.parse_args()
    rows = [compare(arguments.case, arguments.pairs)]
    print_rows(rows)
    write_rows(rows, arguments.json)


if __name__ == "__main__":
    main()
