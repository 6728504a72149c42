"""torchrun with two gloo processes against one process with the same global batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from clipplus.checkpoints import load_restricted

ROOT = Path(__file__).parents[2]
TRAIN = ROOT / "tools" / "train.py"
CONFIG = ROOT / "configs" / "clip" / "clip_vit-tiny-p8_1xb128-20e_own-pictures.py"


def train(
    pictures: Path, work_dir: Path, ranks: int, batch_size: int, *more: str
) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Losses of every update, and the final weights."""
    options = [
        f"train_dataloader.dataset.dataset.data_root={pictures}", f"train_dataloader.batch_size={batch_size}",
        "train_dataloader.num_workers=0", "train_cfg.max_epochs=3", "default_hooks.logger.interval=1",
        "log_processor.window_size=1", *more,
    ]  # fmt: skip
    starter = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"] if ranks > 1 else []
    command = [sys.executable, *starter, str(TRAIN), str(CONFIG), "--work-dir", str(work_dir), "--no-validate"]
    launcher = ["--launcher", "pytorch"] if ranks > 1 else []
    run = subprocess.run(
        [*command, *launcher, "--cfg-options", *options], env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    scalars = next(work_dir.rglob("scalars.json")).read_text().splitlines()
    losses = [record["loss"] for record in map(json.loads, scalars) if "loss" in record]
    return losses, load_restricted(work_dir / "epoch_3.pth")["state_dict"]


@pytest.mark.parametrize("options", [[], ["model.micro_batch=3"]], ids=["whole", "in chunks"])
def test_two_processes_train_like_one_with_the_same_global_batch(
    pictures: Path, tmp_path: Path, options: list[str]
) -> None:
    losses, weights = train(pictures, tmp_path / "one", ranks=1, batch_size=16)
    other_losses, other_weights = train(pictures, tmp_path / "two", 2, 8, *options)
    assert len(losses) == 9
    assert other_losses == pytest.approx(losses, abs=1e-5)
    assert losses[-1] != losses[0]
    for name, value in weights.items():
        torch.testing.assert_close(other_weights[name], value, rtol=0, atol=1e-5)
