"""Which checkpoint of a work directory a run goes on from: the newest whose every byte is as it was written."""

import logging
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mmengine.logging import print_log

from clipplus.checkpoints import load_restricted

_Found = TypeVar("_Found")

#: Names of the numbered checkpoints, from which a training can go on; `best_*.pth` hold weights only.
NUMBERED = re.compile(r"(epoch|iter)_(\d+)\.pth")


def numbered_checkpoints(work_dir: str | Path) -> list[Path]:
    """All files of a work directory that are called like a checkpoint to go on from, sorted by name."""
    folder = Path(work_dir)
    return sorted(path for path in folder.glob("*.pth") if NUMBERED.fullmatch(path.name) and path.is_file())


def latest_checkpoint(work_dir: str | Path) -> Path | None:
    """The checkpoint with the most updates among those that are whole; warns of every file that is not.

    Neither `last_checkpoint` nor the time of a file is asked: one may be lost in a crash, the other in a copy.

    Args:
        work_dir: folder with `epoch_N.pth` and `iter_N.pth`; need not exist.

    Returns:
        None when there is no whole checkpoint.
    """
    positions = [(_or_warn(updates_of, path), path) for path in numbered_checkpoints(work_dir)]
    newest_first = sorted(((updates, path) for updates, path in positions if updates is not None), reverse=True)
    return next((path for _, path in newest_first if _or_warn(require_whole, path)), None)


def _or_warn(check: Callable[[Path], _Found], path: Path) -> _Found | None:
    """What `check` finds, or a warning and None."""
    try:
        return check(path)
    except ValueError as error:
        print_log(f"{path.name} is passed over: {error}", logger="current", level=logging.WARNING)
        return None


def updates_of(path: Path) -> int:
    """Updates done when a training's checkpoint was saved; its tensors are not read.

    Raises:
        ValueError: no readable checkpoint of a training.
    """
    content = load_restricted(path, mmap=zipfile.is_zipfile(path))
    meta = content.get("meta") if isinstance(content, dict) else None
    if not isinstance(meta, dict) or not isinstance(meta.get("iter"), int) or "state_dict" not in content:
        raise ValueError(f"checkpoint {path} is of no training: it has no weights or no meta['iter']")
    return meta["iter"]


def require_whole(path: Path) -> Path:
    """`path`, after comparing the file with its own checksums, which torch does not do when it loads.

    Raises:
        ValueError: damaged.
    """
    if not zipfile.is_zipfile(path):
        # Written before torch 1.6, or truncated: it has no checksums, and reading tells the two apart.
        load_restricted(path)
        return path
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    # A damaged header makes the zip reader raise nearly anything; whatever it is, the file is damaged.
    except Exception as error:
        raise ValueError(f"checkpoint {path} is damaged ({type(error).__name__}: {error})") from error
    if damaged is not None:
        raise ValueError(f"checkpoint {path} is damaged: the checksum of its part '{damaged}' does not fit")
    return path
