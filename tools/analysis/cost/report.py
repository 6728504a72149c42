"""The table of tools/analysis/scaling.py."""

import math
from dataclasses import dataclass

from cost.counting import ModelCost
from cost.formulas import (
    Cluster,
    Memory,
    StepTime,
    Traffic,
    Training,
    bottleneck,
    memory,
    step_flops,
    step_time,
    traffic,
)


@dataclass(frozen=True)
class Row:
    """One number of GPUs; per GPU unless said otherwise.

    Attributes:
        gpus, rank_batch: N and b.
        patches, tokens: image patches and text tokens of all GPUs per step.
        flops: of a step.
        time, memory, traffic: of a step.
        samples_per_second: of all GPUs.
        hours: for all samples.
        node_samples_per_second, node_pixels_per_second: what the loaders of a node must deliver; decoded bytes.
        workers: loader workers per GPU for that.
        bottleneck: largest part of a step.
    """

    gpus: int
    rank_batch: int
    sharded: bool
    patches: int
    tokens: int
    flops: float
    time: StepTime
    memory: Memory
    traffic: Traffic
    samples_per_second: float
    hours: float
    node_samples_per_second: float
    node_pixels_per_second: float
    workers: int
    bottleneck: str


def make_row(
    model: ModelCost, training: Training, cluster: Cluster, samples: float, gpu_memory: float, worker_rate: float
) -> Row:
    """All figures for one cluster.

    Args:
        model: counts per sample.
        training: options.
        cluster: machines.
        samples: pairs of the whole training.
        gpu_memory: bytes of a GPU.
        worker_rate: samples/s of one loader worker.
    """
    time = step_time(model, training, cluster)
    need = memory(model, training, cluster.gpus)
    pairs = training.rank_batch * cluster.gpus
    rate = pairs / time.total
    per_node = rate / cluster.gpus * min(cluster.gpus, cluster.per_node)
    return Row(
        gpus=cluster.gpus,
        rank_batch=training.rank_batch,
        sharded=training.sharded,
        patches=pairs * model.image.tokens,
        tokens=pairs * model.text.tokens,
        flops=step_flops(model, training, cluster.gpus),
        time=time,
        memory=need,
        traffic=traffic(model, training, cluster.gpus),
        samples_per_second=rate,
        hours=samples / rate / 3600,
        node_samples_per_second=per_node,
        node_pixels_per_second=per_node * model.pixels,
        workers=math.ceil(rate / cluster.gpus / worker_rate),
        bottleneck=bottleneck(time, need.total < gpu_memory),
    )


def format_report(model: ModelCost, rows: list[Row], title: str) -> str:
    """Two Markdown tables: speed, and what a GPU needs."""
    image, text = model.image, model.text
    head = (
        f"{title}: a model, not a measurement\n\n"
        f"image tower {image.parameters / 1e6:.1f} M parameters, {image.tokens} tokens, "
        f"{image.forward_flops / 1e9:.1f} + {image.backward_flops / 1e9:.1f} GFLOPs, "
        f"{image.activation_bytes / 1e6:.0f} MB of activations per image; "
        f"text tower {text.parameters / 1e6:.1f} M, {text.tokens} tokens, {text.forward_flops / 1e9:.1f} + "
        f"{text.backward_flops / 1e9:.1f} GFLOPs, {text.activation_bytes / 1e6:.0f} MB per text\n"
    )
    speed = _table(
        ("GPUs", "batch", "samples/s", "hours", "M patches", "M tokens", "TFLOPs/GPU", "compute s", "exposed s",
         "features s", "largest"),
        [
            (f"{r.gpus:,}", f"{r.rank_batch * r.gpus:,}", f"{r.samples_per_second:,.0f}", f"{r.hours:,.1f}",
             f"{r.patches / 1e6:.3g}", f"{r.tokens / 1e6:.3g}", f"{r.flops / 1e12:,.1f}", f"{r.time.compute:.3f}",
             f"{r.time.exposed:.3f}", f"{r.time.features:.4f}", r.bottleneck)
            for r in rows
        ],
    )  # fmt: skip
    needs = _table(
        ("GPUs", "weights GB", "gradients GB", "optimiser GB", "activations GB", "contrast GB", "batch GB", "sum GB",
         "sends state GB", "sends features GB", "samples/s/node", "MB/s/node", "workers/GPU"),
        [
            (f"{r.gpus:,}", *(f"{part / 1e9:.2f}" for part in (
                r.memory.weights, r.memory.gradients, r.memory.optimizer, r.memory.activations, r.memory.contrast,
                r.memory.batch, r.memory.total, r.traffic.gradients + r.traffic.weights, r.traffic.features)),
             f"{r.node_samples_per_second:,.0f}", f"{r.node_pixels_per_second / 1e6:,.0f}", str(r.workers))
            for r in rows
        ],
    )  # fmt: skip
    return f"{head}\n{speed}\n\nPer GPU, and per node for the loaders:\n\n{needs}"


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(heads, *rows, strict=True)]
    lines = [" | ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in (heads, *rows)]
    rule = "|".join("-" * (width + 1) + ":" for width in widths)
    return "\n".join([f"| {lines[0]} |", f"|{rule}|", *(f"| {line} |" for line in lines[1:])])
