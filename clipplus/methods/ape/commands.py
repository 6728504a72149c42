"""`clipplus ape ...`: tables of accuracy over shots, official files in and out, growing a fitted classifier."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import DictAction

from clipplus.methods.ape.table import Table, table_cells
from clipplus.methods.ape.table_report import write_report

_EPILOG = """examples:
  clipplus ape table configs/ape/*_16shot_emoji.py --shots 1 2 4 8 16 --seeds 1 2 3 --out work_dirs/ape_emoji
  clipplus ape table configs/ape/*_16shot_emoji.py --out work_dirs/ape_emoji --print
"""


def build_parser() -> argparse.ArgumentParser:
    """All commands of the method."""
    parser = argparse.ArgumentParser(
        prog="clipplus ape", description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    table = commands.add_parser("table", help="fit configs with several shots and seeds, and write one table")
    table.add_argument("configs", nargs="+", type=Path, metavar="CONFIG", help="few-shot configs, one row each")
    table.add_argument("--shots", nargs="+", type=int, default=[1, 2, 4, 8, 16], help="pictures per class")
    table.add_argument(
        "--seeds", nargs="+", type=int, default=[1, 2, 3], help="of the draw of the shots and of the run"
    )
    table.add_argument("--out", type=Path, default=Path("work_dirs/ape_table"), help="of results and tables")
    table.add_argument("--work-dir", type=Path, help="of the fits' logs (default: OUT/fits)")
    table.add_argument("--redo", action="store_true", help="run finished cells again whose config or start is another")
    table.add_argument("--keep", action="store_true", help="keep the checkpoints of the fits")
    table.add_argument("--print", action="store_true", help="write and print the table so far, run nothing")
    table.add_argument("--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE", help="for all configs")
    table.set_defaults(run=run_table)
    return parser


def run_table(arguments: argparse.Namespace) -> int:
    """Run what is missing and write the table; 1 when a cell failed.

    Raises:
        FileNotFoundError: a config that does not exist.
        ValueError: a config that has no shots, or options that it does not have.
    """
    table = Table(
        table_cells(arguments.configs, arguments.shots, arguments.seeds), arguments.out, arguments.cfg_options
    )
    failed = 0
    if not arguments.print:
        due = table.due(arguments.redo)
        for number, cell in enumerate(due, start=1):
            begun = time.monotonic()
            try:
                record = table.run(cell, arguments.work_dir or arguments.out / "fits", arguments.keep)
            # One cell's trouble is not that of the others; it is told, and the cell stays missing.
            except (OSError, RuntimeError, ValueError) as error:
                failed += 1
                sys.stdout.write(f"[{number}/{len(due)}] {cell}: FAILED: {error}\n")
                continue
            accuracies = ", ".join(f"{name} {value:.2f}" for name, value in record["metrics"].items())
            sys.stdout.write(f"[{number}/{len(due)}] {cell}: {accuracies} ({time.monotonic() - begun:.1f} s)\n")
            sys.stdout.flush()
    sys.stdout.write(write_report(table))
    return 1 if failed else 0


def main(argv: Sequence[str]) -> int:
    """Entry point of `clipplus ape`; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    return int(arguments.run(arguments))
