"""Make captioned pictures of some 1,500 things in several drawing styles, and scenes of them, from emoji icon packages.

The drawings come from Iconify's npm packages (`@iconify-json/<style>`), their English labels, keywords and groups from
`emojibase-data`. A thing is an entry of emojibase that has a group, is neither a flag nor a component (hair, skin tone)
and is not the man's or woman's form of another entry; skin tones are not entries of their own. Every thing is a class,
and the classes depend on emojibase alone: they are the same for every style.

What is written below --out:
    <style>/<group>/<label>.png     the drawings on white; the groups are class folders
    <style>/SOURCE.json             package, version, author and licence of these drawings
    <style>.jsonl                   records for CaptionDataset: key, image, captions, gt_label, group, subgroup, emoji
    classes.json                    the labels of all things; position = gt_label
    packages/*.tgz                  what npm fetched
and with --scenes (two to four common things on a background; the style --scenes-val-style is kept for validation):
    scenes/<split>/{images,masks}/  pictures, and masks whose values are positions in scenes_classes.json
    scenes/<split>/SOURCE.json      packages and settings
    scenes_<split>.jsonl            records for CaptionDataset: key, image, mask, captions, nouns
    scenes_classes.json             'background' and the things that scenes can show

The captions of a drawing are its label (kind 'raw'), every keyword (kind 'short') and label with all keywords (kind
'long').

Examples:
    python tools/data/emoji.py --style noto openmoji twemoji --out data/emoji
    python tools/data/emoji.py --style noto --out data/emoji --size 224
    python tools/data/emoji.py --style noto openmoji twemoji --out data/emoji --scenes 4000 --scenes-val 500
    # without npm: files fetched elsewhere with `npm pack @iconify-json/noto emojibase-data`
    python tools/data/emoji.py --package iconify-json-noto-1.2.9.tgz --emojibase emojibase-data-17.0.0.tgz

An interrupted run goes on where it stopped. Mind the licences that are printed when you publish pictures.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from emoji_drawings import build_style, source_of, write_classes
from emoji_packages import Thing, fetch_package, list_things, read_icons, read_names, require_style_name
from emoji_scenes import Split, build_split, report_split


def open_packages(arguments: argparse.Namespace) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The icon packages of all styles, and emojibase's names.

    Raises:
        ValueError: a style that none of the given packages has, or a package that is none.
    """
    fetched = arguments.out / "packages"
    if arguments.package:
        packages = {p["info.json"]["prefix"]: p for p in map(read_icons, arguments.package)}
        styles = arguments.style or list(packages)
        unknown = [style for style in styles if style not in packages]
        if unknown:
            raise ValueError(f"--style {' '.join(unknown)}: the packages given have the styles {', '.join(packages)}")
    else:
        styles = arguments.style or ["noto"]
        for style in styles:
            require_style_name(style, "--style")
        packages = {s: read_icons(fetch_package(f"@iconify-json/{s}", fetched)) for s in styles}
    names = arguments.emojibase or fetch_package("emojibase-data", fetched)
    return [packages[style] for style in dict.fromkeys(styles)], read_names(names)


def split_packages(
    packages: list[dict[str, Any]], arguments: argparse.Namespace
) -> list[tuple[Split, list[dict[str, Any]], int]]:
    """The splits of scenes that are asked for, each with its packages and number of scenes.

    Raises:
        ValueError: no style is left for a split.
    """
    aside = [p for p in packages if p["info.json"]["prefix"] == arguments.scenes_val_style]
    others = [p for p in packages if p not in aside]
    counts = {"train": arguments.scenes, "val": arguments.scenes_val if arguments.scenes else 0}
    splits = []
    for name, drawn_from in {"train": others, "val": aside}.items():
        if counts[name] and not drawn_from:
            found = ", ".join(p["info.json"]["prefix"] for p in packages)
            raise ValueError(
                f"no style is left for the scenes of '{name}': the styles are {found}, and "
                f"--scenes-val-style {arguments.scenes_val_style} alone is for validation (--scenes-val 0: none)"
            )
        if counts[name]:
            split = Split(name, arguments.out, arguments.scenes_size, arguments.seed)
            splits.append((split, drawn_from, counts[name]))
    return splits


def report(result: dict[str, Any], source: dict[str, Any]) -> None:
    """Print what became of a style, and its licence."""
    style, missing, failed = result["style"], result["missing"], result["failed"]
    print(f"{style}: {result['drawn']} things ({result['new']} newly drawn)")
    if missing:
        print(f"  {len(missing)} are not in the package: {', '.join(missing[:5])}")
    for label, error in list(failed.items())[:5]:
        print(f"  left out '{label}': {error}")
    if failed:
        print(f"  {len(failed)} could not be drawn: {', '.join(failed)}")
    print(f"  drawings by {source['author']}, licence {source['license']} {source['license_url']}")


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--style", nargs="+", help="names below @iconify-json: noto, openmoji, twemoji (default: noto)")
    parser.add_argument("--out", type=Path, default=Path("data/emoji"), help="folder to write to (default: data/emoji)")
    parser.add_argument("--size", type=int, default=96, help="side of the pictures in pixels (default: 96)")
    parser.add_argument("--package", nargs="+", type=Path, metavar="FILE.tgz", help="icon packages, instead of npm")
    parser.add_argument("--emojibase", type=Path, metavar="FILE.tgz", help="emojibase-data's package, instead of npm")
    parser.add_argument(
        "--workers", type=int, default=min(8, os.cpu_count() or 1), help="processes (default: one per core)"
    )
    scenes = parser.add_argument_group("scenes")
    scenes.add_argument("--scenes", type=int, default=0, metavar="N", help="scenes for training (default: 0, none)")
    scenes.add_argument("--scenes-val", type=int, default=500, metavar="N", help="for validation (default: 500)")
    scenes.add_argument("--scenes-val-style", default="twemoji", help="kept for validation (default: twemoji)")
    scenes.add_argument("--scenes-size", type=int, default=128, help="side in pixels (default: 128)")
    scenes.add_argument("--seed", type=int, default=0, help="another one gives other scenes (default: 0)")
    arguments = parser.parse_args(argv)
    for option, low, high in (("size", 8, 4096), ("scenes_size", 32, 1024)):
        value = getattr(arguments, option)
        if not low <= value <= high:
            parser.error(f"--{option.replace('_', '-')} must lie between {low} and {high} pixels, got {value}")
    for option in ("scenes", "scenes_val", "seed"):
        if getattr(arguments, option) < 0:
            parser.error(f"--{option.replace('_', '-')} must not be negative, got {getattr(arguments, option)}")
    return arguments


def make(arguments: argparse.Namespace, packages: list[dict[str, Any]], things: list[Thing]) -> None:
    """Draw all styles and all scenes, and report each.

    Raises:
        ValueError, OSError: as the parts.
    """
    # First, so that a wrong choice of styles fails before anything is drawn.
    splits = split_packages(packages, arguments)
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_classes(things, arguments.out)
    for package in packages:
        result = build_style(package, things, arguments.out, arguments.size, arguments.workers)
        report(result, source_of(package, arguments.size))
    for split, drawn_from, count in splits:
        report_split(split, build_split(split, drawn_from, things, count, arguments.workers), drawn_from)


def main(argv: list[str] | None = None) -> None:
    """Run the tool."""
    arguments = parse_arguments(argv)
    try:
        import resvg_py  # noqa: F401  only looked for: a run should not fetch packages first and fail afterwards
    except ImportError:
        sys.exit("tools/data/emoji.py draws with resvg_py: pip install resvg_py")
    try:
        packages, names = open_packages(arguments)
        things, unlabelled = list_things(names)
        make(arguments, packages, things)
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"emoji.py: {error}")
    print(f"{len(things)} classes in {arguments.out / 'classes.json'} ({unlabelled} entries without a label left out)")
    print(f"labels and keywords from emojibase-data {names['package.json']['version']}, licence MIT")


if __name__ == "__main__":
    main()
