"""`CLIPModel(micro_batch=...)` against the plain model: time, peak memory and gradients of one contrastive batch.

Each measurement runs in its own process, so that its peak is its own; memory is what the step adds to the process. The
gradients of both are compared in float64.

    python benchmarks/micro_batch.py [--micro-batch 64] [--batch-sizes 256 1024 4096] [--json RESULT.json]
"""

import argparse
import time
from pathlib import Path

import torch
from measure import in_own_process, peak_memory_mb, print_rows, return_freed_memory, write_rows
from mmengine.registry import MODELS
from torch import Tensor

import clipplus.clip  # noqa: F401 - registers the parts that are built below
from clipplus.clip import CLIPModel

TOWER = dict(
    embed_dim=128,
    quick_gelu=False,
    vision_cfg=dict(image_size=32, patch_size=8, width=128, layers=4, head_width=32),
    text_cfg=dict(context_length=16, vocab_size=1000, width=128, heads=4, layers=2),
)


def build(micro_batch: int | None) -> CLIPModel:
    """The same model for every value of `micro_batch`."""
    torch.manual_seed(0)
    return MODELS.build(
        dict(
            type="CLIPModel",
            image_tower=dict(type="CLIPImageTower", model=TOWER),
            text_tower=dict(type="CLIPTextTower", model=TOWER),
            loss=dict(type="SoftmaxContrastiveLoss"),
            micro_batch=micro_batch,
        )
    )


def draw_batch(size: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Normalised pixels and full token rows."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, 990, (size, 16), generator=generator)
    tokens[:, -1] = 999
    return torch.randn(size, 3, 32, 32, dtype=dtype, generator=generator), tokens


def step(model: CLIPModel, batch: tuple[Tensor, Tensor]) -> float:
    """Seconds of forward and backward."""
    start = time.perf_counter()
    model(*batch, mode="loss")["loss_contrast"].backward()
    return time.perf_counter() - start


def measure_time(size: int, micro_batch: int | None) -> float:
    """Seconds of a step: the second of two."""
    model, batch = build(micro_batch), draw_batch(size, torch.float32)
    return [step(model, batch) for _ in range(2)][-1]


def measure_memory(size: int, micro_batch: int | None) -> float:
    """Megabytes that a step needs at its peak."""
    return_freed_memory()
    model, batch = build(micro_batch), draw_batch(size, torch.float32)
    # Libraries and gradient buffers are there after a small step.
    step(model, (batch[0][:8], batch[1][:8]))
    return peak_memory_mb(lambda: step(model, batch))


def measure_gradients(size: int, micro_batch: int) -> float:
    """Largest difference of any gradient in float64, relative to the largest gradient."""
    batch, gradients = draw_batch(size, torch.float64), []
    for chunk in (None, micro_batch):
        model = build(chunk).double()
        step(model, batch)
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in model.parameters()]))
    plain, chunked = gradients
    return float((plain - chunked).abs().max() / plain.abs().max())


def compare(size: int, micro_batch: int) -> dict[str, object]:
    """One row."""
    seconds, reference_s = (in_own_process(measure_time, size, chunk) for chunk in (micro_batch, None))
    peak_mb, reference_mb = (in_own_process(measure_memory, size, chunk) for chunk in (micro_batch, None))
    return {
        "benchmark": "micro_batch",
        "case": f"batch {size}, micro_batch {micro_batch}",
        "time_ratio": seconds / reference_s,
        "memory_ratio": peak_mb / reference_mb,
        "time_s": seconds,
        "reference_s": reference_s,
        "peak_mb": peak_mb,
        "reference_peak_mb": reference_mb,
        "gradient_difference": in_own_process(measure_gradients, size, micro_batch),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[256, 1024, 4096])
    parser.add_argument("--micro-batch", type=int, default=64)
    parser.add_argument("--json", type=Path, help="write the rows here as well")
    arguments = parser.parse_args()
    rows = [compare(size, arguments.micro_batch) for size in arguments.batch_sizes]
    print_rows(rows)
    print(f"largest gradient difference in float64: {max(row['gradient_difference'] for row in rows):.1e}")
    write_rows(rows, arguments.json)


if __name__ == "__main__":
    main()
