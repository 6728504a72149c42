"""Promise 1: a run that was killed, at any moment and any number of times, ends as if it had not been."""

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.registry import HOOKS

from clipplus.checkpoints import load_restricted
from clipplus.engine import latest_checkpoint
from clipplus.engine.latest import updates_of

# Values that depend on the clock.
_CLOCK = ("time", "data_time")


def resumed(config: Config) -> Config:
    """The config of a requeued run: what `--resume` makes of it."""
    newest = latest_checkpoint(config.work_dir)
    config.resume, config.load_from = newest is not None, newest and str(newest)
    return config


def final_state(work_dir: Path) -> dict[str, Any]:
    """Everything in the last checkpoint that a later update or a user could see."""
    newest = latest_checkpoint(work_dir)
    assert newest is not None
    content = load_restricted(newest)
    histories = content["message_hub"]["log_scalars"]
    return {
        "name": newest.name,
        "files": sorted(path.name for path in work_dir.glob("*.pth")),
        "position": {key: content["meta"][key] for key in ("iter", "epoch", "seed")},
        "histories": {key: value for key, value in histories.items() if key.split("/")[-1] not in _CLOCK},
        **{key: content[key] for key in ("state_dict", "optimizer", "param_schedulers", "clipplus")},
        **({"ema": content["ema_state_dict"]} if "ema_state_dict" in content else {}),
    }


def assert_equal(found: Any, expected: Any, where: str = "") -> None:
    """Equal to the last bit, with the place of the first difference."""
    assert type(found) is type(expected), where
    if isinstance(expected, dict):
        assert list(found) == list(expected), where
        for key in expected:
            assert_equal(found[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), where
        for index, pair in enumerate(zip(found, expected, strict=True)):
            assert_equal(*pair, f"{where}[{index}]")
    elif isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected), where
    elif isinstance(expected, HistoryBuffer):
        assert_equal([part.tolist() for part in found.data], [part.tolist() for part in expected.data], where)
    else:
        assert found == expected, where


@HOOKS.register_module(force=True)
class SlowSaves(Hook):
    """Makes saving take long enough for a kill to hit it."""

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        time.sleep(0.3)


def add_hooks(config: Config, *types: str) -> None:
    config.custom_hooks = [*config.get("custom_hooks", []), *(dict(type=kind) for kind in types)]


def validate_every_epoch(config: Config) -> None:
    config.train_cfg.val_interval = 1 if "max_epochs" in config.train_cfg else 4


@pytest.mark.parametrize(("num_workers", "world_size"), [(2, 1), (0, 2)])
def test_killed_run_ends_bit_equal(
    shapes_config: Config, num_workers: int, world_size: int, tmp_path: Path, train: Callable, start: Callable,
    trace: Callable,
) -> None:  # fmt: skip
    config = shapes_config
    config.train_dataloader.batch_size //= world_size
    validate_every_epoch(config)
    # All that has a state: averaged weights, and the best validation.
    if config.train_cfg.type == "StepLoop":
        # Of others, what is averaged has no size before the fit.
        add_hooks(config, "EMAHook")
    expected = train(config, world_size)
    undisturbed = final_state(Path(config.work_dir))

    config.work_dir = str(tmp_path / "killed")
    config.train_dataloader.num_workers = num_workers
    for update in (2, 5):
        run = start(resumed(config), world_size)
        run.wait_for(update)
        run.signal(signal.SIGKILL)
        assert set(run.wait()) == {-signal.SIGKILL}
    train(resumed(config), world_size)

    assert trace(config.work_dir) == expected
    assert_equal(final_state(tmp_path / "killed"), undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("world_size", [1, 2])
def test_run_that_is_killed_twenty_times_ends_bit_equal(
    shapes_config: Config, world_size: int, tmp_path: Path, train: Callable, start: Callable, trace: Callable
) -> None:
    """At random moments, also in saving and validation, with now 0 and now 2 workers."""
    config, drawn = shapes_config, random.Random(world_size)
    config.train_dataloader.batch_size //= world_size
    config.train_cfg.pop("max_iters", None)
    config.train_cfg.update(max_epochs=24, val_interval=4)
    expected = train(config, world_size)
    undisturbed = final_state(Path(config.work_dir))

    config.work_dir = str(tmp_path / "killed")
    add_hooks(config, "SlowSaves")
    for _ in range(20):
        newest = latest_checkpoint(config.work_dir)
        done = updates_of(newest) if newest else 0
        config.train_dataloader.num_workers = drawn.choice([0, 2])
        run = start(resumed(config), world_size)
        run.wait_for(done + drawn.randrange(4))
        time.sleep(drawn.uniform(0, 0.5))
        run.signal(signal.SIGKILL)
        assert set(run.wait()) == {-signal.SIGKILL}
    train(resumed(config), world_size)

    assert trace(config.work_dir) == expected
    assert_equal(final_state(tmp_path / "killed"), undisturbed)
