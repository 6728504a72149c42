"""Tiled against dense contrastive losses: time and peak memory of forward + backward, fp32, both losses, one process.

Every case is a process of its own (Linux: memory is read from /proc) with one thread, dense and tiled by turns. Time is
the median of the steps that fit into `--seconds`, in seconds of the processor, so that neighbours on the machine count
less. Peak memory is the highest resident set above that of the inputs. Ratios are tiled / dense: less is better.

    python benchmarks/contrastive_losses.py [--batch-sizes 256 8192] [--tile 256] [--seconds 1] [--json RESULT.json]
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from measure import in_own_process, peak_memory_mb, print_rows, write_rows
from mmengine.registry import MODELS
from torch import Tensor

import clipplus.losses  # noqa: F401 - registers the two

WIDTH = 512
BATCH_SIZES = (256, 512, 1024, 2048, 4096, 8192)
LOSSES = {"softmax": "SoftmaxContrastiveLoss", "sigmoid": "SigmoidContrastiveLoss"}


def draw_inputs(batch_size: int) -> list[Tensor]:
    """Leaves: images, texts (normalised), scale, bias."""
    generator = torch.Generator().manual_seed(0)
    rows = [F.normalize(torch.randn(batch_size, WIDTH, generator=generator), dim=-1) for _ in range(2)]
    return [part.requires_grad_() for part in (*rows, torch.tensor(10.0), torch.tensor(-8.0))]


def measure(loss: str, tile: int | None, batch_size: int, seconds: float) -> tuple[float, float]:
    """Median seconds of a step, and MB that it needs above its inputs."""
    contrast: Any = MODELS.build(dict(type=LOSSES[loss], tile=tile))

    def step(inputs: list[Tensor]) -> float:
        start = time.process_time()
        contrast(*(inputs if contrast.needs_bias else inputs[:3])).backward()
        taken = time.process_time() - start
        for part in inputs:
            part.grad = None
        return taken

    torch.set_num_threads(1)
    # The matrix library's workspaces belong to the process and not to the loss.
    step(draw_inputs(64))
    inputs = draw_inputs(batch_size)
    # Not timed: the first step pays for the pages that the system hands out.
    peak = peak_memory_mb(lambda: step(inputs))
    times = [step(inputs)]
    while sum(times) < seconds:
        times.append(step(inputs))
    return statistics.median(times), peak


def compare(loss: str, batch_size: int, tile: int, seconds: float) -> dict[str, str | float]:
    """One row of the table."""
    reference_s, reference_mb = in_own_process(measure, loss, None, batch_size, seconds)
    time_s, peak_mb = in_own_process(measure, loss, tile, batch_size, seconds)
    return {
        "benchmark": "contrastive_losses",
        "case": f"{loss}, batch {batch_size}, tile {tile}",
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
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=BATCH_SIZES)
    parser.add_argument("--tile", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=1.0, help="per case; one step at least")
    parser.add_argument("--json", type=Path, help="write the rows here as well")
    arguments = parser.parse_args()
    rows = [
        compare(loss, batch_size, arguments.tile, arguments.seconds)
        for loss in LOSSES
        for batch_size in arguments.batch_sizes
    ]
    print_rows(rows)
    write_rows(rows, arguments.json)


if __name__ == "__main__":
    main()
