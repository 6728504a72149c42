"""`clipplus ape ...`: tables of accuracy over shots, official files in and out, growing a fitted classifier."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import DictAction

from clipplus.engine.build_errors import BAD_PARTS, build_error
from clipplus.evaluation import ImageFeatures
from clipplus.methods.ape.cache_head import CacheHead
from clipplus.methods.ape.checkpoints import (
    load_head,
    read_official,
    save_head,
    write_features,
    write_features_config,
    write_official,
)
from clipplus.methods.ape.feature_dataset import FeatureDataset
from clipplus.methods.ape.fit_record import KEY
from clipplus.methods.ape.heads import APEHead
from clipplus.methods.ape.logits import unit
from clipplus.methods.ape.search_on import SearchPlan, accuracies, describe, require_no_shots, search, search_record
from clipplus.methods.ape.stored_texts import StoredClassTexts
from clipplus.methods.ape.table import Table, table_cells
from clipplus.methods.ape.table_report import write_report

_EPILOG = """examples:
  clipplus ape table configs/ape/*_16shot_emoji.py --shots 1 2 4 8 16 --seeds 1 2 3 --out work_dirs/ape_emoji
  clipplus ape table configs/ape/*_16shot_emoji.py --out work_dirs/ape_emoji --print
  clipplus ape import caches/dtd --shots 16 --out data/features/dtd --config configs/ape/NAME.py
  clipplus ape export work_dirs/NAME/best.pth --out small.pth --slim
  clipplus ape extend work_dirs/NAME/best.pth --features more.safetensors --out grown.pth
"""


def build_parser() -> argparse.ArgumentParser:
    """All commands of the method."""
    parser = argparse.ArgumentParser(
        prog="clipplus ape", description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    table = commands.add_parser("table", help="fit configs with several shots and seeds, and write one table")
    table.add_argument("configs", nargs="+", type=Path, metavar="CONFIG", help="few-shot configs, one row each")
    table.add_argument("--shots", nargs="+", type=int, default=[1, 2, 4, 8, 16], help="per class (default: 1 2 4 8 16)")
    table.add_argument(
        "--seeds", nargs="+", type=int, default=[1, 2, 3], help="of the shots and of the run (default: 1 2 3)"
    )
    table.add_argument(
        "--out", type=Path, default=Path("work_dirs/ape_table"), help="folder of results (default: work_dirs/ape_table)"
    )
    table.add_argument("--work-dir", type=Path, help="folder of the fits' logs (default: OUT/fits)")
    table.add_argument("--redo", action="store_true", help="run finished cells again whose config or start is another")
    table.add_argument("--keep", action="store_true", help="keep the checkpoints of the fits")
    table.add_argument("--print", action="store_true", help="write and print the table so far, run nothing")
    table.add_argument("--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE", help="for all configs")
    table.set_defaults(run=run_table)
    importer = commands.add_parser("import", help="the published code's stored features as files of ours")
    importer.add_argument("folder", type=Path, help="with text_weights_cupl_t.pt, keys_16shots.pt, ...")
    importer.add_argument("--shots", type=int, required=True, help="K of the cache")
    importer.add_argument("--out", type=Path, required=True, help="folder to write to")
    importer.add_argument("--config", type=Path, help="also write this config for the files, into the same folder")
    importer.add_argument("--keep-bits", action="store_true", help="do not make rows of length 1 again")
    importer.set_defaults(run=run_import)
    exporter = commands.add_parser("export", help="a fitted classifier as a small file, or for the published code")
    exporter.add_argument("checkpoint", type=Path, help="a best.pth")
    exporter.add_argument("--out", type=Path, required=True, help=".pth, .safetensors, or with --official a folder")
    exporter.add_argument("--slim", action="store_true", help="drop the channels that APE does not compare")
    exporter.add_argument("--official", type=int, metavar="SHOTS", help="write the published code's files")
    exporter.set_defaults(run=run_export)
    extend = commands.add_parser("extend", help="add shots to a fitted classifier")
    extend.add_argument("checkpoint", type=Path, help="a best.pth")
    extend.add_argument("--features", required=True, help="safetensors file with features (N, D) and labels (N,)")
    extend.add_argument("--texts", type=Path, help="safetensors file with text_weight (C, D) of classes that are new")
    extend.add_argument(
        "--classes", nargs="+", metavar="NAME", help="what the new classes are called (default: their numbers)"
    )
    extend.add_argument(
        "--search",
        metavar="FILE",
        help="choose alpha, beta and gamma again on features (N, D) and labels (N,) of this file",
    )
    extend.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    extend.set_defaults(run=run_extend)
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
            except (OSError, RuntimeError, ValueError, *BAD_PARTS) as error:
                text = build_error(error) if isinstance(error, BAD_PARTS) else str(error)
                if text is None:
                    raise
                failed += 1
                sys.stdout.write(f"[{number}/{len(due)}] {cell}: FAILED: {text}\n")
                continue
            accuracies = ", ".join(f"{name} {value:.2f}" for name, value in record["metrics"].items())
            sys.stdout.write(f"[{number}/{len(due)}] {cell}: {accuracies} ({time.monotonic() - begun:.1f} s)\n")
            sys.stdout.flush()
    sys.stdout.write(write_report(table))
    return 1 if failed else 0


def run_import(arguments: argparse.Namespace) -> int:
    """Write `texts`, `train-{K}shot`, `val` and `test`, and on demand a config that reads them."""
    official = read_official(arguments.folder, arguments.shots, renormalize=not arguments.keep_bits)
    config = []
    if arguments.config:
        # First, since it may be refused.
        config = [write_features_config(arguments.config, arguments.out, arguments.shots, list(official.splits))]
    written = write_features(official, arguments.out, arguments.shots) + config
    sys.stdout.write("\n".join(map(str, written)) + "\n")
    return 0


def run_export(arguments: argparse.Namespace) -> int:
    """Write a fitted head in another form."""
    head, content = load_head(arguments.checkpoint)
    if arguments.official:
        write_official(head, arguments.out, arguments.official)
    else:
        if arguments.slim:
            if not isinstance(head, APEHead):
                raise ValueError(f"--slim is for APE, since {type(head).__name__} compares all channels")
            head.slim()
        save_head(head, content, arguments.out)
    sys.stdout.write(f"{arguments.out}\n")
    return 0


def run_extend(arguments: argparse.Namespace) -> int:
    """Add keys, and classes, to a fitted head and to the record of its fit; without --search all values stay.

    Raises:
        FileNotFoundError: no such file.
        ValueError: class names for another number of class texts, what `CacheHead.extend` refuses, or a search without
            a grid, or on the added features.
    """
    head, content = load_head(arguments.checkpoint)
    more = FeatureDataset(arguments.features)
    text = None if arguments.texts is None else unit(StoredClassTexts(str(arguments.texts)).text.float())
    record = content["meta"][KEY]
    known, new = len(record["classes"]), 0 if text is None else len(text)
    names = arguments.classes or list(map(str, range(known, known + new)))
    if len(names) != new:
        raise ValueError(f"--texts holds {new} new classes, but --classes names {len(names)}")
    head.extend(unit(more.features.float()), more.labels, text)
    # A test compares the names of all classes with those of its data.
    record["classes"] = [*record["classes"], *names]
    keys = [[more.get_data_info(index)["key"], int(label)] for index, label in enumerate(more.labels)]
    record["shots"] = [*record.get("shots", ()), *keys]
    if arguments.search:
        search_again(head, record, arguments.search)
    save_head(head, content, arguments.out)
    sys.stdout.write(f"{arguments.out}\n")
    return 0


def search_again(head: CacheHead, record: dict[str, Any], path: str) -> None:
    """Choose the head's values on stored features, on the grid of its fit, and note it in the record.

    Args:
        head: fitted; its values are set.
        record: of the fit; `search` is replaced.
        path: file of a `FeatureDataset`.

    Raises:
        ValueError: the fit searched nothing, or the file holds shots.
    """
    if not record.get("search"):
        raise ValueError(
            "--search: the classifier was fitted without a search, so that there is no grid to search again"
        )
    dataset, before = FeatureDataset(path), record["search"]
    names = [str(dataset.get_data_info(index)["key"]) for index in range(len(dataset))]
    require_no_shots([name for name, _ in record["shots"]], names, f"--search {path}")
    options = {name: before[name] for name in ("scale", "steps", "include_zero_alpha")}
    plan, images = SearchPlan(**options), ImageFeatures(dataset.features[None], dataset.labels, names)
    now = accuracies(head, images)
    result = search(head, images, plan)
    head.choose(**{name: result.best[name] for name in head.searched})
    record["search"] = search_record(result, now, plan, path)
    sys.stdout.write(describe(result, head.searched, now, plan, path) + "\n")


def main(argv: Sequence[str]) -> int:
    """Entry point of `clipplus ape`; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    return int(arguments.run(arguments))
