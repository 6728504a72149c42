"""Training steps of a whole CLIP on a GPU in bfloat16, against open_clip's model and loss under the same autocast.

Both have fresh weights, the same fixed pixels (uint8, normalised in the step) and full token rows on the device, and
fused AdamW; a step is forward, backward and update. Rounds go in turn, the median of their ratios is printed. Short
texts, chunks and compiled towers are ours alone: their reference is open_clip with padded texts, and our whole batch in
eager mode. The share of the peak is the FLOPs that torch counts, by seconds, by `--peak-tflops`.

    python benchmarks/gpu_train_step.py [--model ViT-B-16] [--batch-size 512] [--json RESULT.json]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import open_clip
import torch
from measure import print_rows, write_rows
from mmengine.registry import MODELS
from open_clip.loss import ClipLoss
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import clipplus.clip  # noqa: F401 - registers the parts that are built below
from clipplus.engine.optim import AutoAmpOptimWrapper

CONTEXT, VOCABULARY = 77, 49408
Batch = tuple[Tensor, Tensor]
Step = Callable[[Batch], Tensor]


def draw(size: int, tokens: int, side: int, context: int = CONTEXT) -> Batch:
    """Pixels and token rows on the device; our loader cuts a batch to its longest row."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.zeros(size, context, dtype=torch.int64)
    rows[:, : tokens - 1] = torch.randint(1, VOCABULARY - 2, (size, tokens - 1), generator=generator)
    rows[:, tokens - 1] = VOCABULARY - 1
    pixels = torch.randint(0, 256, (size, 3, side, side), dtype=torch.uint8, generator=generator)
    return pixels.cuda(), rows.cuda()


def normalized(pixels: Tensor) -> Tensor:
    """(B, 3, H, W) uint8 to what a tower expects."""
    return pixels.float().sub_(115.0).div_(70.0)


def updating(model: nn.Module, loss: Callable[[nn.Module, Batch], Tensor]) -> Step:
    """A step of `model` with the optimiser of our configs."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    wrapper = AutoAmpOptimWrapper(optimizer=optimizer)

    def step(batch: Batch) -> Tensor:
        with wrapper.optim_context(model):
            value = loss(model, batch)
        wrapper.update_params(value)
        return value

    return step


def ours(name: str, **options: object) -> Step:
    """`CLIPModel` as configs build it."""
    tower = dict(model=name, compile=options.pop("compile", False))
    config = dict(
        type="CLIPModel",
        image_tower=dict(type="CLIPImageTower", **tower),
        text_tower=dict(type="CLIPTextTower", **tower),
        loss=dict(type="SoftmaxContrastiveLoss"),
        **options,
    )
    model = MODELS.build(config).cuda().train()
    return updating(model, lambda model, batch: model(normalized(batch[0]), batch[1], mode="loss")["loss_contrast"])


def open_clips(name: str) -> Step:
    """open_clip's model and loss."""
    model = open_clip.create_model(name, output_dict=True).cuda().train()
    contrast = ClipLoss()
    return updating(model, lambda model, batch: contrast(**model(normalized(batch[0]), batch[1])))


def seconds(step: Step, batch: Batch, steps: int) -> float:
    """Of one step."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(steps):
        step(batch)
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / steps


def peak_mb(step: Step, batch: Batch) -> float:
    """Memory of a step, weights and optimiser states included."""
    torch.cuda.reset_peak_memory_stats()
    step(batch)
    return torch.cuda.max_memory_allocated() / 1e6


def flops(step: Step, batch: Batch) -> int:
    """Of a step, counted by torch."""
    with FlopCounterMode(display=False) as counter:
        step(batch)
    return int(counter.get_total_flops())


def compare(
    case: str, make: Callable[[], Step], batch: Batch, other: Callable[[], Step], reference: Batch
) -> dict[str, str | float]:
    """One row; each side has the device for itself when its memory is measured."""
    memory = []
    for build, inputs in ((make, batch), (other, reference)):
        step = build()
        step(inputs)
        memory.append(peak_mb(step, inputs))
        del step
        torch.cuda.empty_cache()
    own, theirs = make(), other()
    for step, inputs in ((own, batch), (theirs, reference)):
        seconds(step, inputs, 3)
    pairs = [(seconds(own, batch, 4), seconds(theirs, reference, 4)) for _ in range(3)]
    time_s = statistics.median(pair[0] for pair in pairs)
    return {
        "benchmark": "gpu_train_step",
        "case": case,
        "time_ratio": statistics.median(mine / other_s for mine, other_s in pairs),
        "memory_ratio": memory[0] / memory[1],
        "time_s": time_s,
        "reference_s": statistics.median(pair[1] for pair in pairs),
        "peak_mb": memory[0],
        "reference_peak_mb": memory[1],
        "pairs_per_s": len(batch[0]) / time_s,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ViT-B-16", help="open_clip model name")
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--micro-batch", type=int, default=128)
    parser.add_argument("--peak-tflops", type=float, default=989.0, help="of the device in bfloat16; H100 and H200")
    parser.add_argument("--json", type=Path, help="write the rows here as well")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("this benchmark needs a GPU; benchmarks/train_step.py runs on a CPU")
    name, size = arguments.model, arguments.batch_size
    side = open_clip.get_model_config(name)["vision_cfg"]["image_size"]
    full, trimmed, padded = draw(size, CONTEXT, side), draw(size, 16, side, 16), draw(size, 16, side)
    chunks = arguments.micro_batch

    def plain() -> Step:
        return ours(name)

    def reference() -> Step:
        return open_clips(name)

    cases: list[tuple[str, Callable[[], Step], Batch, Callable[[], Step], Batch]] = [
        (f"batch {size}, 77 tokens", plain, full, reference, full),
        (f"batch {size}, 16 tokens", plain, trimmed, reference, padded),
        (f"micro_batch={chunks}, 77 tokens", lambda: ours(name, micro_batch=chunks), full, plain, full),
        ("compiled towers, 77 tokens", lambda: ours(name, compile=True), full, plain, full),
    ]
    rows = [compare(*case) for case in cases]
    print(torch.cuda.get_device_name())
    print_rows(rows)
    for row in rows:
        print(f"{row['case']}: {row['pairs_per_s']:,.0f} pairs/s")
    share = flops(ours(name), full) / rows[0]["time_s"] / arguments.peak_tflops / 1e12
    print(f"{rows[0]['case']}: {share:.0%} of {arguments.peak_tflops:g} TFLOP/s")
    write_rows(rows, arguments.json)


if __name__ == "__main__":
    main()
