"""Where a result comes from: code, versions, machine."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from clipplus.version import __version__

_PACKAGES = ("torch", "torchvision", "mmengine", "mmcv", "mmcv-lite", "mmpretrain", "open_clip_torch", "numpy")
# What a result depends on; documents and results themselves do not make it dirty.
_CODE = ("clipplus", "configs", "tools", "setup.py", "pyproject.toml")


def git_state(root: Path) -> dict[str, Any]:
    """Revision of a checkout, and whether its code differs from it; both None without git."""
    try:
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
    """What a training in this environment runs on."""
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
