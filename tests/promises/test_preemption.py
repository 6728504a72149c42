"""Promise 10: a signal to any rank ends in a checkpoint and exit code 85, and the requeued run in the same weights."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from clipplus.checkpoints import load_restricted
from clipplus.engine import latest_checkpoint
from clipplus.engine.latest import updates_of
from clipplus.engine.run_state import PREEMPTED

ROOT = Path(__file__).parents[2]


@HOOKS.register_module(force=True)
class SignalsItself(Hook):
    """Sends signals to the last rank at a chosen hook point, once per work directory.

    Args:
        points: hook points, each of which gets the signal.
    """

    priority = "VERY_HIGH"

    def __init__(self, points: list[str], rank: int = 0) -> None:
        self.rank = rank
        for point in points:
            setattr(self, point, lambda runner, point=point, **told: self._once(runner, point))

    def _once(self, runner: Any, point: str) -> None:
        marker = Path(runner.work_dir) / f"{point}.sent"
        if get_rank() == self.rank and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGTERM)


def without_validation(config: Config) -> Config:
    config.update(val_cfg=None, val_dataloader=None, val_evaluator=None)
    return config


def state_of(config: Config) -> dict[str, Any]:
    return json.loads((Path(config.work_dir) / "run_state.json").read_text())


def requeued(config: Config) -> Config:
    config.resume, config.load_from = True, str(latest_checkpoint(config.work_dir))
    return config


def weights(work_dir: str | Path) -> dict[str, torch.Tensor]:
    newest = latest_checkpoint(work_dir)
    assert newest is not None
    return load_restricted(newest)["state_dict"]


def assert_same_weights(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []


def assert_preempted_and_saved(run: Any, config: Config) -> None:
    codes = run.wait()
    assert codes == [PREEMPTED] * len(codes), run.output()
    state = state_of(config)
    assert state["state"] == "preempted"
    assert updates_of(latest_checkpoint(config.work_dir)) == state["iteration"] > 0


@pytest.mark.parametrize(("number", "to_all"), [(signal.SIGTERM, True), (signal.SIGUSR1, False)])
def test_ranks_stop_together_and_the_requeued_run_ends_like_an_undisturbed_one(
    shapes_config: Config, number: int, to_all: bool, tmp_path: Path, train: Callable, start: Callable, trace: Callable
) -> None:
    config = without_validation(shapes_config)
    config.train_dataloader.batch_size //= 2
    expected = train(config, 2)
    undisturbed = weights(config.work_dir)
    assert state_of(config) == {"state": "finished", "iteration": len(expected)}

    config.work_dir = str(tmp_path / "stopped")
    run = start(config, 2)
    run.wait_for(1)
    run.signal(number, None if to_all else [1])
    assert_preempted_and_saved(run, config)
    assert updates_of(latest_checkpoint(config.work_dir)) < len(expected)
    train(requeued(config), 2)
    assert trace(config.work_dir) == expected
    assert state_of(config)["state"] == "finished"
    assert_same_weights(weights(config.work_dir), undisturbed)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_signal_to_the_process_group_spares_the_loader_workers(
    shapes_config: Config, number: int, start: Callable
) -> None:
    without_validation(shapes_config).train_dataloader.num_workers = 2
    run = start(shapes_config)
    run.wait_for(1)
    os.killpg(run.group, number)
    assert_preempted_and_saved(run, shapes_config)


def test_validation_is_left_at_once_by_all_ranks_and_done_after_the_requeue(
    shapes_config: Config, train: Callable, start: Callable
) -> None:
    config = shapes_config
    config.train_dataloader.batch_size //= 2
    for part in config.val_dataloader.sets.values():
        part.batch_size = 2
    hook = dict(type="SignalsItself", points=["before_val_iter"], rank=1)
    config.custom_hooks = [*config.get("custom_hooks", []), hook]
    assert_preempted_and_saved(start(config, 2), config)
    assert validation(config) is None
    train(requeued(config), 2)
    assert validation(config)


def validation(config: Config) -> dict[str, float] | None:
    """What the run measured, if it came so far."""
    lines = [json.loads(line) for path in Path(config.work_dir).glob("*/vis_data/scalars.json") for line in path.open()]
    found = [{key: value for key, value in line.items() if "/" in key} for line in lines]
    return next((metrics for metrics in reversed(found) if metrics), None)


def test_second_signal_while_saving_changes_nothing(shapes_config: Config, start: Callable) -> None:
    hook = dict(type="SignalsItself", points=["before_train_iter", "before_save_checkpoint"])
    config = without_validation(shapes_config)
    config.custom_hooks = [*config.get("custom_hooks", []), hook]
    assert_preempted_and_saved(start(shapes_config), shapes_config)
    assert (Path(shapes_config.work_dir) / "before_save_checkpoint.sent").exists()
    assert state_of(shapes_config)["iteration"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_dist_train_returns_85(shapes_path: Path, number: int, tmp_path: Path) -> None:
    """Real processes, from the shell script down."""
    work_dir = tmp_path / "work"
    environment = {
        **os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
        "PORT": "29517", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip
    command = [
        "bash", str(ROOT / "tools" / "dist_train.sh"), str(shapes_path), "2", "--work-dir", str(work_dir),
        "--no-validate", "--cfg-options", "train_dataloader.batch_size=16", "train_dataloader.num_workers=2",
        "default_hooks.logger.interval=1",
    ]  # fmt: skip
    with (tmp_path / "output.txt").open("wb") as output:
        script = subprocess.Popen(command, env=environment, stdout=output, stderr=output, cwd=ROOT)
    try:
        end = time.monotonic() + 120
        while time.monotonic() < end and not any(
            "Epoch(train)" in text.read_text() for text in work_dir.glob("*/*.log")
        ):
            time.sleep(0.1)
        script.send_signal(number)
        code = script.wait(60)
    finally:
        script.kill()
    assert code == PREEMPTED, (tmp_path / "output.txt").read_text()[-3000:]
    state = json.loads((work_dir / "run_state.json").read_text())
    assert state["state"] == "preempted"
    assert updates_of(latest_checkpoint(work_dir)) == state["iteration"] > 0
