"""Make a split of emoji scenes: pictures, masks and records.

Scene i depends on seed, split and i (and on the drawings and the size, which `SOURCE.json` holds) alone: any number of
processes and any number of sittings write the same files.
"""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from emoji_drawings import PARALLEL_FROM, render, source_of, write_aside
from emoji_packages import Thing, svgs_of
from emoji_scene_render import SIDES, draw_background, lay_out, owners_of, paint
from emoji_scene_words import Placed, captions_of_scene, class_names
from PIL import Image
from tqdm import tqdm

SPLITS = ("train", "val")
CLASSES_FILE = "scenes_classes.json"
# Raised when the same numbers begin to give other scenes.
LAYOUT = 1
Drawings = dict[str, list[Image.Image]]


class LeftOut(NamedTuple):
    """Drawings that scenes have to do without: labels by style; '<style>: <label>' -> why it could not be drawn."""

    missing: dict[str, list[str]]
    failed: dict[str, str]


@dataclass(frozen=True)
class Split:
    """What a split's scenes depend on, and where they go.

    Attributes:
        name: 'train' or 'val'.
        out: the tool's folder; scenes go to `scenes/<name>` in it.
        size: side of the pictures in pixels.
        seed: another seed gives other scenes.
    """

    name: str
    out: Path
    size: int
    seed: int

    @property
    def folder(self) -> Path:
        """Of this split's scenes."""
        return self.out / "scenes" / self.name


def collect_drawings(
    packages: Sequence[dict[str, Any]], things: Sequence[Thing], size: int
) -> tuple[Drawings, LeftOut]:
    """The drawings of the things that scenes can show, transparent and cropped, and what is left out.

    Args:
        packages: icon packages, one per style.
        things: all things of emojibase.
        size: side of the pictures that are rendered, in pixels.

    Returns:
        Pictures by label, in the order of the classes; what is left out.
    """
    names = class_names()[1:]
    wanted = [thing for thing in things if thing.label in names]
    drawings: Drawings = {name: [] for name in names}
    left_out = LeftOut({}, {})
    for package in packages:
        style = package["info.json"]["prefix"]
        svgs = svgs_of(package, wanted)
        left_out.missing[style] = [name for name in names if name not in svgs]
        for name in filter(svgs.get, names):
            try:
                png = render(svgs[name], size)
            except ValueError as error:
                left_out.failed[f"{style}: {name}"] = str(error)
                continue
            picture = Image.open(io.BytesIO(png)).convert("RGBA")
            drawings[name].append(picture.crop(picture.getchannel("A").getbbox()))
    return {name: pictures for name, pictures in drawings.items() if pictures}, left_out


def build_split(
    split: Split, packages: Sequence[dict[str, Any]], things: Sequence[Thing], count: int, workers: int
) -> dict[str, Any]:
    """Make scenes 0..count-1 of a split and write `scenes_<split>.jsonl`; what the report says.

    Raises:
        ValueError: too few things could be drawn.
    """
    drawings, left_out = collect_drawings(packages, things, split.size)
    if len(drawings) < max(SIDES):
        raise ValueError(
            f"scenes '{split.name}' need drawings of at least {max(SIDES)} of their {len(class_names()) - 1} things, "
            f"found {len(drawings)}; failures begin with {dict(list(left_out.failed.items())[:3])}"
        )
    start_split(split, packages, drawings)
    made = tqdm(_make_all(split, drawings, count, workers), f"scenes {split.name}", count)
    results = list(made)
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record, _ in results)
    write_aside(split.out / f"scenes_{split.name}.jsonl", lines.encode())
    return {"scenes": count, "new": sum(new for _, new in results), "things": len(drawings), "left_out": left_out}


def start_split(split: Split, packages: Sequence[dict[str, Any]], drawings: Drawings) -> None:
    """Write the classes and the stamp; scenes of other drawings, another size or seed are removed."""
    write_aside(split.out / CLASSES_FILE, json.dumps(class_names(), ensure_ascii=False, indent=0).encode())
    source = {
        "drawings": [source_of(package, split.size) for package in packages],
        "things": {label: len(pictures) for label, pictures in drawings.items()},
        "size": split.size,
        "seed": split.seed,
        "layout": LAYOUT,
    }
    stamp, content = split.folder / "SOURCE.json", json.dumps(source, indent=1).encode()
    for kind in ("images", "masks"):
        (split.folder / kind).mkdir(parents=True, exist_ok=True)
    if not stamp.is_file() or stamp.read_bytes() != content:
        for path in split.folder.glob("*/*.png"):
            path.unlink()
        write_aside(stamp, content)


_shared: dict[str, Any] = {}


def _share(split: Split, drawings: Drawings) -> None:
    """Keep what all scenes of a process need."""
    _shared.update(split=split, drawings=drawings)


def _make_shared(index: int) -> tuple[dict[str, Any], bool]:
    return make_scene(_shared["split"], _shared["drawings"], index)


def _make_all(split: Split, drawings: Drawings, count: int, workers: int) -> Iterator[tuple[dict[str, Any], bool]]:
    if workers <= 1 or count < PARALLEL_FROM:
        yield from (make_scene(split, drawings, index) for index in range(count))
        return
    with ProcessPoolExecutor(workers, initializer=_share, initargs=(split, drawings)) as pool:
        yield from pool.map(_make_shared, range(count), chunksize=16)


def make_scene(split: Split, drawings: Mapping[str, Sequence[Image.Image]], index: int) -> tuple[dict[str, Any], bool]:
    """The record of scene `index`, and whether its files were written now; files that are there stay."""
    rng = np.random.default_rng([split.seed, SPLITS.index(split.name), index])
    pastes = lay_out(rng, drawings, split.size)
    canvas, background = draw_background(rng, split.size)
    image, mask = (split.folder / kind / f"{index:06d}.png" for kind in ("images", "masks"))
    new = not (image.is_file() and mask.is_file())
    if new:
        names = class_names()
        values = np.array([0, *(names.index(paste.label) for paste in pastes)], dtype=np.uint8)
        _save(Image.fromarray(values[owners_of(pastes, split.size)]), mask)
        _save(paint(pastes, canvas), image)
    placed = [Placed(paste.label, *paste.centre) for paste in pastes]
    record = {
        "key": f"emoji-scenes-{split.seed}-{split.name}-{index}",
        "image": image.relative_to(split.out).as_posix(),
        "mask": mask.relative_to(split.out).as_posix(),
        "captions": captions_of_scene(placed, background),
        "nouns": [paste.label for paste in pastes],
    }
    return record, new


def _save(picture: Image.Image, path: Path) -> None:
    content = io.BytesIO()
    picture.save(content, "PNG")
    write_aside(path, content.getvalue())


def report_split(split: Split, result: dict[str, Any], packages: Sequence[dict[str, Any]]) -> None:
    """Print what became of a split, and the licences of its drawings."""
    print(
        f"scenes {split.name}: {result['scenes']} ({result['new']} newly made) of {result['things']} things "
        f"in {split.folder}"
    )
    left_out: LeftOut = result["left_out"]
    for style, labels in left_out.missing.items():
        if labels:
            print(f"  without {len(labels)} that {style} does not have: {', '.join(labels)}")
    for name, error in left_out.failed.items():
        print(f"  without {name}: {error}")
    for package in packages:
        source = source_of(package, split.size)
        print(f"  drawings by {source['author']}, licence {source['license']} {source['license_url']}")
