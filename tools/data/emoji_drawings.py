"""Draw every thing in one style on white, and write the records of the pictures."""

import io
import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from emoji_packages import Thing, svgs_of
from PIL import Image
from tqdm import tqdm

# Below this, starting processes costs more than it saves.
PARALLEL_FROM = 200


def render(svg: str, size: int, background: str | None = None) -> bytes:
    """An SVG document as PNG of `size` x `size` pixels; without `background` it keeps its transparency.

    Raises:
        ValueError: it cannot be drawn, or draws nothing.
    """
    import resvg_py

    png = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, background=background, skip_system_fonts=True)
    drawn = Image.open(io.BytesIO(png)).convert("RGBA")
    channel = drawn.getchannel("A") if background is None else drawn.convert("L")
    if channel.getextrema() == ((0, 0) if background is None else (255, 255)):
        raise ValueError("it draws nothing")
    return png


def draw(job: tuple[str, str, int]) -> str | None:
    """Render (SVG, PNG path, size) on white; the error's text, or None when it went well."""
    svg, path, size = job
    try:
        png = render(svg, size, "white")
    except ValueError as error:
        return str(error)
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
    svgs = svgs_of(package, things)
    jobs: dict[int, tuple[str, str, int]] = {}
    missing = []
    for label, thing in enumerate(things):
        if thing.label in svgs:
            jobs[label] = (svgs[thing.label], str(out / style / thing.group / f"{thing.file}.png"), size)
        else:
            missing.append(thing.label)
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
