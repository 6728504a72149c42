"""The launch scripts, with a `torchrun` and an `srun` that only print what they were given."""

import os
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"
SCRIPTS = ("dist_train.sh", "dist_test.sh", "slurm_train.sh", "slurm_test.sh")


@pytest.fixture
def launched(tmp_path: Path):
    """Run a script: the arguments that its launcher got, one per line."""
    for name in ("torchrun", "srun"):
        (tmp_path / name).write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
        (tmp_path / name).chmod(0o755)

    def launch(script: str, *arguments: str, **variables: str) -> list[str]:
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", **variables}
        command = ["bash", str(TOOLS / script), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()

    return launch


@pytest.mark.parametrize("script", SCRIPTS)
def test_missing_arguments_end_in_the_usage(script: str) -> None:
    run = subprocess.run(["bash", str(TOOLS / script), "CONFIG"], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert f"bash tools/{script} " in run.stderr
    assert "CONFIG" in run.stderr


def test_dist_train_forwards_the_signals_that_ask_for_a_checkpoint(launched) -> None:
    arguments = launched("dist_train.sh", "a.py", "2", "--amp", PORT="29511", NNODES="3", NODE_RANK="1")
    assert {"--nnodes=3", "--node-rank=1", "--nproc-per-node=2", "--master-port=29511"} <= set(arguments)
    assert arguments[arguments.index("--signals-to-handle") + 1] == "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"
    assert arguments[-4:] == ["a.py", "--launcher", "pytorch", "--amp"]


def test_dist_test_hands_on_config_and_checkpoint(launched) -> None:
    assert launched("dist_test.sh", "a.py", "a.pth", "2", "--out", "m.json")[-6:] == [
        "a.py", "a.pth", "--launcher", "pytorch", "--out", "m.json",
    ]  # fmt: skip


def test_slurm_train_starts_a_task_per_gpu_and_keeps_blanks_in_arguments(launched) -> None:
    options = "train_cfg.max_epochs=1 seed=2"
    arguments = launched("slurm_train.sh", "gpu", "job", "a.py", "out dir", "--cfg-options", options, GPUS="4")
    assert {"--partition=gpu", "--gres=gpu:4", "--ntasks=4", "--ntasks-per-node=4"} <= set(arguments)
    assert arguments[-5:] == ["a.py", "--work-dir=out dir", "--launcher=slurm", "--cfg-options", options]


def test_slurm_runs_on_the_cpu_and_passes_srun_arguments(launched) -> None:
    arguments = launched(
        "slurm_test.sh", "cpu", "job", "a.py", "a.pth", GPUS="2", GRES="none", SRUN_ARGS="--quiet --time=5"
    )
    assert not any(argument.startswith("--gres") for argument in arguments)
    assert {"--quiet", "--time=5", "--ntasks=2"} <= set(arguments)
