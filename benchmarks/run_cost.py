"""What the promises cost: a training as configs/ have it against mmengine's bare loop; same model, data and optimiser.

Ours is StepLoop with order and randomness by position, and all hooks of the config: checkpoints and preemption,
non-finite steps, provenance, logs. The reference is EpochBasedTrainLoop with DefaultSampler, and the only hooks that it
cannot do without (RuntimeInfoHook, ParamSchedulerHook). Both run in one process, in turn; a round's ratio is that of
seconds between the first and the last update, data loading and all hooks in between; the median is printed, and that
of processor time, which a busy machine disturbs less. What happens once (building, saving at the end) is not counted.

    python benchmarks/run_cost.py [--batch-size 128] [--updates 8] [--rounds 9] [--json RESULT.json]
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import print_rows, write_rows
from mmengine.config import Config
from mmengine.hooks import Hook

from clipplus.engine.launch import build_runner

CONFIG = Path(__file__).parents[1] / "configs" / "clip" / "clip_resnet-tiny_1xb128-8e_shapes.py"
# mmengine adds its default hooks where none is named; None is none.
BARE = dict(timer=None, logger=None, checkpoint=None, sampler_seed=None)


class _Stopwatch(Hook):
    """Notes when each update began, by the clock and in processor time of all threads."""

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self.begun: list[tuple[float, float]] = []

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self.begun.append((time.perf_counter(), time.process_time()))

    def seconds(self) -> tuple[float, float]:
        """Of an update, both; the first one pays for warming up and is not counted."""
        updates = len(self.begun) - 2
        (clock, processor), (clock_end, processor_end) = self.begun[1], self.begun[-1]
        return (clock_end - clock) / updates, (processor_end - processor) / updates


def trusted(batch_size: int, updates: int) -> Config:
    """The config as it is, without validation and workers, for so many updates."""
    config = Config.fromfile(CONFIG)
    config.train_dataloader.update(batch_size=batch_size, num_workers=0)
    config.train_dataloader.dataset.dataset.num_scenes = batch_size * updates
    config.train_cfg = dict(type="StepLoop", max_epochs=1)
    for mode in ("val", "test"):
        config.update({f"{mode}_{part}": None for part in ("cfg", "dataloader", "evaluator")})
    config.custom_hooks = [hook for hook in config.custom_hooks if hook.type == "LogitScaleClampHook"]
    config.log_level = "ERROR"
    return config


def bare(batch_size: int, updates: int) -> Config:
    """The same model, scenes and optimiser in mmengine's own loop."""
    config = trusted(batch_size, updates)
    loader = config.train_dataloader
    config.train_dataloader = dict(
        batch_size=batch_size,
        num_workers=0,
        persistent_workers=False,
        collate_fn=loader.collate_fn,
        sampler=dict(type="DefaultSampler", shuffle=True),
        dataset=loader.dataset.dataset,
    )
    config.train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=1)
    kept = {name: config.default_hooks[name] for name in ("runtime_info", "param_scheduler")}
    config.default_hooks = {**kept, **BARE}
    return config


def seconds_per_update(config: Config) -> tuple[float, float]:
    """Train once; seconds by the clock, and of processor time."""
    stopwatch = _Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        config = config.copy()
        config.work_dir, config.experiment_name = folder, f"bench_{time.time_ns()}"
        runner = build_runner(config)
        runner.register_hook(stopwatch)
        runner.train()
    return stopwatch.seconds()


def compare(batch_size: int, updates: int, rounds: int) -> dict[str, object]:
    """One row: medians over the rounds; who goes first alternates."""
    sides = (trusted(batch_size, updates), bare(batch_size, updates))
    pairs = []
    for number in range(rounds + 1):
        order = (0, 1) if number % 2 else (1, 0)
        taken = {side: seconds_per_update(sides[side]) for side in order}
        pairs.append((taken[0], taken[1]))
    del pairs[0]
    clock, processor = ([(own[kind], other[kind]) for own, other in pairs] for kind in (0, 1))
    return {
        "benchmark": "run_cost",
        "case": f"batch {batch_size}",
        "time_ratio": statistics.median(own / other for own, other in clock),
        "processor_time_ratio": statistics.median(own / other for own, other in processor),
        "time_s": statistics.median(own for own, _ in clock),
        "reference_s": statistics.median(other for _, other in clock),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--updates", type=int, default=8, help="per round")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, help="write the rows here as well")
    arguments = parser.parse_args()
    if arguments.updates < 3:
        parser.error(f"--updates must be at least 3, got {arguments.updates}")
    rows = [compare(arguments.batch_size, arguments.updates, arguments.rounds)]
    print_rows(rows)
    print(f"ratio of processor time: {rows[0]['processor_time_ratio']:.3f}")
    write_rows(rows, arguments.json)


if __name__ == "__main__":
    main()
