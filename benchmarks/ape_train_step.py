"""A training step of APE-T on cached features against the plain form, which copies texts and keys in every step.

Ours is `APETHead.loss`, factorised. The reference adds the residual to copies of the texts and of all keys, and
multiplies with one-hot labels, as published. Forward and backward, float32, one thread, in turn; the median is taken of
seconds of the processor. The gradients of both are compared.

    python benchmarks/ape_train_step.py [--classes 1000] [--shots 16] [--batch-size 256] [--json RESULT.json]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from measure import in_own_process, peak_memory_mb, print_rows, write_rows
from mmpretrain.registry import MODELS
from torch import Tensor

import clipplus.methods.ape  # noqa: F401 - registers the head
from clipplus.methods.ape.logits import unit

WIDTH, CHANNELS = 1024, 500


class Step:
    """A fitted head and a batch of features."""

    def __init__(self, classes: int, shots: int, batch_size: int) -> None:
        torch.set_num_threads(1)
        generator = torch.Generator().manual_seed(0)
        labels = torch.arange(classes).repeat_interleave(shots)
        text, keys, self.features = (
            unit(torch.randn(rows, WIDTH, generator=generator)) for rows in (classes, len(labels), batch_size)
        )
        self.targets = torch.randint(classes, (batch_size,), generator=generator)
        self.head = MODELS.build(dict(type="mmpretrain.APETHead", num_channels=CHANNELS, alpha=2.0, beta=1.0))
        self.head.fit(text, keys, labels)
        self.one_hot = F.one_hot(labels).float()

    def factorised(self) -> Tensor:
        """Ours."""
        return self.head.loss(self.features, self.targets)["loss_class"]

    def plain(self) -> Tensor:
        """The published form."""
        head = self.head
        text = head.text_weight.index_add(1, head.channels, head.residual)
        keys = head.cache_keys.index_add(1, head.channels, head.residual[head.cache_labels])
        affinity = torch.exp(-float(head.beta) * (1 - self.features @ keys.T))
        cached = affinity @ (self.one_hot * head.value_weights[:, None])
        return F.cross_entropy(100 * self.features @ text.T + float(head.alpha) * cached, self.targets)

    def gradients(self, form: Callable[[], Tensor]) -> list[Tensor]:
        """Of residual and value weights."""
        return list(torch.autograd.grad(form(), [self.head.residual, self.head.value_weights]))


def measure(name: str, sizes: tuple[int, int, int], steps: int) -> tuple[float, float, list[Tensor]]:
    """Median seconds, MB above the inputs, and gradients."""
    step = Step(*sizes)
    form, times, gradients = getattr(step, name), [], []
    peak = peak_memory_mb(lambda: gradients.extend(step.gradients(form)))
    for _ in range(steps):
        start = time.process_time()
        step.gradients(form)
        times.append(time.process_time() - start)
    return statistics.median(times), peak, gradients


def compare(sizes: tuple[int, int, int], steps: int) -> dict[str, str | float]:
    """One row of the table."""
    time_s, peak_mb, gradients = in_own_process(measure, "factorised", sizes, steps)
    reference_s, reference_mb, expected = in_own_process(measure, "plain", sizes, steps)
    errors = [
        float((own - other).abs().max() / other.abs().max()) for own, other in zip(gradients, expected, strict=True)
    ]
    print(f"gradients differ by {max(errors):.1e} of the largest")
    return {
        "benchmark": "ape_train_step",
        "case": "{} classes, {} shots, batch {}".format(*sizes),
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
    parser.add_argument("--classes", type=int, default=1_000)
    parser.add_argument("--shots", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the row here as well")
    arguments = parser.parse_args()
    rows = [compare((arguments.classes, arguments.shots, arguments.batch_size), arguments.steps)]
    print_rows(rows)
    write_rows(rows, arguments.json)


if __name__ == "__main__":
    main()
