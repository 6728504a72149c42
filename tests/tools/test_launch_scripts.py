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


def test_slurm_inside_an_allocation_takes_what_the_job_asked_for(launched) -> None:
    job = {"SLURM_NTASKS": "16", "SLURM_NTASKS_PER_NODE": "8", "SLURM_CPUS_PER_TASK": "12"}
    arguments = launched("slurm_train.sh", "gpu", "job", "a.py", "out", **job)
    assert {"--gres=gpu:8", "--ntasks=16", "--ntasks-per-node=8", "--cpus-per-task=12"} <= set(arguments)


@pytest.mark.parametrize("script", ["slurm_train.sh", "slurm_test.sh"])
def test_jobs_that_share_a_node_have_their_own_ports_and_no_more_threads_than_under_torchrun(
    launched, script: str, tmp_path: Path
) -> None:
    (tmp_path / "srun").write_text('#!/bin/sh\necho "$MASTER_PORT $OMP_NUM_THREADS"\n')
    arguments = (script, "cpu", "job", "a.py", "b")
    assert launched(*arguments, SLURM_JOB_ID="412345") == ["22345 1"]
    assert launched(*arguments, SLURM_JOB_ID="412346", OMP_NUM_THREADS="4") == ["22346 4"]
    assert launched(*arguments, MASTER_PORT="29500") == ["29500 1"]


@pytest.mark.parametrize(
    ("written", "returned", "code"),
    [("preempted", 143, 85), ("failed", 143, 143), (None, 143, 143), ("preempted", 137, 137)],
)
def test_slurm_train_returns_85_when_srun_ended_ranks_that_were_leaving_as_preempted(
    written: str | None, returned: int, code: int, tmp_path: Path
) -> None:
    work_dir = tmp_path / "work dir"
    work_dir.mkdir()
    state = work_dir / "run_state.json"
    # Of an earlier start.
    state.write_text('{"state": "preempted", "iteration": 3}\n')
    line = f"echo '{{\"state\": \"{written}\"}}' > '{state}'" if written else ""
    (tmp_path / "srun").write_text(f"#!/bin/sh\n{line}\nexit {returned}\n")
    (tmp_path / "srun").chmod(0o755)
    command = ["bash", str(TOOLS / "slurm_train.sh"), "cpu", "job", "a.py", str(work_dir)]
    run = subprocess.run(command, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, check=False)
    assert run.returncode == code
