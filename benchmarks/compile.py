"""Training steps of a tiny ViT tower whose blocks are compiled, against the same tower without.

A step is forward, backward and an AdamW update. Compilation happens before the clock starts, and its time is given by
itself: it is paid once per run. Both sides run in one process, in turn; the ratio of each round is taken, and the
median printed (below 1: compiled is faster).

    python benchmarks/compile.py [--batch-size 64] [--steps 5] [--rounds 5] [--json RESULT.json]
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
from measure import print_rows, write_rows
from torch import Tensor, nn

from clipplus.towers import CLIPImageTower, CLIPTextTower

CONTEXT, VOCABULARY = 77, 49408
MODEL = dict(
    embed_dim=128,
    quick_gelu=False,
    vision_cfg=dict(image_size=64, patch_size=8, width=128, layers=4, head_width=32),
    text_cfg=dict(context_length=CONTEXT, vocab_size=VOCABULARY, width=128, heads=4, layers=4),
)


class Side:
    """One tower with its optimiser and a fixed batch."""

    def __init__(self, tower: nn.Module, batch: Tensor) -> None:
        self.tower, self.batch = tower.train(), batch
        self.optimizer = torch.optim.AdamW(tower.parameters(), lr=1e-4)

    def run(self, steps: int) -> float:
        """Seconds of a step."""
        start = time.perf_counter()
        for _ in range(steps):
            self.optimizer.zero_grad()
            self.tower(self.batch).square().mean().backward()
            self.optimizer.step()
        if self.batch.is_cuda:
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / steps


def batch_of(kind: type, size: int, device: str) -> Tensor:
    """Random pixels, or token rows that fill the context."""
    if kind is CLIPImageTower:
        return torch.randn(size, 3, 64, 64, device=device)
    rows = torch.randint(1, VOCABULARY - 1, (size, CONTEXT))
    rows[:, -1] = VOCABULARY - 1
    return rows.to(device)


def compare(kind: type, batch_size: int, steps: int, rounds: int, device: str) -> dict[str, str | float]:
    """Medians over the rounds of a step's seconds, and of the ratio compiled / plain."""
    torch.manual_seed(0)
    batch = batch_of(kind, batch_size, device)
    plain = Side(kind(MODEL).to(device), batch)
    compiled = Side(kind(MODEL, compile=True).to(device), batch)
    plain.run(2)
    start = time.perf_counter()
    compiled.run(2)
    compile_time = time.perf_counter() - start
    pairs = [(compiled.run(steps), plain.run(steps)) for _ in range(rounds)]
    return {
        "benchmark": "compile",
        "case": f"{'image' if kind is CLIPImageTower else 'text'} tower, batch {batch_size}, {device}",
        "time_ratio": statistics.median(own / other for own, other in pairs),
        "time_s": statistics.median(own for own, _ in pairs),
        "reference_s": statistics.median(other for _, other in pairs),
        "compile_s": compile_time,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=5, help="per round and side")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--json", type=Path, help="write the rows here as well")
    arguments = parser.parse_args()
    rows = [
        compare(kind, arguments.batch_size, arguments.steps, arguments.rounds, arguments.device)
        for kind in (CLIPImageTower, CLIPTextTower)
    ]
    print_rows(rows)
    for row in rows:
        print(f"{row['case']}: compiling took {row['compile_s']:.0f} s")
    write_rows(rows, arguments.json)


if __name__ == "__main__":
    main()
