"""Promise 3: which samples an update learns from, and how they were augmented, depends on the seed alone.

The model is replaced by one that learns nothing: only the data are looked at.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

GLOBAL_BATCH = 6
WAYS = [(1, 1), (1, 3), (2, 0), (2, 1), (3, 0)]

Trace = list[dict[str, Any]]
Run = Callable[..., Trace]


@pytest.fixture(scope="module")
def run(
    shapes_path: Path, shrunk: Callable[..., Config], without_learning: Callable[[Config], Config],
    train: Callable[..., Trace], tmp_path_factory: pytest.TempPathFactory,
) -> Run:  # fmt: skip
    """`run(ranks, workers, seed=0, **more)`: trace of 2 epochs with the same global batch; more: keys of the config."""

    def run_it(ranks: int, workers: int, seed: int = 0, **more: Any) -> Trace:
        config = shrunk(shapes_path, tmp_path_factory.mktemp("order") / "work", bare=True, noisy=True)
        without_learning(config)
        config.train_dataloader.update(batch_size=GLOBAL_BATCH // ranks, num_workers=workers)
        config.randomness = dict(seed=seed)
        for key, value in more.items():
            config[key] = value
        return train(config, ranks)

    return run_it


@pytest.fixture(scope="module")
def alone(run: Run) -> Trace:
    """One process without workers."""
    return run(1, 0)


def seen(trace: Trace) -> list[tuple]:
    """What every update learnt from."""
    return [(record["samples"], record["pixels"], record["captions"]) for record in trace]


def test_an_epoch_shows_no_sample_twice_and_epochs_differ(alone: Trace) -> None:
    half = len(alone) // 2
    epochs = [[digest for record in part for digest in record["pixels"]] for part in (alone[:half], alone[half:])]
    assert [len(set(epoch)) for epoch in epochs] == [half * GLOBAL_BATCH] * 2
    assert epochs[0] != epochs[1]


def test_another_seed_gives_another_order(run: Run, alone: Trace) -> None:
    assert seen(run(1, 0, seed=1)) != seen(alone)


@pytest.mark.parametrize(("ranks", "workers"), WAYS)
def test_ranks_and_workers_do_not_change_what_an_update_learns_from(
    run: Run, alone: Trace, ranks: int, workers: int
) -> None:
    assert seen(run(ranks, workers)) == seen(alone)


def test_a_run_of_one_rank_goes_on_with_two(
    run: Run, alone: Trace, shapes_path: Path, shrunk: Callable[..., Config], tmp_path: Path
) -> None:
    whole = shrunk(shapes_path, tmp_path)
    hooks, length = whole.default_hooks, dict(type=whole.train_cfg.type, max_epochs=1, val_interval=1)
    run(1, 0, work_dir=str(tmp_path / "work"), default_hooks=hooks, train_cfg=length)
    checkpoint = next((tmp_path / "work").glob("epoch_*.pth"))
    options = dict(work_dir=str(tmp_path / "work"), default_hooks=hooks, resume=True, load_from=str(checkpoint))
    resumed = run(2, 1, **options)
    assert len(resumed) == len(alone)
    assert seen(resumed) == seen(alone)
