"""Promise 1 on a GPU, in the bfloat16 of the configs: bits need deterministic kernels, which a config asks for."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config

from clipplus.checkpoints import load_restricted
from clipplus.engine import latest_checkpoint

ROOT = Path(__file__).parents[2]


def run(config: Path, work_dir: Path, *arguments: str) -> None:
    """`tools/train.py` in a process of its own: a fork could not use the GPU."""
    environment = os.environ | {
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "PYTHONPATH": f"{ROOT}:{os.environ['PYTHONPATH']}",
    }
    command = [sys.executable, "tools/train.py", str(config), "--work-dir", str(work_dir), *arguments]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]


def tensors(part: Any, where: str = "") -> dict[str, torch.Tensor]:
    """All tensors of nested dicts and lists by their place."""
    if isinstance(part, torch.Tensor):
        return {where: part}
    children = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    return {name: tensor for key, child in children for name, tensor in tensors(child, f"{where}.{key}").items()}


@pytest.mark.gpu
def test_a_resumed_run_ends_bit_equal(shapes_path: Path, shrunk: Callable[..., Config], tmp_path: Path) -> None:
    config = shrunk(shapes_path, tmp_path / "work")
    config.randomness = dict(seed=0, deterministic=True)
    if "max_epochs" in config.train_cfg:
        config.train_cfg.val_interval = 1
    config.dump(tmp_path / "config.py")
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    run(tmp_path / "config.py", whole)
    newest = latest_checkpoint(whole)
    assert newest is not None
    shutil.copytree(whole, resumed, ignore=shutil.ignore_patterns(newest.name, "last_checkpoint", "*.json"))
    assert latest_checkpoint(resumed) is not None
    run(tmp_path / "config.py", resumed, "--resume")
    found, expected = (tensors(load_restricted(folder / newest.name)) for folder in (resumed, whole))
    assert list(found) == list(expected)
    assert [name for name, tensor in expected.items() if not torch.equal(found[name], tensor)] == []
