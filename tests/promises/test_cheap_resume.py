"""Promise 2: however far a run has come, resuming it reads no sample that was trained on before."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, TRANSFORMS

from clipplus.checkpoints import load_restricted
from clipplus.engine import latest_checkpoint

FAR = 1_000_000
COUNTED, AT_START = "decoded", "decoded_before_first_update"


@TRANSFORMS.register_module(force=True)
class CountSamples:
    """Leaves a byte in a file for every sample that any process reads."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        with open(self.path, "ab", buffering=0) as file:  # noqa: PTH123 - unbuffered, appending
            file.write(b".")
        return results


@HOOKS.register_module(force=True)
class LookAtCount(Hook):
    """Notes how many samples were read when the first update of this process begins."""

    seen = False

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        if not self.seen:
            self.seen = True
            folder = Path(runner.work_dir)
            counted = folder / COUNTED
            (folder / AT_START).write_text(str(counted.stat().st_size if counted.is_file() else 0))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_resume_at_a_million_updates_reads_what_a_fresh_start_reads(
    shapes_path: Path, num_workers: int, tmp_path: Path, shrunk: Callable, train: Callable
) -> None:
    config = shrunk(shapes_path, tmp_path / "work")
    config.update(val_cfg=None, val_dataloader=None, val_evaluator=None)
    loader = config.train_dataloader
    loader.num_workers = num_workers
    if num_workers:
        loader.prefetch_factor = 2
    dataset, reads = loader.dataset, 1
    while "dataset" in dataset:
        if dataset.type == "EpisodeDataset":
            # It is made of several videos.
            reads = dataset.way * (dataset.shots + dataset.queries)
        dataset = dataset.dataset
    count = tmp_path / "work" / COUNTED
    dataset.pipeline = [dict(type="CountSamples", path=str(count)), *dataset.pipeline]
    config.custom_hooks = [*config.get("custom_hooks", []), dict(type="LookAtCount")]
    config.train_cfg = dict(type=config.train_cfg.type, max_iters=4)
    train(config)
    fresh = decoded_at_start(config)

    config.train_cfg = dict(type=config.train_cfg.type, max_iters=FAR + 2)
    config.resume, config.load_from = True, str(moved(latest_checkpoint(config.work_dir), FAR))
    count.unlink()
    records = train(config)
    assert [record["iteration"] for record in records][-2:] == [FAR, FAR + 1]
    ahead = reads * loader.batch_size * (2 * num_workers + 1)
    assert decoded_at_start(config) <= ahead
    if config.train_cfg.type != "StepLoop":
        # It reads everything once, before the first update, and keeps what it needs.
        assert decoded_at_start(config) == 0
        return
    assert fresh <= ahead
    assert num_workers or decoded_at_start(config) == fresh == reads * loader.batch_size


def decoded_at_start(config: Config) -> int:
    return int((Path(config.work_dir) / AT_START).read_text())


def moved(checkpoint: Path, updates: int) -> Path:
    """The checkpoint, as if it had been saved after so many updates."""
    content = load_restricted(checkpoint)
    content["meta"].update(iter=updates)
    path = checkpoint.with_name("far.pth")
    torch.save(content, path)
    return path
