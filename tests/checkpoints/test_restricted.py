"""Foreign checkpoint files: nothing in them runs, and every refusal says what was asked for."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from clipplus.checkpoints import load_restricted


class RunsOnLoad:
    """Pickles to a call of `function(*arguments)`."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.call


def test_mmengine_checkpoints_come_back_equal(tmp_path: Path) -> None:
    history = HistoryBuffer([1.0, 2.0], [1, 1], max_length=50)
    saved = {
        "meta": {"epoch": 3, "config": "raise SystemExit", "cfg": "a = 1"},
        "state_dict": {"w": torch.arange(3.0)},
        "message_hub": {"log_scalars": {"train/loss": history}, "runtime_info": {"best": np.float64(0.5)}},
        "arrays": [np.arange(4), np.float32(2.0), (np.bool_(True), 7)],
    }
    torch.save(saved, tmp_path / "epoch_3.pth")
    loaded = load_restricted(tmp_path / "epoch_3.pth")
    restored = loaded["message_hub"]["log_scalars"]["train/loss"]
    assert isinstance(restored, HistoryBuffer)
    assert restored.max_length == 50
    assert restored.mean() == history.mean()
    restored.update(5.0)
    assert restored.current() == 5.0
    assert loaded["message_hub"]["runtime_info"]["best"] == 0.5
    np.testing.assert_array_equal(loaded["arrays"][0], np.arange(4))
    assert loaded["arrays"][2] == (True, 7)
    torch.testing.assert_close(loaded["state_dict"]["w"], torch.arange(3.0))


def test_config_text_that_a_resume_would_execute_is_dropped(tmp_path: Path) -> None:
    torch.save({"meta": {"config": "import os; os.abort()", "epoch": 1}}, tmp_path / "a.pth")
    assert load_restricted(tmp_path / "a.pth")["meta"] == {"epoch": 1}


@pytest.mark.parametrize(
    ("payload", "named"),
    [
        (lambda marker: RunsOnLoad(os.system, f"touch {marker}"), "posix.system"),
        (lambda marker: RunsOnLoad(getattr, HistoryBuffer, "__init__"), "builtins.getattr"),
        (lambda marker: RunsOnLoad(eval, f"open({str(marker)!r}, 'w')"), "eval"),
        (lambda marker: np.array([RunsOnLoad(os.system, f"touch {marker}")], dtype=object), "ObjectDType"),
    ],
    ids=["system", "getattr", "eval", "object-array"],
)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_malicious_pickles_are_refused_by_name_and_nothing_runs(
    payload: object, named: str, zipped: bool, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    path = tmp_path / "evil.pth"
    torch.save({"state_dict": {}, "x": payload(marker)}, path, _use_new_zipfile_serialization=zipped)  # type: ignore[operator]
    with pytest.raises(ValueError, match=rf"evil.pth is refused: it asks for .*{named}"):
        load_restricted(path)
    assert not marker.exists()


def test_plain_pickles_are_refused(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(RunsOnLoad(os.system, f"touch {marker}")))
    with pytest.raises(ValueError, match=r"evil.pkl"):
        load_restricted(tmp_path / "evil.pkl")
    assert not marker.exists()


@pytest.mark.parametrize("keep", [0, 10, 300])
def test_truncated_files_give_one_clear_error(keep: int, tmp_path: Path) -> None:
    torch.save({"state_dict": {"w": torch.zeros(100)}}, tmp_path / "whole.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"cut.pth cannot be read: it is truncated or no PyTorch checkpoint"):
        load_restricted(tmp_path / "cut.pth")


def test_foreign_files_give_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "notes.pth").write_text("these are not weights")
    with pytest.raises(ValueError, match=r"notes.pth cannot be read: it is truncated or no PyTorch checkpoint"):
        load_restricted(tmp_path / "notes.pth")


def test_torchscript_archives_are_refused(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "model.pt"))
    with pytest.raises(ValueError, match=r"model.pt is a TorchScript archive"):
        load_restricted(tmp_path / "model.pt")


def test_missing_file_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"checkpoint nowhere/a.pth does not exist"):
        load_restricted("nowhere/a.pth")
