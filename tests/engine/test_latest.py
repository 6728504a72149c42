"""Which file a run goes on from."""

import os
from pathlib import Path

import pytest
import torch

from clipplus.engine.latest import latest_checkpoint, require_whole


def save(path: Path, updates: int) -> Path:
    torch.save({"meta": {"iter": updates}, "state_dict": {"weight": torch.arange(5000.0)}}, path)
    return path


def test_most_updates_win_whatever_names_and_times_say(tmp_path: Path) -> None:
    newest = save(tmp_path / "iter_90.pth", 90)
    save(tmp_path / "epoch_2.pth", 80)
    save(tmp_path / "best_top1_epoch_9.pth", 999)
    os.utime(newest, (0, 0))
    assert latest_checkpoint(tmp_path) == newest


def test_no_folder_and_no_checkpoint_are_none(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path / "nowhere") is None
    (tmp_path / "last_checkpoint").write_text("")
    assert latest_checkpoint(tmp_path) is None


@pytest.mark.parametrize("position", [0.3, 0.5, 0.99])
def test_any_flipped_byte_is_found(tmp_path: Path, position: float) -> None:
    older, newer = save(tmp_path / "epoch_1.pth", 1), save(tmp_path / "epoch_2.pth", 2)
    content = bytearray(newer.read_bytes())
    content[int(position * len(content))] ^= 1
    newer.write_bytes(content)
    assert latest_checkpoint(tmp_path) == older


def test_file_of_no_training_is_passed_over(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(3)}, tmp_path / "epoch_1.pth")
    assert latest_checkpoint(tmp_path) is None


def test_whole_file_is_whole(tmp_path: Path) -> None:
    path = save(tmp_path / "epoch_1.pth", 1)
    assert require_whole(path) == path
