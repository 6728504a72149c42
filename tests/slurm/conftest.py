"""A Slurm cluster of one node, and trainings of a second or two for it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from clipplus.checkpoints import load_restricted

ROOT = Path(__file__).parents[2]
STARTER = Path(__file__).with_name("start_slurm.sh")
NEEDED = ("srun", "sbatch", "slurmctld", "slurmd", "munged")

#: Epochs and updates per epoch of a training with two tasks.
EPOCHS, UPDATES = 6, 10

CONFIG = f"""
_base_ = ['{ROOT}/configs/clip/clip_resnet-tiny_1xb128-8e_shapes.py']
custom_imports = dict(imports=['clipplus.clip', 'watched_ranks'], allow_failed_imports=False)
model = dict(
    image_tower=dict(model=dict(vision_cfg=dict(width=8))),
    text_tower=dict(model=dict(text_cfg=dict(width=16, heads=1))))
train_dataloader = dict(batch_size=4, dataset=dict(dataset=dict(num_scenes={8 * UPDATES})))
val_dataloader = dict(
    batch_size=8,
    sets=dict(shapes_classes=dict(dataset=dict(num_scenes=41)), shapes_captions=dict(dataset=dict(num_scenes=23))))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs={EPOCHS})
default_hooks = dict(logger=dict(interval=1))
custom_hooks = [dict(type='LogitScaleClampHook'), dict(type='WatchedRanksHook')]
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a cluster where none can be started."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [name for name in NEEDED if shutil.which(name, path=path) is None]
    skip = pytest.mark.skip(reason=f"{', '.join(missing)} not installed (Debian: slurm-wlm, munge)")
    for item in items:
        if missing and "slurm" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def cluster() -> Iterator[dict[str, str]]:
    """The environment in which Slurm's commands reach a cluster of this session, partition `test`."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}",
        "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "GRES": "none", "GPUS": "2", "CPUS_PER_TASK": "1",
    }  # fmt: skip
    # A cluster that pytest itself runs on is another one.
    environment = {name: value for name, value in environment.items() if not name.startswith(("SLURM_", "MASTER_"))}
    command = ["bash", str(STARTER), "start"]
    start = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert start.returncode == 0, f"no cluster:\n{start.stderr}"
    environment["SLURM_CONF"] = start.stdout.strip().partition("=")[2]
    yield environment
    subprocess.run(["bash", str(STARTER), "stop"], env=environment, check=True)


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of 60 updates whose ranks are watched (see watched_ranks.py)."""
    path = tmp_path_factory.mktemp("config") / "watched_shapes.py"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="session")
def call(cluster: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`call(*command, **environment)`: runs a command in the checkout, where Slurm's commands reach the cluster."""

    def run(*command: Any, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(part) for part in command], cwd=ROOT, env=cluster | more, capture_output=True, text=True, timeout=300,
            check=False,
        )  # fmt: skip

    return run


Call = Callable[..., subprocess.CompletedProcess[str]]


def final_weights(work_dir: Path) -> dict[str, torch.Tensor]:
    """Weights in the newest checkpoint, which must be the last of the training."""
    path = Path((work_dir / "last_checkpoint").read_text().strip())
    checkpoint = load_restricted(path)
    assert checkpoint["meta"]["iter"] == EPOCHS * UPDATES
    return checkpoint["state_dict"]


@pytest.fixture(scope="session")
def weights() -> Callable[[Path], dict[str, torch.Tensor]]:
    """`weights(work_dir)`: what a finished training ended with."""
    return final_weights


@pytest.fixture(scope="session")
def by_torchrun(call: Call, config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Work directory of a training with two processes of tools/dist_train.sh."""
    work_dir = tmp_path_factory.mktemp("torchrun")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    run = call("bash", "tools/dist_train.sh", config, 2, "--work-dir", work_dir, "--no-validate", PORT=port)
    assert run.returncode == 0, run.stderr[-3000:]
    return work_dir


@pytest.fixture(scope="session")
def by_slurm(call: Call, config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Work directory of a training with two tasks of tools/slurm_train.sh."""
    work_dir = tmp_path_factory.mktemp("slurm")
    run = call("bash", "tools/slurm_train.sh", "test", "job", config, work_dir, "--no-validate")
    assert run.returncode == 0, run.stderr[-3000:]
    return work_dir


class Job:
    """A batch job, seen from outside.

    Attributes:
        number: Slurm's job id.
    """

    def __init__(self, call: Call, script: Path, work_dir: Path, *arguments: Any) -> None:
        self.call, self.work_dir = call, work_dir
        self.log = work_dir.with_suffix(".log")
        # Options of the command win over those in the file: what is asked for there is more than a test has.
        self.number = self.slurm(
            "sbatch", "--parsable", "--partition=test", "--nodes=1", "--ntasks=2", "--ntasks-per-node=2", "--gres=none",
            "--cpus-per-task=1", f"--output={self.log}", script, *arguments,
        )  # fmt: skip

    def slurm(self, *command: Any) -> str:
        """A command of Slurm, which must succeed."""
        run = self.call(*command)
        assert run.returncode == 0, f"{command}: {run.stderr}"
        return run.stdout.strip()

    def state(self) -> str:
        """Slurm's word for it, such as RUNNING."""
        return self.slurm("squeue", "--noheader", "--states=all", f"--jobs={self.number}", "--format=%T")

    def updates(self) -> list[dict[str, int]]:
        """Lines of `updates.jsonl`: every update that was computed, and in which start of the job."""
        path = self.work_dir / "updates.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []

    def wait(self, condition: Callable[[], bool], timeout_s: float = 240) -> None:
        """Poll until `condition` holds."""
        end = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end, f"job is {self.state()}:\n{self.log.read_text()[-5000:]}"
            time.sleep(0.05)

    def wait_for_start(self, start: int) -> None:
        """Until the start-th start of the job (from 0) has trained two updates."""
        self.wait(lambda: sum(line["start"] == start for line in self.updates()) >= 2)

    def run_again(self) -> None:
        """Until the job is back in the queue; then without the two minutes that Slurm lets a requeued job wait."""
        self.wait(lambda: self.state() == "PENDING")
        self.slurm("scontrol", "update", f"JobId={self.number}", "StartTime=now")


@pytest.fixture
def submit(call: Call, tmp_path: Path) -> Iterator[Callable[..., Job]]:
    """`submit(script, work_dir, *arguments) -> Job`; the job ends with the test."""
    jobs: list[Job] = []

    def start(script: Path, work_dir: Path, *arguments: Any) -> Job:
        jobs.append(Job(call, script, work_dir, *arguments))
        return jobs[-1]

    yield start
    for job in jobs:
        call("scancel", "--quiet", job.number)
