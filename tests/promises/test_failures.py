"""What happens when a file, a loader worker or a rank is lost in the middle: docs/troubleshooting.md says the same."""

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from PIL import Image

from clipplus.checkpoints import load_restricted
from clipplus.engine.launch import build_runner

ROOT = Path(__file__).parents[2]
PICTURES = 40


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Training on files, 5 updates an epoch, with a model that costs nothing."""
    data = tmp_path / "data"
    data.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (PICTURES, 16, 16, 3), dtype=np.uint8)
    for i in range(PICTURES):
        Image.fromarray(pixels[i]).save(data / f"{i}.png")
    lines = [json.dumps({"image": f"{i}.png", "captions": [f"picture {i}"]}) + "\n" for i in range(PICTURES)]
    (data / "train.jsonl").write_text("".join(lines))
    config = Config.fromfile(ROOT / "configs/clip/clip_vit-tiny-p8_1xb128-20e_own-pictures.py")
    config.model = dict(type="LearnsNothing")
    config.param_scheduler, config.custom_hooks, config.work_dir = None, [], str(tmp_path / "work")
    for part in ("cfg", "dataloader", "evaluator"):
        config[f"val_{part}"] = config[f"test_{part}"] = None
    config.train_cfg = dict(type="StepLoop", max_epochs=3)
    config.train_dataloader.update(batch_size=8, num_workers=0)
    config.train_dataloader.dataset.max_bad_fraction = 0.1
    config.train_dataloader.dataset.dataset.data_root = str(data)
    return config


class DeletesPicture(Hook):
    """Deletes a data file when the first epoch is over."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def after_train_epoch(self, runner: Any) -> None:
        self.path.unlink(missing_ok=True)


def endless(config: Config) -> Config:
    """The config as a run that ends only by what happens to it, and saves all the time."""
    config.train_cfg = dict(type="StepLoop", max_epochs=100_000)
    config.default_hooks.checkpoint.update(interval=1, max_keep_ckpts=2)
    return config


def workers_of(pid: int) -> list[int]:
    """The loader workers of a rank, which torch names; mmengine also starts a `git` for each checkpoint."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if _process_name(child) == "pt_data_worker"]


def _process_name(pid: str) -> str | None:
    """None for a process that has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return None


def require_whole_checkpoints(config: Config) -> None:
    files = sorted(Path(config.work_dir).glob("*.pth"))
    assert files
    for file in files:
        assert "weight" in load_restricted(file)["state_dict"]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_file_deleted_in_training_is_replaced_counted_and_named(
    config: Config, start: Callable[..., Any], workers: int
) -> None:
    config.train_dataloader.num_workers = workers
    gone = Path(config.train_dataloader.dataset.dataset.data_root) / "7.png"

    def main(config: Config) -> None:
        runner = build_runner(config)
        runner.register_hook(DeletesPicture(gone))
        runner.train()

    run = start(config, 1, main)
    assert run.wait() == [0], run.output()
    records = [json.loads(line) for line in (Path(config.work_dir) / "bad_samples.jsonl").read_text().splitlines()]
    assert records == [{"index": 7, "key": "7.png", "error": "FileNotFoundError"}]
    assert "bad sample '7.png' is replaced" in run.output()
    assert "1 of 40 training samples could not be read" in run.output()
    assert (Path(config.work_dir) / "epoch_3.pth").is_file()


def test_a_killed_loader_worker_ends_the_run_with_an_error_and_loses_no_checkpoint(
    config: Config, start: Callable[..., Any]
) -> None:
    config = endless(config)
    config.train_dataloader.num_workers = 2
    run = start(config)
    run.wait_for(iteration=12)
    workers = workers_of(run.pids[0])
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    assert run.wait(timeout_s=60) == [1]
    assert re.search(r"RuntimeError: (a )?DataLoader worker .*(died|killed by signal|exited)", run.output())
    assert not Path(f"/proc/{workers[1]}").exists()
    require_whole_checkpoints(config)


@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_rank_ends_the_others_with_an_error_and_loses_no_checkpoint(
    config: Config, start: Callable[..., Any], killed: int
) -> None:
    config = endless(config)
    config.train_dataloader.update(batch_size=4)
    run = start(config, 2)
    run.wait_for(iteration=12)
    run.signal(signal.SIGKILL, ranks=[killed])
    codes = run.wait(timeout_s=60)
    assert codes[killed] == -signal.SIGKILL
    assert codes[1 - killed] == 1
    assert "onnection" in run.logs[1 - killed].read_text()
    require_whole_checkpoints(config)
