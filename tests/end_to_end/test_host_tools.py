"""mmpretrain's own tools run our configs: train, resume, test."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest


def run_host_tool(name: str, *arguments: str) -> str:
    """Output of `mmpretrain/.mim/tools/<name>.py`."""
    folder = Path(find_spec("mmpretrain").submodule_search_locations[0])  # type: ignore[union-attr,index]
    command = [sys.executable, str(folder / ".mim" / "tools" / f"{name}.py"), *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout + run.stderr


@pytest.mark.slow
def test_mmpretrains_tools_train_resume_and_test_our_config(arguments: list[str], tmp_path: Path) -> None:
    config, *options = arguments
    work = ["--work-dir", str(tmp_path)]
    assert "own/text_to_image_R@1" in run_host_tool("train", config, *work, *options)
    checkpoint = str(tmp_path / "epoch_1.pth")
    longer = [option for option in options if not option.startswith("train_cfg.max_epochs")]
    run_host_tool("train", config, *work, "--resume", checkpoint, *longer, "train_cfg.max_epochs=2")
    assert "own/text_to_image_R@1" in run_host_tool("test", config, str(tmp_path / "epoch_2.pth"), *work, *options)
