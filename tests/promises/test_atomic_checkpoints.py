"""Promise 4: whatever happens to the newest checkpoint, a run goes on from one that is whole, and ends the same."""

import errno
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.fileio import LocalBackend
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.registry import HOOKS

from clipplus.checkpoints import load_restricted
from clipplus.engine import latest_checkpoint
from clipplus.engine.latest import numbered_checkpoints
from clipplus.engine.launch import resume_from


@HOOKS.register_module(force=True)
class TroubleWhileWriting(Hook):
    """Gets this process killed, or the disk full, when half of the second checkpoint is written.

    Args:
        kind: 'kill' or 'full'.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        if runner.epoch != 2:
            return

        def put_half(backend: LocalBackend, content: bytes, path: str) -> None:
            Path(path).write_bytes(content[: len(content) // 2])
            if self.kind == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(errno.ENOSPC, "No space left on device", path)

        LocalBackend.put = put_half


@pytest.fixture(scope="module")
def made(
    shapes_path: Path, tmp_path_factory: pytest.TempPathFactory, shrunk: Callable, train: Callable
) -> tuple[Config, Path]:
    """A config that saves after each of three epochs, and the work directory of its undisturbed run."""
    config = shrunk(shapes_path, tmp_path_factory.mktemp("made") / "work")
    config.update(val_cfg=None, val_dataloader=None, val_evaluator=None)
    config.train_cfg.pop("max_iters", None)
    config.train_cfg.max_epochs = 3
    train(config)
    return config, Path(config.work_dir)


@pytest.fixture
def config(made: tuple[Config, Path], tmp_path: Path) -> Config:
    """The config, with a copy of the finished run's work directory."""
    copied = shutil.copytree(made[1], tmp_path / "work")
    config = made[0].copy()
    config.work_dir = str(copied)
    return config


def flip_byte_in_weights(path: Path) -> None:
    """In the middle of the file there are tensors."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "flipped": flip_byte_in_weights,
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path: os.truncate(path, 0),
    "missing": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_newest_checkpoint_is_passed_over_with_a_warning(
    config: Config, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    DAMAGES[damage](Path(config.work_dir) / "epoch_3.pth")
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    resume_from(config, "auto")
    logger.removeHandler(caplog.handler)
    assert config.load_from == str(Path(config.work_dir) / "epoch_2.pth")
    assert config.resume
    assert damage == "missing" or "epoch_3.pth is passed over" in caplog.text


def test_run_from_the_older_checkpoint_ends_bit_equal(
    config: Config, made: tuple[Config, Path], train: Callable
) -> None:
    work_dir = Path(config.work_dir)
    flip_byte_in_weights(work_dir / "epoch_3.pth")
    (work_dir / "last_checkpoint").write_text("")
    (work_dir / "epoch_3.4711.partial.pth").write_bytes(b"half a file")
    resume_from(config, "auto")
    train(config)
    assert [path.name for path in numbered_checkpoints(work_dir)] == ["epoch_2.pth", "epoch_3.pth"]
    assert (work_dir / "last_checkpoint").read_text() == str(work_dir / "epoch_3.pth")
    assert_same_training(work_dir / "epoch_3.pth", made[1] / "epoch_3.pth")


def test_kill_in_the_middle_of_writing_leaves_the_files_before(
    config: Config, made: tuple[Config, Path], start: Callable, train: Callable, tmp_path: Path
) -> None:
    config.work_dir = str(tmp_path / "killed")
    hooks = config.get("custom_hooks", [])
    config.custom_hooks = [*hooks, dict(type="TroubleWhileWriting", kind="kill")]
    assert start(config).wait() == [-signal.SIGKILL]
    left = sorted(path.name for path in (tmp_path / "killed").glob("*.pth"))
    assert left[0] == "epoch_1.pth"
    assert "partial" in left[1]
    assert len(left) == 2

    config.custom_hooks = hooks
    resume_from(config, "auto")
    assert Path(config.load_from).name == "epoch_1.pth"
    train(config)
    assert [path.name for path in numbered_checkpoints(tmp_path / "killed")] == ["epoch_2.pth", "epoch_3.pth"]
    assert_same_training(tmp_path / "killed" / "epoch_3.pth", made[1] / "epoch_3.pth")


def test_full_disk_ends_the_run_and_keeps_what_was_saved(config: Config, start: Callable, tmp_path: Path) -> None:
    config.work_dir = str(tmp_path / "full")
    config.custom_hooks = [*config.get("custom_hooks", []), dict(type="TroubleWhileWriting", kind="full")]
    run = start(config)
    assert run.wait() == [2]
    assert "epoch_2.pth cannot be written ([Errno 28] No space left on device" in run.output()
    assert [path.name for path in (tmp_path / "full").glob("*.pth*")] == ["epoch_1.pth"]
    assert latest_checkpoint(tmp_path / "full") == tmp_path / "full" / "epoch_1.pth"
    assert '"failed"' in (tmp_path / "full" / "run_state.json").read_text()


def test_copied_work_directory_goes_on_without_touching_the_first(
    config: Config, made: tuple[Config, Path], train: Callable
) -> None:
    before = {path: path.stat().st_mtime_ns for path in sorted(made[1].rglob("*"))}
    Path(config.work_dir, "epoch_3.pth").unlink()
    resume_from(config, "auto")
    train(config)
    assert Path(config.work_dir, "last_checkpoint").read_text() == str(Path(config.work_dir, "epoch_3.pth"))
    assert {path: path.stat().st_mtime_ns for path in sorted(made[1].rglob("*"))} == before


def test_explicit_checkpoint_that_is_damaged_is_an_error(config: Config) -> None:
    path = Path(config.work_dir) / "epoch_3.pth"
    flip_byte_in_weights(path)
    with pytest.raises(ValueError, match=r"--resume: checkpoint .*epoch_3.pth is damaged: the checksum of its part"):
        resume_from(config, str(path))
    DAMAGES["truncated"](path)
    with pytest.raises(ValueError, match=r"--resume: checkpoint .*epoch_3.pth cannot be read: it is truncated"):
        resume_from(config, str(path))


def test_only_damaged_checkpoints_are_an_error_and_none_a_fresh_start(config: Config, tmp_path: Path) -> None:
    for path in Path(config.work_dir).glob("*.pth"):
        DAMAGES["empty"](path)
    with pytest.raises(ValueError, match=r"none of the 2 checkpoints in .* can be read"):
        resume_from(config, "auto")
    config.work_dir = str(tmp_path / "nothing")
    resume_from(config, "auto")
    assert (config.resume, config.load_from) == (False, None)


def assert_same_training(found: Path, expected: Path) -> None:
    """Weights and optimiser are equal to the last bit."""
    ours, theirs = load_restricted(found), load_restricted(expected)
    assert ours["meta"]["iter"] == theirs["meta"]["iter"]
    for name, value in theirs["state_dict"].items():
        assert torch.equal(ours["state_dict"][name], value), name
    for index, states in theirs["optimizer"]["state"].items():
        for name, value in states.items():
            assert torch.equal(ours["optimizer"]["state"][index][name], value), (index, name)
