"""APE's grid search against the published loop: one pass over logits and arg-max for every cell of the grid.

Ours is `search_features`: all samples, all cells, float64. The reference is the loop as published, float32 on the same
features: for each beta, alpha and gamma the affinities, their product with the one-hot labels, and the arg-max. Where
the whole loop would take hours its time is extrapolated from `--cells` cells, spread over the grid, on `--samples` of
the samples. On those cells and samples the two tables are compared as well; the reference in float64, so that they
must be equal. Every side is a process of its own; memory is the peak above the inputs.

    python benchmarks/ape_search.py [--case issue|imagenet] [--cells 40] [--samples 1000] [--json RESULT.json]

`--case imagenet`: 1,000 classes with 16 shots, 50,000 pictures, 20,000 cells; minutes, on all cores (OMP_NUM_THREADS).
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from measure import in_own_process, peak_memory_mb, print_rows, write_rows
from torch import Tensor

from clipplus.methods.ape.logits import divergence_weights, key_divergence, unit, zero_shot_logits
from clipplus.methods.ape.search import SearchGrid, search_features


@dataclass(frozen=True)
class Case:
    """Sizes of a search: classes, shots, samples, channels (all, selected) and grid."""

    classes: int
    shots: int
    samples: int
    width: int
    channels: int
    grid: SearchGrid


CASES = {
    # The grid of most data sets; channels of ResNet-50.
    "issue": Case(100, 16, 1_000, 1024, 800, SearchGrid((7, 7, 1), (200, 20, 20))),
    "imagenet": Case(1_000, 16, 50_000, 1024, 500, SearchGrid((7, 7, 0.5), (200, 20, 5))),
}


class Data:
    """Features around class centres, all with a common part, as CLIP's have; texts are noisier than pictures."""

    def __init__(self, case: Case) -> None:
        generator = torch.Generator().manual_seed(0)
        common = 3 * torch.randn(case.width, generator=generator)
        centres = torch.randn(case.classes, case.width, generator=generator)

        def around(labels: Tensor, noise: float) -> Tensor:
            drawn = torch.randn(len(labels), case.width, generator=generator).mul_(noise)
            return unit(drawn.add_(common).add_(0.3 * centres[labels]))

        self.case, self.grid = case, case.grid
        self.key_labels = torch.arange(case.classes).repeat_interleave(case.shots)
        self.targets = torch.randint(case.classes, (case.samples,), generator=generator)
        self.features, self.keys = around(self.targets, 2.0), around(self.key_labels, 2.0)
        self.text = around(torch.arange(case.classes), 2.5)
        self.chosen = torch.randperm(case.width, generator=generator)[: case.channels]
        self.refined = unit(self.keys[:, self.chosen])
        divergence = key_divergence(self.refined, unit(self.text[:, self.chosen]), self.key_labels)
        self.key_weights = divergence_weights(divergence, self.grid.gammas)

    def terms(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Zero-shot logits and similarities."""
        return zero_shot_logits(features, self.text), unit(features[:, self.chosen]) @ self.refined.T


def ours(name: str) -> tuple[float, float, Tensor]:
    """Seconds, MB above the inputs, and the table of hits."""
    data, found = Data(CASES[name]), []

    def search() -> None:
        rows = (data.features, data.key_labels, data.key_weights, data.targets, data.grid)
        found.append(search_features(data.terms, *rows).hits)

    start = time.process_time()
    peak = peak_memory_mb(search)
    return time.process_time() - start, peak, found[0]


def hits_of_cells(name: str, cells: list[tuple[int, int, int]], samples: int) -> Tensor:
    """What `search_features` counts for these cells on the first samples."""
    data = Data(CASES[name])
    rows = (data.features[:samples], data.key_labels, data.key_weights, data.targets[:samples], data.grid)
    hits = search_features(data.terms, *rows).hits
    return torch.stack([hits[cell] for cell in cells])


class PublishedLoop:
    """One cell at a time, on the first samples."""

    def __init__(self, data: Data, samples: int, dtype: torch.dtype) -> None:
        zero_shot, similarity = (term.to(dtype) for term in data.terms(data.features[:samples]))
        self.zero_shot, self.similarity, self.targets = zero_shot, similarity, data.targets[:samples]
        self.one_hot = F.one_hot(data.key_labels).to(dtype)
        self.weights, self.grid = data.key_weights.to(dtype), data.grid

    def hits(self, cell: tuple[int, int, int]) -> Tensor:
        """How many samples a cell classifies correctly."""
        b, a, g = cell
        alpha, beta = float(self.grid.alphas[a]), float(self.grid.betas[b])
        weighted = self.weights[g][:, None] * self.one_hot
        logits = self.zero_shot + alpha * (torch.exp(-beta * (1 - self.similarity)) @ weighted)
        return (logits.argmax(dim=1) == self.targets).sum()


def published(name: str, cells: list[tuple[int, int, int]], samples: int) -> tuple[float, float, Tensor]:
    """Seconds of a cell on these samples, MB above the inputs, and the hits in float64."""
    data = Data(CASES[name])
    single = PublishedLoop(data, samples, torch.float32)
    peak = peak_memory_mb(lambda: single.hits(cells[0]))
    start = time.process_time()
    for cell in cells:
        single.hits(cell)
    seconds = (time.process_time() - start) / len(cells)
    double = PublishedLoop(data, samples, torch.float64)
    return seconds, peak, torch.stack([double.hits(cell) for cell in cells])


def spread(grid: SearchGrid, number: int) -> list[tuple[int, int, int]]:
    """Cells all over the grid, the same in every run."""
    flat = torch.randperm(torch.Size(grid.shape).numel(), generator=torch.Generator().manual_seed(1))[:number]
    return [tuple(cell) for cell in torch.stack(torch.unravel_index(flat, grid.shape), dim=1).tolist()]


def compare(name: str, number: int, samples: int) -> dict[str, str | float]:
    """One row of the table.

    Raises:
        SystemExit: the tables differ.
    """
    case = CASES[name]
    cells, samples = spread(case.grid, number), min(samples, case.samples)
    all_cells = torch.Size(case.grid.shape).numel()
    time_s, peak_mb, hits = in_own_process(ours, name)
    cell_s, reference_mb, expected = in_own_process(published, name, cells, samples)
    whole = samples == case.samples
    found = (
        torch.stack([hits[cell] for cell in cells]) if whole else in_own_process(hits_of_cells, name, cells, samples)
    )
    if not torch.equal(found, expected):
        raise SystemExit(f"{int((found != expected).sum())} of {number} cells differ from the published loop's")
    reference_s = cell_s * all_cells * case.samples / samples
    print(
        f"{name}: {all_cells} cells in {time_s:.2f} s; published loop {cell_s * 1e3:.1f} ms a cell on {samples} "
        f"samples, {reference_s:.0f} s extrapolated: {reference_s / time_s:.0f} times; {number} cells equal"
    )
    return {
        "benchmark": "ape_search",
        "case": f"{name}, {all_cells} cells (extrapolated)",
        "time_ratio": time_s / reference_s,
        "memory_ratio": peak_mb / reference_mb,
        "time_s": time_s,
        "reference_s": reference_s,
        "peak_mb": peak_mb,
        "reference_peak_mb": reference_mb,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=sorted(CASES), default="issue")
    parser.add_argument("--cells", type=int, default=40, help="of the published loop")
    parser.add_argument("--samples", type=int, default=1_000, help="of the published loop, at most")
    parser.add_argument("--json", type=Path, help="write the row here as well")
    arguments = parser.parse_args()
    rows = [compare(arguments.case, arguments.cells, arguments.samples)]
    print_rows(rows)
    write_rows(rows, arguments.json)


if __name__ == "__main__":
    main()
