"""Pictures, a trained checkpoint and the tools as functions, for the tests that run a whole command."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs" / "clip" / "clip_vit-tiny-p8_1xb128-20e_own-pictures.py"


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 noise pictures with two captions each: 48 for training, 12 of them for validation."""
    folder = tmp_path_factory.mktemp("pictures")
    drawn = np.random.default_rng(0)
    lines = []
    for index in range(48):
        Image.fromarray(drawn.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(folder / f"{index}.png")
        lines.append(json.dumps(dict(image=f"{index}.png", captions=[f"noise number {index}", f"picture {index}"])))
    (folder / "train.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "val.jsonl").write_text("\n".join(lines[:12]) + "\n")
    return folder


@pytest.fixture(scope="session")
def arguments(pictures: Path) -> list[str]:
    """Config and options of a training that takes a second."""
    return [
        str(CONFIG), "--cfg-options",
        f"train_dataloader.dataset.dataset.data_root={pictures}",
        f"val_dataloader.sets.own.dataset.data_root={pictures}",
        f"test_dataloader.sets.own.dataset.data_root={pictures}",
        "train_dataloader.batch_size=16", "train_dataloader.num_workers=0", "train_cfg.max_epochs=1",
        "train_cfg.val_interval=1",
    ]  # fmt: skip


def load_tool(name: str) -> ModuleType:
    """A file of tools/ as a module."""
    spec = importlib.util.spec_from_file_location(f"tools_{name}", ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


@pytest.fixture(scope="session")
def train_tool() -> ModuleType:
    """tools/train.py."""
    return load_tool("train")


@pytest.fixture(scope="session")
def test_tool() -> ModuleType:
    """tools/test.py."""
    return load_tool("test")


@pytest.fixture(scope="session")
def trained(train_tool: ModuleType, arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Work directory of a finished training."""
    work_dir = tmp_path_factory.mktemp("trained")
    train_tool.main([*arguments, "--work-dir", str(work_dir)])
    return work_dir
