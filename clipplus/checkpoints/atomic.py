"""Result files that are there completely or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
