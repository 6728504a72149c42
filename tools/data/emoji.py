"""Make captioned pictures of some 1,500 things in several drawing styles from emoji icon packages.

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

The captions of a record are its label (kind 'raw'), every keyword (kind 'short') and label with all keywords (kind
'long').

Examples:
    python tools/data/emoji.py --style noto openmoji twemoji --out data/emoji
    python tools/data/emoji.py --style noto --out data/emoji --size 224
    # without npm: files fetched elsewhere with `npm pack @iconify-json/noto emojibase-data`
    python tools/data/emoji.py --package iconify-json-noto-1.2.9.tgz --emojibase emojibase-data-17.0.0.tgz

An interrupted run goes on where it stopped. Mind the licences that are printed when you publish pictures.
"""

import argparse
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

ICON_MEMBERS = ("icons.json", "chars.json", "info.json", "package.json")
NAME_MEMBERS = ("en/data.json", "meta/groups.json", "package.json")
LEFT_OUT_GROUPS = ("component", "flags")
# Below this, starting processes costs more than it saves.
PARALLEL_FROM = 200


@dataclass(frozen=True)
class Thing:
    """One class: what a picture can show.

    Attributes:
        label: English name, unique.
        keywords: further English words for it.
        group, subgroup: emojibase's folders.
        emoji: the characters.
        hexcode: their code points without variation selectors, lower case, as icon packages write them.
        file: file name without suffix, unique within its group.
    """

    label: str
    keywords: tuple[str, ...]
    group: str
    subgroup: str
    emoji: str
    hexcode: str
    file: str


def read_package(path: Path, members: Iterable[str]) -> dict[str, Any]:
    """The JSON members of an npm package by name; nothing is extracted to disk.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a package, a truncated one, or one without these members.
    """
    if not path.is_file():
        raise FileNotFoundError(f"package '{path}' does not exist")
    contents = {}
    try:
        with tarfile.open(path, "r:gz") as package:
            for name in members:
                member = package.getmember(f"package/{name}")
                stream = package.extractfile(member) if member.isfile() else None
                if stream is None:
                    raise ValueError(f"{path}: package/{name} is not a plain file")
                contents[name] = json.loads(stream.read())
    except KeyError as error:
        raise ValueError(
            f"{path}: {error.args[0]}; expected an npm package (.tgz) with {', '.join(members)}"
        ) from error
    except (tarfile.TarError, EOFError, zlib.error, OSError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: not a whole npm package (.tgz), fetch it again: {error}") from error
    return contents


def read_icons(path: Path) -> dict[str, Any]:
    """An icon package's members, see `ICON_MEMBERS`.

    Raises:
        ValueError: as `read_package`, or a style name that could not be a folder's.
    """
    package = read_package(path, ICON_MEMBERS)
    style = package["info.json"].get("prefix")
    if not isinstance(style, str) or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", style):
        raise ValueError(f"{path}: info.json must name the style in 'prefix' (a-z, 0-9, dashes), got {style!r:.60}")
    return package


def fetch_package(name: str, folder: Path) -> Path:
    """`npm pack` a package into `folder`; one that is there already is taken.

    Raises:
        RuntimeError: npm is missing or fails; says how to do without.
    """
    stem = name.lstrip("@").replace("/", "-")
    there = sorted(folder.glob(f"{stem}-[0-9]*.tgz"))
    if there:
        return there[-1]
    npm = shutil.which("npm")
    without = f"fetch the package elsewhere with `npm pack {name}` and state it with --package or --emojibase"
    if npm is None:
        raise RuntimeError(f"npm is not installed: {without}")
    folder.mkdir(parents=True, exist_ok=True)
    # npm writes in place; a folder of its own keeps a half-fetched file from being taken the next time.
    aside = folder / f"{stem}.partial"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    run = subprocess.run(
        [npm, "pack", name, "--pack-destination", str(aside)], capture_output=True, text=True, check=False
    )
    fetched = sorted(aside.glob("*.tgz"))
    if run.returncode or not fetched:
        raise RuntimeError(f"`npm pack {name}` failed: {run.stderr.strip()[:300]}; {without}")
    path = fetched[0].replace(folder / fetched[0].name)
    aside.rmdir()
    return path


def bare_hexcode(hexcode: str) -> str:
    """Code points without variation selectors, lower case: icon packages and emojibase differ in both."""
    return "-".join(part for part in hexcode.lower().split("-") if part not in ("fe0e", "fe0f"))


def file_name(label: str) -> str:
    """A label as a plain file name: 'piñata' -> 'pinata', 'kiss: man, man' -> 'kiss-man-man'."""
    ascii_only = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", ascii_only.lower()).strip("-")


def list_things(names: dict[str, Any]) -> tuple[list[Thing], int]:
    """All things in emojibase's order, and how many entries had no label.

    Args:
        names: emojibase's members, see `NAME_MEMBERS`.

    Raises:
        ValueError: two things with one label.
    """
    groups, subgroups = names["meta/groups.json"]["groups"], names["meta/groups.json"]["subgroups"]
    things: dict[str, Thing] = {}
    unlabelled, files = 0, set()
    for entry in names["en/data.json"]:
        group = groups.get(str(entry.get("group")))
        if group is None or group in LEFT_OUT_GROUPS or "gender" in entry:
            continue
        group = file_name(group)
        label = (entry.get("label") or "").strip()
        if not label:
            unlabelled += 1
            continue
        hexcode = bare_hexcode(entry["hexcode"])
        if label in things:
            raise ValueError(f"emojibase-data: {hexcode} and {things[label].hexcode} have the same label '{label}'")
        file = file_name(label)
        file = file if file and (group, file) not in files else "-".join(filter(None, (file, hexcode)))
        files.add((group, file))
        keywords = tuple(word for word in entry.get("tags", ()) if word != label)
        subgroup = subgroups.get(str(entry.get("subgroup")), "")
        things[label] = Thing(label, keywords, group, subgroup, entry.get("emoji", ""), hexcode, file)
    return list(things.values()), unlabelled


def svg_of(icons: dict[str, Any], name: str) -> str | None:
    """An icon as a square SVG document; None if the package has no such drawing."""
    while name not in icons["icons"]:
        alias = icons.get("aliases", {}).get(name, {})
        # Turned or mirrored aliases do not occur among emoji.
        if alias.keys() != {"parent"}:
            return None
        name = alias["parent"]
    icon = icons["icons"][name]
    width, height = (float(icon.get(side) or icons.get(side) or 16) for side in ("width", "height"))
    left, top = (float(icon.get(side) or 0) for side in ("left", "top"))
    side = max(width, height)
    box = f"{left - (side - width) / 2:g} {top - (side - height) / 2:g} {side:g} {side:g}"
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{box}">{icon["body"]}</svg>'
    )


def draw(job: tuple[str, str, int]) -> str | None:
    """Render (SVG, PNG path, size) on white; the error's text, or None when it went well."""
    import resvg_py

    svg, path, size = job
    try:
        png = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, background="white", skip_system_fonts=True)
    except ValueError as error:
        return str(error)
    if Image.open(io.BytesIO(png)).convert("L").getextrema() == (255, 255):
        return "it draws nothing"
    write_aside(Path(path), png)
    return None


def write_aside(path: Path, content: bytes) -> None:
    """Write, then rename: a file that is there is whole."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)


def record_of(thing: Thing, style: str, label: int) -> dict[str, Any]:
    """What `CaptionDataset` reads for a drawing."""
    everything = ", ".join((thing.label, *thing.keywords))
    captions = [{"source": "label", "kind": "raw", "text": thing.label}]
    captions += [{"source": "keyword", "kind": "short", "text": word} for word in thing.keywords]
    if thing.keywords:
        captions.append({"source": "label and keywords", "kind": "long", "text": everything})
    image = f"{style}/{thing.group}/{thing.file}.png"
    return {
        "key": image,
        "image": image,
        "captions": captions,
        "gt_label": label,
        "group": thing.group,
        "subgroup": thing.subgroup,
        "emoji": thing.emoji,
    }


def source_of(package: dict[str, Any], size: int) -> dict[str, Any]:
    """Where a style's drawings come from, for `SOURCE.json`."""
    info, npm = package["info.json"], package["package.json"]
    licence = info.get("license", {})
    return {
        "package": npm["name"],
        "version": npm["version"],
        "author": info.get("author", {}).get("name", "unknown"),
        "license": licence.get("spdx") or licence.get("title") or "unknown",
        "license_url": licence.get("url", ""),
        "size": size,
    }


def build_style(package: dict[str, Any], things: list[Thing], out: Path, size: int, workers: int) -> dict[str, Any]:
    """Draw all things in one style and write its records; counts and failures for the report.

    Raises:
        ValueError: nothing could be drawn.
    """
    style = package["info.json"]["prefix"]
    start_style(package, things, out, size)
    by_code = {bare_hexcode(code): name for code, name in package["chars.json"].items()}
    jobs: dict[int, tuple[str, str, int]] = {}
    missing = []
    for label, thing in enumerate(things):
        svg = svg_of(package["icons.json"], by_code.get(thing.hexcode, ""))
        if svg is None:
            missing.append(thing.label)
        else:
            jobs[label] = (svg, str(out / style / thing.group / f"{thing.file}.png"), size)
    wanted = {label: job for label, job in jobs.items() if not Path(job[1]).is_file()}
    errors = dict(zip(wanted, tqdm(draw_all(list(wanted.values()), workers), style, len(wanted)), strict=True))
    failed = {things[label].label: error for label, error in errors.items() if error is not None}
    records = [record_of(thing, style, label) for label, thing in enumerate(things)
               if label in jobs and thing.label not in failed]  # fmt: skip
    if not records:
        raise ValueError(
            f"style '{style}': none of {len(things)} things could be drawn; {dict(list(failed.items())[:3])}"
        )
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    write_aside(out / f"{style}.jsonl", lines.encode())
    return {
        "style": style,
        "drawn": len(records),
        "new": len(wanted) - len(failed),
        "missing": missing,
        "failed": failed,
    }


def start_style(package: dict[str, Any], things: list[Thing], out: Path, size: int) -> None:
    """Make the folders; drawings of another version or size are removed, so that a style is never a mixture."""
    folder = out / package["info.json"]["prefix"]
    for group in {thing.group for thing in things}:
        (folder / group).mkdir(parents=True, exist_ok=True)
    source = json.dumps(source_of(package, size), indent=1).encode()
    stamp = folder / "SOURCE.json"
    if not stamp.is_file() or stamp.read_bytes() != source:
        for thing in things:
            (folder / thing.group / f"{thing.file}.png").unlink(missing_ok=True)
        write_aside(stamp, source)


def draw_all(jobs: list[tuple[str, str, int]], workers: int) -> Iterator[str | None]:
    """`draw` for every job, in order."""
    if workers <= 1 or len(jobs) < PARALLEL_FROM:
        yield from map(draw, jobs)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(draw, jobs, chunksize=16)


def write_classes(things: list[Thing], out: Path) -> None:
    """Write `classes.json`.

    Raises:
        ValueError: another list is there: the styles in this folder would count their classes differently.
    """
    path = out / "classes.json"
    content = json.dumps([thing.label for thing in things], ensure_ascii=False, indent=0).encode()
    if path.is_file() and path.read_bytes() != content:
        raise ValueError(
            f"{path} lists other classes (another version of emojibase-data); take another --out or remove it"
        )
    write_aside(path, content)


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
        packages = {s: read_icons(fetch_package(f"@iconify-json/{s}", fetched)) for s in styles}
    names = arguments.emojibase or fetch_package("emojibase-data", fetched)
    return [packages[style] for style in styles], read_package(names, NAME_MEMBERS)


def report(result: dict[str, Any], source: dict[str, Any]) -> None:
    """Print what became of a style, and its licence."""
    style, missing, failed = result["style"], result["missing"], result["failed"]
    print(f"{style}: {result['drawn']} things ({result['new']} newly drawn)")
    if missing:
        print(f"  {len(missing)} are not in the package: {', '.join(missing[:5])}")
    for label, error in list(failed.items())[:5]:
        print(f"  left out '{label}': {error}")
    if failed:
        print(f"  {len(failed)} could not be drawn")
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
    arguments = parser.parse_args(argv)
    if not 8 <= arguments.size <= 4096:
        parser.error(f"--size must lie between 8 and 4096 pixels, got {arguments.size}")
    return arguments


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
        arguments.out.mkdir(parents=True, exist_ok=True)
        write_classes(things, arguments.out)
        for package in packages:
            result = build_style(package, things, arguments.out, arguments.size, arguments.workers)
            report(result, source_of(package, arguments.size))
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"emoji.py: {error}")
    print(f"{len(things)} classes in {arguments.out / 'classes.json'} ({unlabelled} entries without a label left out)")
    print(f"labels and keywords from emojibase-data {names['package.json']['version']}, licence MIT")


if __name__ == "__main__":
    main()
