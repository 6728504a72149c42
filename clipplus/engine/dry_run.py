"""`--dry-run`: build everything, train a few updates, say what the whole run will cost."""

import resource
import sys
import tempfile
import time
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import master_only
from mmengine.hooks import Hook

from clipplus.engine.launch import build_runner

# The first update pays for warming up and is not counted.
_UPDATES = 3


class _StopwatchHook(Hook):
    """Notes when each update ended, and how long the run was meant to be."""

    priority = "LOWEST"

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.planned_updates = 0

    def before_train(self, runner: Any) -> None:
        self.planned_updates = runner.max_iters
        runner.train_loop._max_iters = min(_UPDATES, runner.max_iters)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())


def dry_run(config: Config) -> dict[str, float]:
    """Build model, data and evaluation of `config`, train three updates, report and write nothing.

    Returns:
        `seconds_per_update`, `samples_per_second`, `peak_memory_gib` (of the GPU, or of this process), `hours` (ETA of
        the whole training, validation not counted). The report is printed as well.

    Raises:
        ValueError: the config does not train.
    """
    if config.get("train_cfg") is None:
        raise ValueError("--dry-run measures training, but the config has no train_cfg")
    stopwatch = _StopwatchHook()
    with tempfile.TemporaryDirectory() as folder:
        config = config.copy()
        config.work_dir = folder
        config.load_from, config.resume = None, False
        config.default_hooks = dict(config.get("default_hooks", {}), checkpoint=None)
        validation = {key: config.pop(key, None) for key in ("val_cfg", "val_dataloader", "val_evaluator")}
        runner = build_runner(config)
        runner.register_hook(stopwatch)
        runner.train()
        if validation["val_cfg"]:
            _build_validation(runner, validation)
    report = _report(stopwatch, runner.train_loop.batches.global_batch_size)
    _print(report, stopwatch.planned_updates)
    return report


def _build_validation(runner: Any, validation: dict[str, Any]) -> None:
    """Open the evaluation data, so that what is missing shows now and not after the first epoch."""
    runner._val_dataloader, runner._val_evaluator = validation["val_dataloader"], validation["val_evaluator"]
    runner.build_val_loop(validation["val_cfg"])


def _report(stopwatch: _StopwatchHook, samples: int) -> dict[str, float]:
    counted = max(len(stopwatch.ends) - 1, 1)
    # A fit without updates has none to measure.
    seconds = (stopwatch.ends[-1] - stopwatch.ends[0]) / counted if stopwatch.ends else 0.0
    if torch.cuda.is_available():
        memory = torch.cuda.max_memory_allocated()
    else:
        # Linux counts in KiB, macOS in bytes.
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "seconds_per_update": seconds,
        "samples_per_second": samples / seconds if seconds else float("inf"),
        "peak_memory_gib": memory / 2**30,
        "hours": seconds * stopwatch.planned_updates / 3600,
    }


@master_only
def _print(report: dict[str, float], updates: int) -> None:
    if not updates:
        sys.stdout.write(f"dry run: no updates to train, peak memory {report['peak_memory_gib']:.2f} GiB\n")
        return
    sys.stdout.write(
        f"dry run: {report['seconds_per_update']:.3f} s per update, {report['samples_per_second']:.0f} samples/s, "
        f"peak memory {report['peak_memory_gib']:.2f} GiB, {updates} updates in about {report['hours']:.2f} hours\n"
    )
