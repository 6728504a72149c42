"""A hook for the ranks of a test job, whose config imports it: it tells what they do, and can end one of them."""

import hashlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class WatchedRanksHook(Hook):
    """Appends a line per update (`updates.jsonl`, rank 0) and writes what each rank ends with (`rank<n>.json`).

    Args:
        dying_rank: this rank is killed
        dies_after: after this update (from 0).
    """

    priority = "ABOVE_NORMAL"

    def __init__(self, dying_rank: int | None = None, dies_after: int = 0) -> None:
        self.dying_rank, self.dies_after = dying_rank, dies_after

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if get_rank() == 0:
            record = dict(start=int(os.environ.get("SLURM_RESTART_COUNT", "0")), update=runner.iter)
            with (Path(runner.work_dir) / "updates.jsonl").open("a") as file:
                file.write(json.dumps(record) + "\n")
        if get_rank() == self.dying_rank and runner.iter == self.dies_after:
            os.kill(os.getpid(), signal.SIGKILL)

    def after_train(self, runner: Any) -> None:
        record = dict(
            model=type(runner.model).__name__, world_size=get_world_size(), samples=_samples(runner.train_dataloader),
            weights=_digest(runner.model.module if hasattr(runner.model, "module") else runner.model),
        )  # fmt: skip
        (Path(runner.work_dir) / f"rank{get_rank()}.json").write_text(json.dumps(record))


def _samples(loader: Any) -> list[int]:
    """Indices of the rank's part of the first batch."""
    loader.batch_sampler.start = 0
    return [index for _, index in next(iter(loader.batch_sampler))]


def _digest(model: torch.nn.Module) -> str:
    """Of all parameters; running statistics of BatchNorm are each rank's own until the next forward."""
    digest = hashlib.blake2b(digest_size=8)
    for name, value in model.named_parameters():
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
