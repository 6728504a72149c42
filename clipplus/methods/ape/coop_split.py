"""The split files of the few-shot benchmarks, read as they are.

CoOp (Zhou et al. 2022) published `split_zhou_<data set>.json`, which Tip-Adapter, APE and their successors use. FGVC
Aircraft comes with text files of its own.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from clipplus.text.class_names import readable_names

SPLITS = ("train", "val", "test")


class SplitItems(NamedTuple):
    """One split of a data set.

    Attributes:
        items: (path below the image folder, label) in the order of the file.
        classes: names in the order of the labels, as words.
    """

    items: list[tuple[str, int]]
    classes: list[str]


def read_split(file: Path, split: str) -> SplitItems:
    """A split of a `split_zhou_*.json`, or of FGVC Aircraft's `images_variant_{split}.txt`.

    Args:
        file: the JSON; or `.../images_variant_train.txt`, with `variants.txt` beside it.
        split: 'train', 'val' or 'test'; of a text file it must be its own.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another form; names file, split and entry.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split '{split}'; known: {', '.join(SPLITS)}")
    if not file.is_file():
        raise FileNotFoundError(
            f"split file {file} does not exist: see 'The eleven data sets' in docs/ape.md for "
            "where it comes from, or state its folder as data_root"
        )
    return _read_json(file, split) if file.suffix == ".json" else _read_variants(file)


def _read_json(file: Path, split: str) -> SplitItems:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"split file {file} is no JSON: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get(split), list):
        found = ", ".join(content) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"split file {file} must be an object with a list '{split}', found: {found}")
    names: dict[int, str] = {}
    for part in SPLITS:
        for number, entry in enumerate(content.get(part) or []):
            _note_name(entry, names, f"{file}: {part}[{number}]")
    missing = [label for label in range(max(names, default=-1) + 1) if label not in names]
    if missing:
        raise ValueError(f"split file {file}: the labels {missing[:5]} have no picture in any split, thus no name")
    items = [(path, label) for path, label, _ in content[split]]
    return SplitItems(items, readable_names([names[label] for label in range(len(names))]))


def _note_name(entry: Any, names: dict[int, str], where: str) -> None:
    """Check an entry, and that a label is called alike everywhere."""
    valid = isinstance(entry, list) and len(entry) == 3
    if not (valid and isinstance(entry[0], str) and type(entry[1]) is int and isinstance(entry[2], str)):
        raise ValueError(f"{where} must be [path, label, class name], got {entry!r:.80}")
    _, label, name = entry
    if label < 0 or names.setdefault(label, name) != name:
        raise ValueError(f"{where}: label {label} is called '{name}', but '{names.get(label)}' before")


def _read_variants(file: Path) -> SplitItems:
    """Lines like `0034309 707-320`; the classes are the lines of `variants.txt`."""
    classes = _lines(file.with_name("variants.txt"))
    labels = {name: label for label, name in enumerate(classes)}
    items = []
    for number, line in enumerate(_lines(file), start=1):
        image, _, name = line.partition(" ")
        if name not in labels:
            raise ValueError(f"{file} line {number}: '{name}' is no line of variants.txt beside it")
        items.append((f"{image}.jpg", labels[name]))
    return SplitItems(items, readable_names(classes))


def _lines(file: Path) -> list[str]:
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist")
    return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def first_folder(folders: str | Sequence[str]) -> Path:
    """The first of several possible folders that exists, or the first if none does.

    The data sets' folders are called differently in the layouts of CoOp and Tip-Adapter.
    """
    choices = [Path(folders)] if isinstance(folders, str) else [Path(folder) for folder in folders]
    if not choices:
        raise ValueError("data_root must name at least one folder")
    return next((folder for folder in choices if folder.is_dir()), choices[0])
