"""How a run ended, written for scripts; and the script that reads it."""

import json
import os
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clipplus.engine.run_state import forget_run_state, write_run_state

DIST_TRAIN = Path(__file__).parents[2] / "tools" / "dist_train.sh"


def test_state_is_written_for_the_run_and_for_the_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPPLUS_RUN_STATE", str(tmp_path / "copy"))
    write_run_state(tmp_path, "preempted", 7)
    expected = {"state": "preempted", "iteration": 7}
    assert json.loads((tmp_path / "run_state.json").read_text()) == expected
    assert json.loads((tmp_path / "copy").read_text()) == expected
    forget_run_state(tmp_path)
    assert not (tmp_path / "run_state.json").exists()


def test_first_cause_stays_and_every_machine_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert write_run_state(tmp_path, "failed", 3, any_rank=True) == "failed"
    monkeypatch.setenv("CLIPPLUS_RUN_STATE", str(tmp_path / "copy"))
    assert write_run_state(tmp_path, "preempted", 4) == "failed"
    assert json.loads((tmp_path / "run_state.json").read_text()) == {"state": "failed", "iteration": 3}
    assert json.loads((tmp_path / "copy").read_text())["state"] == "failed"


def test_of_writers_at_the_same_time_one_is_first(tmp_path: Path) -> None:
    def end(state: str) -> str:
        start.wait()
        return write_run_state(tmp_path, state, 5, any_rank=True)

    for _ in range(20):
        forget_run_state(tmp_path)
        start = threading.Barrier(2)
        with ThreadPoolExecutor(2) as pool:
            states = set(pool.map(end, ["failed", "preempted"]))
        assert len(states) == 1
        assert [path.name for path in tmp_path.iterdir()] == ["run_state.json"]


@pytest.mark.parametrize(
    ("state", "launcher_code", "code"), [("preempted", 1, 85), ("failed", 1, 1), ("finished", 0, 0), ("", 3, 3)]
)
def test_dist_train_returns_what_the_ranks_say(tmp_path: Path, state: str, launcher_code: int, code: int) -> None:
    assert (
        script(tmp_path, f'echo \'{{"state": "{state}"}}\' > $CLIPPLUS_RUN_STATE; exit {launcher_code}').wait() == code
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_dist_train_hands_a_signal_on_and_waits_for_the_end(tmp_path: Path, number: int) -> None:
    name = signal.Signals(number).name[3:]
    process = script(
        tmp_path,
        f'trap \'sleep 0.2; echo "{{\\"state\\": \\"preempted\\"}}" > $CLIPPLUS_RUN_STATE; exit 1\' {name}\n'
        "echo ready; while :; do sleep 0.05; done",
    )
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    assert process.wait(20) == 85


def script(folder: Path, torchrun: str) -> "subprocess.Popen[bytes]":
    """`dist_train.sh` with another torchrun."""
    (folder / "torchrun").write_text(f"#!/bin/bash\n{torchrun}\n")
    (folder / "torchrun").chmod(0o755)
    environment = {"PATH": f"{folder}:{os.environ['PATH']}"}
    return subprocess.Popen(["bash", str(DIST_TRAIN), "a.py", "2"], env=environment, stdout=subprocess.PIPE)
