"""Result files that are there completely or not at all."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PARTIAL = re.compile(r"\.partial(\.\w+)?$")


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Where to write what shall become `path`: beside it, synced and renamed when the block ends well.

    Args:
        path: target; its folder is made. The name aside keeps the suffix, by which Pillow chooses the format.

    Yields:
        `NAME.PID.partial.SUFFIX` in the same folder; removed when the block raises, `path` is then as before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield partial
        with partial.open("rb") as handle:
            os.fsync(handle.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Return when renames and removals in `folder` would outlive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_partials(folder: Path, beginnings: tuple[str, ...]) -> list[Path]:
    """Remove what writers that were killed left aside in `folder`.

    Args:
        folder: where they wrote.
        beginnings: of the names to look at, of files that nobody else is writing now.

    Returns:
        The files that were removed.
    """
    found = [path for path in sorted(folder.glob("*.partial*")) if path.name.startswith(beginnings)]
    left = [path for path in found if _PARTIAL.search(path.name) and path.is_file()]
    for path in left:
        path.unlink(missing_ok=True)
    return left
