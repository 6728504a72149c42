"""Where a result comes from: code, versions, machine, data. Facts that need no run, as plain data."""

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from clipplus.version import __version__

#: The checkout that this package runs from; of an installed package the folder that it was installed into.
CHECKOUT = Path(__file__).resolve().parents[2]

_PACKAGES = ("torch", "torchvision", "mmengine", "mmcv", "mmcv-lite", "mmpretrain", "mmsegmentation", "mmaction2",
             "open_clip_torch", "numpy")  # fmt: skip
# What a result depends on; documents and results themselves do not make it dirty.
_CODE = ("clipplus", "configs", "tools", "setup.py", "pyproject.toml")


def git_state(root: Path = CHECKOUT) -> dict[str, Any]:
    """`revision` of a checkout, and whether its code is `dirty` (differs from it).

    Both are None without git, and where `root` is not the top of a checkout: an installed package would otherwise be
    given the revision of whatever project its environment lies in.
    """
    try:
        if Path(_git(root, "rev-parse", "--show-toplevel")).resolve() != root.resolve():
            return dict(revision=None, dirty=None)
        revision = _git(root, "rev-parse", "HEAD")
        changes = _git(root, "status", "--porcelain", "--", *_CODE)
    except (OSError, subprocess.CalledProcessError):
        return dict(revision=None, dirty=None)
    return dict(revision=revision, dirty=bool(changes))


def _git(root: Path, *arguments: str) -> str:
    # Reading must not wait for, or disturb, somebody else's git.
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def versions() -> dict[str, str]:
    """Python, this package and what it stands on."""
    found = {"python": platform.python_version(), "clipplus": __version__}
    return found | {name: number for name in _PACKAGES if (number := _version(name)) is not None}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def machine() -> dict[str, Any]:
    """What a run in this environment runs on."""
    gpu = torch.cuda.is_available()
    return dict(
        device=torch.cuda.get_device_name() if gpu else "cpu",
        cpu=_cpu_name(),
        cores=len(os.sched_getaffinity(0)),
        threads=torch.get_num_threads(),
    )


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def annotation_fingerprints(settings: Any) -> dict[str, str | None]:
    """SHA-256 of every annotation file that a config, or a part of one, names (None: not there).

    Paths are `data_root/ann_file`, looked up from the current folder, as a run does.
    """
    found: dict[str, str | None] = {}
    for part in _mappings(settings):
        files = part.get("ann_file") or []
        for name in [files] if isinstance(files, str) else files:
            path = Path(part.get("data_root") or "", name)
            found[str(path)] = file_fingerprint(path) if path.is_file() else None
    return dict(sorted(found.items()))


def file_fingerprint(path: Path) -> str:
    """SHA-256 of a file's content; read again only when its size or time changes."""
    state = path.stat()
    return _hash_file(path.resolve(), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=1024)
def _hash_file(path: Path, size: int, modified: int) -> str:  # noqa: ARG001 - they are part of the key
    digest = hashlib.sha256()
    with path.open("rb") as content:
        while block := content.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def drawn_data(settings: Any) -> list[dict[str, Any]]:
    """Options, without pipeline, of the data sets in a config that name no annotation file: they determine the data."""
    found: list[dict[str, Any]] = []
    for part in _mappings(settings):
        dataset = part.get("dataset")
        if isinstance(dataset, dict) and not any("ann_file" in inner or "dataset" in inner for inner in _own(dataset)):
            options = {name: value for name, value in dataset.items() if name != "pipeline"}
            if options not in found:
                found.append(options)
    return found


def _own(dataset: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A data set's settings without its pipeline."""
    return _mappings({name: value for name, value in dataset.items() if name != "pipeline"})


def _mappings(settings: Any) -> Iterator[dict[str, Any]]:
    if isinstance(settings, dict):
        yield settings
        settings = list(settings.values())
    if isinstance(settings, list | tuple):
        for item in settings:
            yield from _mappings(item)
