"""What a training would cost on 1 to 1,024 GPUs: speed, FLOPs, memory, traffic, loaders; a model, no measurement.

Examples:
    python tools/analysis/scaling.py CONFIG                                    # the config's batch per GPU
    python tools/analysis/scaling.py CONFIG --global-batch 32768 --gpus 8 64   # the same training on more GPUs
    python tools/analysis/scaling.py CONFIG --micro-batch 128 --tile 256       # what would these options change?
    python tools/analysis/scaling.py CONFIG --sharded --samples 12.8e9         # FSDP; hours for so many pairs
    python tools/analysis/scaling.py CONFIG --peak 312e12 --utilisation 0.35 --between 25e9    # A100s, 200 Gbit/s

FLOPs and activations are counted by running the config's towers on tensors without memory (seconds, no GPU); the rest
is arithmetic whose formulas and sources are in tools/analysis/cost/formulas.py. What was checked against measurements
is listed in docs/scaling.md. Peak, utilisation and link speeds are assumptions: set --utilisation so that the row of
one GPU agrees with what `tools/train.py CONFIG --dry-run` measures on yours. The cost of validation is left out.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from cost.counting import ModelCost, count_model
from cost.formulas import Cluster, Training
from cost.report import format_report, make_row
from mmengine.config import Config
from mmengine.registry import init_default_scope


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="a config that trains a CLIPModel; weights are not needed")
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 8, 64, 256, 1024], help="a row for each")
    batch = parser.add_mutually_exclusive_group()
    batch.add_argument("--batch-size", type=int, help="pairs per GPU and step (default: the config's)")
    batch.add_argument("--global-batch", type=int, help="pairs per step, over all GPUs; must divide evenly")
    parser.add_argument("--samples", type=float, default=12.8e9, help="pairs of the whole training (default: 12.8e9)")
    parser.add_argument("--text-tokens", type=int, help="columns of the token matrix (default: the context)")
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16", help="autocast, or none")
    parser.add_argument("--micro-batch", type=int, help="model.micro_batch; 0 is off (default: the config's)")
    parser.add_argument("--tile", type=int, help="model.loss.tile; 0 is dense (default: the config's)")
    parser.add_argument(
        "--grad-checkpointing", action="store_true", help="in both towers (default: the config's for each)"
    )
    parser.add_argument("--sharded", action="store_true", help="FSDP (default: what the config's strategy says)")
    parser.add_argument("--peak", type=float, default=989e12, help="FLOP/s of a GPU (default: H100, bf16, dense)")
    parser.add_argument("--utilisation", type=float, default=0.4, help="share of the peak reached (default: 0.4)")
    parser.add_argument("--gpu-memory", type=float, default=80e9, help="bytes of a GPU (default: 80e9)")
    parser.add_argument("--per-node", type=int, default=8, help="GPUs of a node (default: 8)")
    parser.add_argument("--within", type=float, default=300e9, help="bytes/s of a GPU to its node (default: 300e9)")
    parser.add_argument("--between", type=float, default=50e9, help="bytes/s of a node to others (default: 50e9)")
    parser.add_argument("--worker-rate", type=float, default=100, help="samples/s of one loader worker (default: 100)")
    parser.add_argument("--json", type=Path, help="write the rows here as well")
    return parser.parse_args(argv)


def make_training(arguments: argparse.Namespace, model: ModelCost, gpus: int) -> Training:
    """The options of one row.

    Raises:
        ValueError: a global batch that the GPUs cannot share evenly.
    """
    pairs = arguments.batch_size or model.rank_batch
    if arguments.global_batch:
        if arguments.global_batch % gpus:
            raise ValueError(f"--global-batch {arguments.global_batch} cannot be shared evenly by {gpus} GPUs")
        pairs = arguments.global_batch // gpus
    micro_batch = model.micro_batch if arguments.micro_batch is None else arguments.micro_batch or None
    tile = model.tile if arguments.tile is None else arguments.tile or None
    sharded = arguments.sharded or model.sharded
    return Training(pairs, sharded, arguments.precision == "bf16", micro_batch, tile)


def read_model(arguments: argparse.Namespace) -> ModelCost:
    """Count the config's model.

    Raises:
        FileNotFoundError: no such config.
        ValueError: a config without a pair of towers to train.
    """
    if not arguments.config.is_file():
        raise FileNotFoundError(f"config {arguments.config} does not exist")
    config = Config.fromfile(arguments.config)
    init_default_scope(config.get("default_scope", "mmpretrain"))
    if arguments.grad_checkpointing:
        for tower in ("image_tower", "text_tower"):
            config.model[tower].grad_checkpointing = True
    return count_model(config, arguments.precision == "bf16", arguments.text_tokens)


def main(argv: list[str] | None = None) -> None:
    """Count, calculate, print."""
    arguments = parse_arguments(argv)
    for name in ("samples", "peak", "utilisation", "within", "between", "per_node", "worker_rate"):
        if getattr(arguments, name) <= 0:
            raise ValueError(f"--{name.replace('_', '-')} must be greater than 0, got {getattr(arguments, name):g}")
    if min(arguments.gpus) < 1:
        raise ValueError(f"--gpus must be at least 1, got {min(arguments.gpus)}")
    for name, least in (("batch_size", 1), ("global_batch", 1), ("text_tokens", 1), ("micro_batch", 0), ("tile", 0)):
        if (value := getattr(arguments, name)) is not None and value < least:
            raise ValueError(f"--{name.replace('_', '-')} must be at least {least}, got {value}")
    model = read_model(arguments)
    rows = []
    for gpus in arguments.gpus:
        cluster = Cluster(
            gpus, arguments.per_node, arguments.peak, arguments.utilisation, arguments.within, arguments.between
        )
        training = make_training(arguments, model, gpus)
        rows.append(make_row(model, training, cluster, arguments.samples, arguments.gpu_memory, arguments.worker_rate))
    print(format_report(model, rows, f"{arguments.config.stem}, {arguments.precision}"))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except (FileNotFoundError, ValueError) as problem:
        sys.stderr.write(f"error: {problem}\n")
        sys.exit(2)
