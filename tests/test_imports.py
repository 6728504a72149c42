"""What an import costs and loads, each in a fresh interpreter."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "clipplus"
HOSTS = ("mmseg", "mmaction", "mmpretrain")
HEAVY = (*HOSTS, "torch", "mmengine", "mmcv", "open_clip", "transformers")
SHARED = sorted(
    init.parent.name
    for init in PACKAGE.glob("*/__init__.py")
    if init.parent.name not in ("methods", "few_shot_video", "segmentation")
)


def loaded_by(statement: str, modules: tuple[str, ...]) -> list[str]:
    """Which of `modules` a fresh interpreter has loaded after `statement`."""
    code = f"import sys; {statement}; print([m for m in {modules!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.strip().splitlines()[-1].strip("[]").replace("'", "").split(", ")


def seconds(*arguments: str) -> float:
    """Best of three whole processes."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
        times.append(time.perf_counter() - start)
    return min(times)


def test_import_clipplus_is_quick_and_loads_nothing_heavy() -> None:
    assert loaded_by("import clipplus", HEAVY) == [""]
    assert seconds("-c", "import clipplus") < 0.3


def test_list_is_quick_and_loads_nothing_heavy() -> None:
    assert loaded_by("from clipplus.cli import main; main(['list'])", HEAVY) == [""]
    assert seconds("-m", "clipplus.cli", "list") < 0.5


@pytest.mark.parametrize("part", SHARED)
def test_shared_part_loads_no_host(part: str) -> None:
    assert loaded_by(f"import clipplus.{part}", HOSTS) == [""]


@pytest.mark.parametrize("part", ["checkpoints", "losses"])
def test_small_parts_load_neither_open_clip_nor_the_runner(part: str) -> None:
    assert loaded_by(f"import clipplus.{part}", ("open_clip", "mmengine.runner")) == [""]
