"""mmaction2's own tools/test.py runs our configs: it finds our parts through `custom_imports`."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.runner import Runner

ROOT = Path(__file__).parents[2]
CONFIG = next(path for path in sorted((ROOT / "configs/few_shot_video").glob("*_shapes.py")) if "otam" in path.name)
FEW = 30


@pytest.fixture
def config() -> Config:
    """Moving shapes, few episodes, a tower with random weights."""
    config = Config.fromfile(CONFIG)
    for part in config.test_dataloader.sets.values():
        part.dataset.update(num_episodes=FEW)
        part.dataset.dataset.update(videos_per_class=6)
    return config


@pytest.fixture
def checkpoint(config: Config, tmp_path: Path) -> Path:
    """Weights as a training leaves them."""
    torch.manual_seed(3)
    with MODELS.switch_scope_and_registry(config.default_scope) as registry:
        model = registry.build(config.model)
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": model.state_dict(), "meta": {}}, path)
    return path


def as_options(config: Config) -> list[str]:
    """What the fixture changed, for the command line."""
    few = [f"num_episodes={FEW}", "dataset.videos_per_class=6"]
    return [f"test_dataloader.sets.{name}.dataset.{option}" for name in config.test_dataloader.sets for option in few]


@pytest.mark.slow
def test_mmactions_test_tool_gives_our_results(config: Config, checkpoint: Path, tmp_path: Path) -> None:
    tool = Path(find_spec("mmaction").submodule_search_locations[0]) / ".mim/tools/test.py"  # type: ignore[union-attr,index]
    command = [sys.executable, str(tool), str(CONFIG), str(checkpoint), "--work-dir", str(tmp_path / "theirs")]
    run = subprocess.run(
        [*command, "--cfg-options", *as_options(config)], capture_output=True, text=True, timeout=200, check=False
    )
    assert run.returncode == 0, run.stderr[-3000:]
    found = json.loads(next((tmp_path / "theirs").glob("*/*.json")).read_text().splitlines()[-1])
    config.update(load_from=str(checkpoint), work_dir=str(tmp_path / "ours"))
    metrics = Runner.from_cfg(config).test()
    assert {name: found[name] for name in metrics} == pytest.approx(metrics)
    assert metrics["shapes_1shot/episodes"] == FEW
