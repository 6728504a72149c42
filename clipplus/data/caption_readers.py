"""Reading pictures' captions from JSON lines, tables and folders.

Each reader yields (where, record): `where` is the file and line for messages, `record` a dict with `image` and
`captions` or `caption`, as yet unchecked.
"""

import csv
import gzip
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from clipplus.data.caption_records import KINDS

Located = Iterator[tuple[str, dict[str, Any]]]

#: What OpenCV reads through mmcv's `LoadImageFromFile`.
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"})


def read_jsonl(path: str) -> Located:
    """One JSON object per line, plain or `.gz`.

    A record whose `error` is set (a caption generator's failure) has no captions and is passed over.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a line that is no JSON object; names file and line.
    """
    with _open(path, binary=True) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"{path} line {number}"
            try:
                # utf-8-sig: editors on Windows put a byte-order mark before the first line.
                record = json.loads(line.decode("utf-8-sig"))
            except ValueError as error:
                raise ValueError(f"{where}: not JSON in UTF-8: {error}; one object per line is expected") from error
            if not isinstance(record, dict):
                raise ValueError(f"{where}: expected a JSON object, got {record!r:.80}")
            if record.get("error") is None:
                yield where, record


def read_table(
    path: str, delimiter: str, image_column: str, caption_columns: Sequence[str] | Mapping[str, str]
) -> Located:
    """A table with a header; rows that repeat an image add captions to it. Further columns are kept as fields.

    Args:
        path: the file, plain or `.gz`.
        delimiter: what stands between cells.
        image_column: holds the image's path.
        caption_columns: columns with captions, or a dict from column to the captions' kind. The column's name is the
            captions' source when there are several columns. Empty cells are no captions.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a missing column, a row of another length, or text that is not UTF-8; names file and line.
    """
    kinds = dict(caption_columns) if isinstance(caption_columns, Mapping) else dict.fromkeys(caption_columns, "raw")
    by_image: dict[str, tuple[str, dict[str, Any]]] = {}
    with _open(path, binary=False) as text:
        rows = csv.DictReader(text, delimiter=delimiter)
        try:
            _check_header(path, rows.fieldnames or (), image_column, kinds)
            last = rows.line_num
            for row in rows:
                # The line that a row *begins* on: cells may hold line breaks, and DictReader skips blank lines.
                where, last = f"{path} line {last + 1}", rows.line_num
                _check_row(where, row, len(rows.fieldnames or ()))
                image = row.pop(image_column).strip()
                if not image:
                    raise ValueError(f"{where}: column '{image_column}' is empty")
                cells = [(name, row.pop(name)) for name in kinds]
                captions = [
                    {"source": name if len(kinds) > 1 else "raw", "kind": kinds[name], "text": cell}
                    for name, cell in cells
                    if cell.strip()
                ]
                by_image.setdefault(image, (where, {"image": image, "captions": [], **row}))[1]["captions"] += captions
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{path} near line {rows.line_num + 1}: {error}; a table in UTF-8 is expected") from error
    yield from by_image.values()


def _check_header(path: str, header: Sequence[str], image_column: str, kinds: Mapping[str, str]) -> None:
    missing = [name for name in (image_column, *kinds) if name not in header]
    if missing:
        raise ValueError(
            f"{path} line 1: no column {', '.join(map(repr, missing))} in the header {', '.join(map(repr, header))}; "
            f"name yours with image_column and caption_columns"
        )
    unknown = sorted(set(kinds.values()) - set(KINDS))
    if unknown:
        raise ValueError(f"caption_columns: unknown kind {unknown[0]!r}; known: {', '.join(KINDS)}")


def _check_row(where: str, row: dict[str, Any], columns: int) -> None:
    found = len([cell for name, cell in row.items() if name is not None and cell is not None]) + len(row.get(None, ()))  # type: ignore[call-overload]
    if found != columns:
        raise ValueError(
            f"{where}: {found} cells, but the header has {columns}; cells with a delimiter in them need double quotes"
        )


def read_folder(folder: str) -> Located:
    """Every image below `folder` with the text file of the same name beside it, one caption per line.

    Text files without an image are not looked at; names that begin with a dot neither.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: images without a text file; names the first five.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"data_root '{folder}' is not a folder; state a folder of images, or ann_file")
    images = _images_below(folder)
    without = [image for image in images if not (Path(folder) / image).with_suffix(".txt").is_file()]
    if without:
        raise ValueError(
            f"{len(without)} of {len(images)} images in {folder} have no text file beside them, first: "
            f"{', '.join(without[:5])}; write {Path(without[0]).with_suffix('.txt')} with one caption per line"
        )
    for image in images:
        text = (Path(folder) / image).with_suffix(".txt")
        try:
            lines = text.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(f"{text}: {error}; text in UTF-8 is expected") from error
        # An empty file gives one empty caption, so that the message is the one about empty captions.
        yield str(text), {"image": image, "captions": lines or [""]}


def _images_below(folder: str) -> list[str]:
    """Paths relative to `folder` with forward slashes, sorted, so that the order is the same everywhere."""
    found: list[str] = []
    for where, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            (Path(where) / name).relative_to(folder).as_posix()
            for name in names
            if Path(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith(".")
        ]
    return sorted(found)


def _open(path: str, binary: bool) -> IO[Any]:
    if not Path(path).is_file():
        raise FileNotFoundError(f"ann_file '{path}' does not exist (relative paths are looked up below data_root)")
    opener: Callable[..., IO[Any]] = gzip.open if path.endswith(".gz") else open
    # newline="" lets csv see line breaks inside of cells.
    return opener(path, "rb") if binary else opener(path, "rt", encoding="utf-8-sig", newline="")
