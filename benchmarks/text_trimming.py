"""Training steps of a text tower on short captions: rows cut behind the longest text against rows of the full context.

The tower has the depth and context of ViT-B-32's (12 layers, 77 tokens) and half its width. Captions have 16 tokens. A
step is forward and backward. Both sides share one tower and run in turn, several rounds; the ratio of each round is
taken, and the median printed (below 1: trimming is faster).

    python benchmarks/text_trimming.py [--batch-size 64] [--steps 3] [--rounds 5] [--json RESULT.json]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from measure import print_rows, write_rows
from torch import Tensor

from clipplus.towers import CLIPTextTower

CONTEXT, VOCABULARY = 77, 49408
MODEL = dict(
    embed_dim=256,
    quick_gelu=False,
    vision_cfg=dict(image_size=32, patch_size=32, width=32, layers=1, head_width=32),
    text_cfg=dict(context_length=CONTEXT, vocab_size=VOCABULARY, width=256, heads=4, layers=12),
)


def captions(count: int, length: int) -> Tensor:
    """Token rows (count, context), each with `length` tokens and zeros behind them."""
    rows = torch.zeros(count, CONTEXT, dtype=torch.int64)
    rows[:, : length - 1] = torch.randint(1, VOCABULARY - 1, (count, length - 1))
    rows[:, length - 1] = VOCABULARY - 1
    return rows


def step_time(tower: CLIPTextTower, encode: Callable[[Tensor], Tensor], tokens: Tensor, steps: int) -> float:
    """Seconds of a forward and a backward pass."""
    start = time.perf_counter()
    for _ in range(steps):
        tower.zero_grad()
        encode(tokens).square().mean().backward()
    return (time.perf_counter() - start) / steps


def compare(batch_size: int, length: int, steps: int, rounds: int) -> dict[str, str | float]:
    """Medians over the rounds of a step's seconds, and of the ratio trimmed / padded."""
    torch.manual_seed(0)
    tower = CLIPTextTower(MODEL).train()
    tokens = captions(batch_size, length)
    # What the tower's forward does behind its trimming.
    padded = tower._encode
    torch.testing.assert_close(tower(tokens), padded(tokens), rtol=1e-4, atol=1e-5)
    step_time(tower, tower, tokens, 1), step_time(tower, padded, tokens, 1)
    pairs = [(step_time(tower, tower, tokens, steps), step_time(tower, padded, tokens, steps)) for _ in range(rounds)]
    return {
        "benchmark": "text_trimming",
        "case": f"{length} of {CONTEXT} tokens, batch {batch_size}",
        "time_ratio": statistics.median(own / other for own, other in pairs),
        "time_s": statistics.median(own for own, _ in pairs),
        "reference_s": statistics.median(other for _, other in pairs),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--tokens", type=int, nargs="+", default=[16, 32], help="lengths of the captions")
    parser.add_argument("--steps", type=int, default=3, help="per round and side")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the rows here as well")
    arguments = parser.parse_args()
    rows = [compare(arguments.batch_size, length, arguments.steps, arguments.rounds) for length in arguments.tokens]
    print_rows(rows)
    write_rows(rows, arguments.json)


if __name__ == "__main__":
    main()
