"""`clipplus clip_fsar ...`: the weight of texts in combined answers, and checkpoints of the published code."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

from clipplus.markdown import markdown_table
from clipplus.methods.clip_fsar.checkpoints import import_official
from clipplus.methods.clip_fsar.combine_weight import store_weight, sweep

_EPILOG = """examples:
  clipplus clip_fsar combine configs/clip_fsar/NAME.py work_dirs/NAME/epoch_2.pth --out work_dirs/NAME/combined.pth
  clipplus clip_fsar import checkpoint_epoch_00020.pyth --out clip-fsar.pth
"""


def build_parser() -> argparse.ArgumentParser:
    """All commands of the method."""
    parser = argparse.ArgumentParser(
        prog="clipplus clip_fsar", description=__doc__, epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    combine = commands.add_parser("combine", help="choose on validation classes how much texts count")
    combine.add_argument("config", type=Path, help="of the training; its validation episodes are used")
    combine.add_argument("checkpoint", type=Path, help="a trained CLIP-FSAR")
    combine.add_argument("--out", type=Path, required=True, help="checkpoint to write, with the weight in it")
    combine.add_argument("--steps", type=int, default=21, help="weights from 0 to 1 that are tried (default: 21)")
    combine.set_defaults(run=run_combine)
    importer = commands.add_parser("import", help="a checkpoint of the published code as one of ours")
    importer.add_argument("checkpoint", type=Path, help="checkpoint_epoch_XXXXX.pyth")
    importer.add_argument("--out", type=Path, required=True, help=".pth file to write")
    importer.add_argument("--average", action="store_true", help="take the averaged weights, if the file has some")
    importer.set_defaults(run=run_import)
    return parser


def run_combine(arguments: argparse.Namespace) -> int:
    """Try all weights, print their accuracies, write the checkpoint with the best one.

    Raises:
        FileNotFoundError: no such file.
        ValueError: see `sweep` and `store_weight`.
    """
    for path in (arguments.config, arguments.checkpoint):
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist")
    config = Config.fromfile(arguments.config)
    config.work_dir = str(arguments.out.parent / "combine")
    config.log_level = "WARNING"
    accuracies = sweep(config, arguments.checkpoint, arguments.steps)
    weight = store_weight(arguments.checkpoint, arguments.out, accuracies)
    rows = [[f"{w:g}", f"{value:.2f}" + (" <- chosen" if w == weight else "")] for w, value in accuracies.items()]
    head = ["weight of texts", "accuracy on validation (%)"]
    sys.stdout.write(f"{markdown_table([head, *rows])}\n{arguments.out}\n")
    return 0


def run_import(arguments: argparse.Namespace) -> int:
    """Write the weights under our names."""
    import_official(arguments.checkpoint, arguments.out, average=arguments.average)
    sys.stdout.write(f"{arguments.out}\n")
    return 0


def main(argv: Sequence[str]) -> int:
    """Entry point of `clipplus clip_fsar`; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    return int(arguments.run(arguments))
