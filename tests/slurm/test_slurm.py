"""Training and testing under Slurm, on a cluster of one node that really runs."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "distributed.md"
EPOCHS, UPDATES = 6, 10

Call = Callable[..., subprocess.CompletedProcess[str]]
Weights = Callable[[Path], dict[str, torch.Tensor]]


def assert_equal(weights: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """Bit by bit."""
    assert weights.keys() == expected.keys()
    assert [name for name, value in expected.items() if not torch.equal(weights[name], value)] == []


def test_two_tasks_end_with_the_weights_of_torchrun(by_slurm: Path, by_torchrun: Path, weights: Weights) -> None:
    assert_equal(weights(by_slurm), weights(by_torchrun))


def test_tasks_train_one_wrapped_model_on_their_own_samples(by_slurm: Path) -> None:
    first, second = [json.loads((by_slurm / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    assert first["model"] == second["model"] == "MMDistributedDataParallel"
    assert first["world_size"] == second["world_size"] == 2
    assert not set(first["samples"]) & set(second["samples"])
    assert first["weights"] == second["weights"]


def test_slurm_test_has_the_metrics_of_one_process(by_slurm: Path, config: Path, call: Call, tmp_path: Path) -> None:
    checkpoint = (by_slurm / "last_checkpoint").read_text().strip()
    commands = {
        "slurm": ["bash", "tools/slurm_test.sh", "test", "job", config, checkpoint],
        "alone": ["python", "tools/test.py", config, checkpoint],
    }
    metrics, printed = {}, {}
    for name, command in commands.items():
        run = call(*command, "--out", tmp_path / f"{name}.json", "--work-dir", tmp_path / name)
        assert run.returncode == 0, run.stderr[-3000:]
        metrics[name] = json.loads((tmp_path / f"{name}.json").read_text())["metrics"]
        printed[name] = re.findall(r"(shapes_\w+/\S+): +([\d.]+)", run.stdout + run.stderr)
    assert metrics["slurm"] == metrics["alone"]
    assert {"shapes_classes/top1", "shapes_captions/text_to_image_R@5"} <= metrics["slurm"].keys()
    assert printed["slurm"] == printed["alone"] != []


@pytest.fixture
def batch_script(tmp_path: Path) -> Path:
    """The batch script of docs/distributed.md, as it stands there."""
    (block,) = re.findall(r"^```bash\n(#!/.*?#SBATCH.*?)^```$", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    path = tmp_path / "train.sbatch"
    path.write_text(block)
    return path


def test_a_job_that_is_signalled_and_requeued_ends_with_the_weights_of_an_undisturbed_one(
    batch_script: Path, by_torchrun: Path, config: Path, weights: Weights, submit: Callable[..., Any], tmp_path: Path
) -> None:
    work_dir = tmp_path / "work"
    job = submit(batch_script, work_dir, config, work_dir, "--no-validate")
    # What `--signal=USR1@120` does two minutes before the time limit; the script then requeues its own job.
    job.wait_for_start(0)
    job.slurm("scancel", "--signal=USR1", job.number)
    job.run_again()
    # What a job of higher priority does where partitions are preemptible: SIGTERM.
    job.wait_for_start(1)
    job.slurm("scontrol", "requeue", job.number)
    job.run_again()
    job.wait(lambda: job.state() == "COMPLETED")
    computed = [(line["start"], line["update"]) for line in job.updates()]
    assert {start for start, _ in computed} == {0, 1, 2}
    assert [update for _, update in computed] == list(range(EPOCHS * UPDATES))
    assert_equal(weights(work_dir), weights(by_torchrun))


def test_a_cancelled_job_is_saved_and_not_requeued(
    batch_script: Path, config: Path, submit: Callable[..., Any], tmp_path: Path
) -> None:
    work_dir = tmp_path / "work"
    job = submit(batch_script, work_dir, config, work_dir, "--no-validate")
    job.wait_for_start(0)
    job.slurm("scancel", job.number)
    job.wait(lambda: job.state() == "CANCELLED")
    state = json.loads((work_dir / "run_state.json").read_text())
    assert state == {"state": "preempted", "iteration": len(job.updates())}
    assert Path((work_dir / "last_checkpoint").read_text().strip()).is_file()


def test_a_dying_rank_ends_the_job_and_leaves_the_last_checkpoint(config: Path, call: Call, tmp_path: Path) -> None:
    dying = tmp_path / "dying_shapes.py"
    hook = f"dict(type='WatchedRanksHook', dying_rank=1, dies_after={UPDATES + 2})"
    dying.write_text(f"_base_ = ['{config}']\ncustom_hooks = [{hook}]\n")
    run = call("bash", "tools/slurm_train.sh", "test", "job", dying, tmp_path / "work", "--no-validate")
    assert run.returncode == 137, run.stderr[-3000:]
    assert Path((tmp_path / "work" / "last_checkpoint").read_text().strip()).is_file()
    last = json.loads((tmp_path / "work" / "updates.jsonl").read_text().splitlines()[-1])
    assert last["update"] <= UPDATES + 3
