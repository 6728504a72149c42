"""`clipplus ma_clip import-...`: weights of ancestors as a start."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from clipplus.methods.ma_clip.checkpoints import (
    adapters_of_aim,
    read_weights,
    transformer_of_clip_fsar,
    write_start,
)

_IMPORTERS = {"import-aim": adapters_of_aim, "import-clip-fsar": transformer_of_clip_fsar}


def build_parser() -> argparse.ArgumentParser:
    """All commands of the method."""
    parser = argparse.ArgumentParser(prog="clipplus ma_clip", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (
        ("import-aim", "adapters and temporal embedding of AIM"),
        ("import-clip-fsar", "the transformer of CLIP-FSAR as TPCM"),
    ):
        importer = commands.add_parser(name, help=text)
        importer.add_argument("checkpoint", type=Path, help="of the published code")
        importer.add_argument("--out", type=Path, required=True, help=".pth file to write, for load_from")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; errors end in one line."""
    options = build_parser().parse_args(arguments)
    try:
        weights = _IMPORTERS[options.command](read_weights(options.checkpoint))
        write_start(weights, options.out)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"clipplus ma_clip: {error}\n")
        return 1
    sys.stdout.write(f"{options.out}: {len(weights)} weights\n")
    return 0
