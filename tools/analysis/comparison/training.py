"""One cell's training in a process of its own, which may be stopped and gone on with."""

import ctypes
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from clipplus.checkpoints.atomic import written_aside
from clipplus.checkpoints.provenance import git_state, machine, versions
from comparison.cells import ROOT, Plan, as_arguments

_TAIL_LINES = 20
# How often the time spent is written down: a sitting that is killed loses at most this much of it.
_HEARTBEAT_S = 5.0
_PATIENCE_S = 60.0
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class TrainingError(Exception):
    """A cell whose training ended without a result; the message has the tail of its log."""


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Atomically."""
    with written_aside(path) as partial:
        partial.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def now() -> str:
    """Date and time, UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


class StopSwitch:
    """As a context, turns SIGINT and SIGTERM into an orderly end: `signum` is set, the running child asked to stop.

    A second signal kills the child.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._since = 0.0
        self._child: subprocess.Popen[bytes] | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSwitch":
        self._before = {signum: signal.signal(signum, self._stop) for signum in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def out_of_patience(self) -> bool:
        """Whether a child that was asked to stop has had time enough for it."""
        return self.signum is not None and time.monotonic() - self._since > _PATIENCE_S

    def watch(self, child: "subprocess.Popen[bytes] | None") -> None:
        """The child that a signal is meant for; a signal that came while it started is handed on."""
        self._child = child
        if child is not None and self.signum is not None:
            child.terminate()

    def _stop(self, signum: int, frame: object) -> None:
        again, self.signum = self.signum is not None, signum
        self._since = self._since or time.monotonic()
        if self._child is not None:
            if again:
                self._child.kill()
            else:
                self._child.terminate()


class Training:
    """The work directory of a cell and the training in it.

    Beside what the trainer writes there are `cell.json` (which config this is, sittings and their seconds) and
    `sitting.log` (all the trainer printed).

    Args:
        plan: the cell.
        work_dir: its folder; emptied when it holds a training of another config.
        trainer: script that is called like tools/train.py.
        start: the training whose checkpoint this one starts from.
    """

    def __init__(self, plan: Plan, work_dir: Path, trainer: Path, start: "Training | None") -> None:
        self.plan, self.work_dir, self.trainer, self.start = plan, work_dir, trainer, start
        self._record_path = work_dir / "cell.json"

    def sittings(self) -> list[dict[str, Any]]:
        """What was spent on this config so far: started, seconds, git revision."""
        if not self._record_path.is_file():
            return []
        record = json.loads(self._record_path.read_text(encoding="utf-8"))
        return record["sittings"] if record["config_fingerprint"] == self.plan.fingerprint else []

    def seconds(self) -> float:
        """Of all sittings, without the start's."""
        return sum(sitting["seconds"] for sitting in self.sittings())

    def checkpoint(self) -> Path | None:
        """The newest checkpoint of this config."""
        pointer = self.work_dir / "last_checkpoint"
        if not self.sittings() or not pointer.is_file():
            return None
        newest = self.work_dir / Path(pointer.read_text(encoding="utf-8").strip()).name
        return newest if newest.is_file() else None

    def metrics(self) -> dict[str, float] | None:
        """What a finished training measured."""
        path = self.work_dir / "results.json"
        if not self.sittings() or not path.is_file():
            return None
        record = json.loads(path.read_text(encoding="utf-8"))
        return record["metrics"] if record.get("source") == "val" else None

    def options(self, show: Callable[[Path], str] = str) -> list[str]:
        """All config options, with the start's checkpoint as `show` writes it.

        Raises:
            TrainingError: a start that keeps no checkpoint.
        """
        options = as_arguments(self.plan.options)
        if self.start is not None:
            checkpoint = self.start.checkpoint()
            if checkpoint is None:
                raise TrainingError(f"its start {self.start.plan.cell} left no checkpoint in {self.start.work_dir}")
            options += [f"{key}={show(checkpoint)}" for key in self.plan.start_options]
        return options

    def run(self, switch: StopSwitch) -> dict[str, Any] | None:
        """Train to the end, from where an earlier sitting left off.

        Returns:
            The record for the result file; None when a signal ended the training before.

        Raises:
            TrainingError: the trainer failed, or left no metrics.
        """
        self._claim_folder()
        if self.metrics() is None:
            self._train(switch)
        metrics = self.metrics()
        if metrics is not None:
            return self._record(metrics)
        if switch.signum is None:
            raise TrainingError(f"no validation results in {self.work_dir / 'results.json'}:\n{self._tail()}")
        return None

    def _claim_folder(self) -> None:
        """Empty it if it holds another config's training, or a finished one that has lost its checkpoint.

        Raises:
            TrainingError: a folder that no table made.
        """
        if self.sittings() and (self.metrics() is None or self.checkpoint() is not None):
            return
        if self.work_dir.is_dir() and any(self.work_dir.iterdir()):
            if not self._record_path.is_file():
                raise TrainingError(f"{self.work_dir} holds files that no table wrote; move them or use --work-dir")
            shutil.rmtree(self.work_dir)
        self.work_dir.mkdir(parents=True, exist_ok=True)

    def _train(self, switch: StopSwitch) -> None:
        sitting = dict(started=now(), seconds=0.0, **git_state(ROOT))
        before, begun = self.sittings(), time.monotonic()

        def note_time() -> None:
            sitting["seconds"] = round(time.monotonic() - begun, 1)
            record = dict(config_fingerprint=self.plan.fingerprint, sittings=[*before, sitting])
            write_json(self._record_path, record)

        command = [sys.executable, str(self.trainer), str(self.plan.config), "--work-dir", str(self.work_dir),
                   "--resume", "--cfg-options", *self.options()]  # fmt: skip
        note_time()
        with (self.work_dir / "sitting.log").open("ab") as log:
            child = _start(command, log.fileno())
            switch.watch(child)
            try:
                code = _wait(child, switch, note_time)
            finally:
                switch.watch(None)
                note_time()
        if code != 0 and switch.signum is None:
            raise TrainingError(f"{shlex.join(command)}\nended with exit code {code}:\n{self._tail()}")

    def _tail(self) -> str:
        log = self.work_dir / "sitting.log"
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
        return "\n".join(f"    {line}" for line in lines[-_TAIL_LINES:])

    def _record(self, metrics: dict[str, float]) -> dict[str, Any]:
        cell, sittings = self.plan.cell, self.sittings()
        record: dict[str, Any] = dict(row=cell.row, data=cell.data, seed=cell.seed, metrics=metrics)
        record |= dict(seconds=round(self.seconds(), 1), started=sittings[0]["started"], finished=now())
        if self.start is not None:
            record["start"] = dict(
                row=self.start.plan.cell.row, seconds=round(self.start.seconds_with_start(), 1),
                config_fingerprint=self.start.plan.fingerprint,
            )  # fmt: skip
        config, options = _relative(self.plan.config), self.options(_relative)
        command = ["python", "tools/train.py", config, "--work-dir", _relative(self.work_dir)]
        command += ["--cfg-options", *options]
        record |= dict(
            command=shlex.join(command), config=config, cfg_options=options, config_fingerprint=self.plan.fingerprint,
            data_fingerprint=self.plan.data_fingerprint, git=git_state(ROOT), sittings=sittings, versions=versions(),
            machine=machine(),
        )  # fmt: skip
        return record

    def seconds_with_start(self) -> float:
        """With the time of the training that it starts from."""
        return self.seconds() + (self.start.seconds_with_start() if self.start is not None else 0.0)


def _relative(path: Path) -> str:
    """Without the folders of this machine where that is possible: result files are published."""
    for folder in (ROOT, Path.cwd()):
        if path.is_relative_to(folder):
            return str(path.relative_to(folder))
    return str(path)


def _start(command: list[str], log: int) -> "subprocess.Popen[bytes]":
    # The checkout of this tool, not an installed package; the folder stays the caller's, as for tools/train.py.
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        # Ctrl-C reaches this tool alone, which stops the trainer; its loader workers would die of it.
        start_new_session=True,
        preexec_fn=_die_with_parent if _libc is not None else None,
    )


def _die_with_parent() -> None:
    """A sitting that is killed leaves no training behind that the next one would race with."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # type: ignore[union-attr]


def _wait(child: "subprocess.Popen[bytes]", switch: StopSwitch, note_time: Callable[[], None]) -> int:
    while (code := _wait_for_a_beat(child)) is None:
        note_time()
        if switch.out_of_patience():
            child.kill()
    return code


def _wait_for_a_beat(child: "subprocess.Popen[bytes]") -> int | None:
    try:
        return child.wait(timeout=_HEARTBEAT_S)
    except subprocess.TimeoutExpired:
        return None
