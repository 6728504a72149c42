"""Promise 9: bad data is counted over all ranks, reported and bounded, in training and in evaluation."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import DATASETS
from torch.utils.data import Dataset

from clipplus.data import EpochOrder
from clipplus.engine.launch import build_runner


@DATASETS.register_module(force=True)
class PartlyUnreadable(Dataset):
    """Any data set of which some samples cannot be read."""

    def __init__(self, dataset: dict, unreadable: list[int]) -> None:
        self.dataset, self.unreadable = DATASETS.build(dataset), unreadable
        self.metainfo = self.dataset.metainfo

    def __len__(self) -> int:
        return len(self.dataset)

    def get_data_info(self, index: int) -> dict:
        return self.dataset.get_data_info(index)

    def __getitem__(self, index: int) -> Any:
        if index in self.unreadable:
            raise OSError(f"sample {index} is truncated")
        return self.dataset[index]


def spoil(part: Any, policy: str, unreadable: list[int], allowed: float) -> None:
    """Make samples of the data set of a loader unreadable."""
    dataset = part["dataset"]
    inner = dataset["dataset"] if dataset["type"] == "KeyedDataset" else dataset
    part["dataset"] = dict(
        type="KeyedDataset", on_bad_sample=policy, max_bad_fraction=allowed,
        dataset=dict(type="PartlyUnreadable", dataset=inner, unreadable=unreadable),
    )  # fmt: skip


def first_batch(config: Config) -> list[int]:
    """Samples of the first update, in the order of the global batch: each rank gets an equal part of it."""
    size = config.train_dataloader.batch_size
    order = EpochOrder(list(range(32)))
    order.seed = config.randomness.seed
    return [int(index) for index in order.order(0)[:size]]


def listed(config: Config, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(config.work_dir) / name).read_text().splitlines()]


@pytest.mark.parametrize("ranks", [1, 2])
def test_unreadable_samples_are_replaced_counted_listed_and_reported(
    shapes_path: Path, shrunk: Callable[..., Config], start: Callable[..., Any], tmp_path: Path, ranks: int
) -> None:
    config = shrunk(shapes_path, tmp_path / "work", bare=True)
    unreadable = [*first_batch(config)[:1], *first_batch(config)[-1:]]
    spoil(config.train_dataloader, "replace", unreadable, allowed=0.1)
    config.train_dataloader.batch_size //= ranks
    run = start(config, ranks)
    assert run.wait() == [0] * ranks, run.output()
    records = listed(config, "bad_samples.jsonl")
    assert [record["index"] for record in records] == sorted(unreadable)
    assert {record["error"] for record in records} == {"OSError"}
    assert all(re.search(rf"\D{record['index']}$", record["key"]) for record in records)
    assert "2 of 32 training samples could not be read and were replaced; they are listed in" in run.logs[0].read_text()


def test_the_bound_holds_for_all_ranks_together(
    shapes_path: Path, shrunk: Callable[..., Config], start: Callable[..., Any],
    trace: Callable[[str], list[dict[str, Any]]], tmp_path: Path,
) -> None:  # fmt: skip
    config = shrunk(shapes_path, tmp_path / "work", bare=True)
    # One for each rank, and one is allowed: no rank alone has too many.
    unreadable = [first_batch(config)[0], first_batch(config)[-1]]
    spoil(config.train_dataloader, "replace", unreadable, allowed=0.05)
    config.train_dataloader.batch_size //= 2
    config.default_hooks.bad_samples.interval = 2
    run = start(config, 2)
    assert run.wait() == [1, 1], run.output()
    for log in run.logs:
        assert "RuntimeError: 2 of 32 samples cannot be read, allowed are 1 (max_bad_fraction=0.05)" in log.read_text()
    assert [record["iteration"] for record in trace(config.work_dir)] == [0]
    assert [record["index"] for record in listed(config, "bad_samples.jsonl")] == sorted(unreadable)


def test_counts_are_part_of_the_hooks_state_and_go_on_in_another_run(
    shapes_path: Path, shrunk: Callable[..., Config], start: Callable[..., Any], tmp_path: Path
) -> None:
    config = shrunk(shapes_path, tmp_path / "work", bare=True)
    spoil(config.train_dataloader, "replace", [first_batch(config)[0]], allowed=0.05)
    earlier = next(index for index in range(32) if index not in first_batch(config))

    def resumed(config: Config) -> None:
        runner = build_runner(config)
        hook = next(hook for hook in runner.hooks if type(hook).__name__ == "BadSampleHook")
        hook.load_state_dict({"size": 32, "marks": {earlier: 1}})
        runner.train()

    run = start(config, 1, resumed)
    assert run.wait() == [1], run.output()
    assert "RuntimeError: 2 of 32 samples cannot be read, allowed are 1" in run.output()


class Results(Hook):
    """What an evaluation found, as JSON beside the work directory."""

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        Path(f"{runner.work_dir}.results.json").write_text(json.dumps(metrics))


def validation(config: Config) -> None:
    runner = build_runner(config)
    runner.register_hook(Results())
    runner.val()


def spoil_evaluation(config: Config, policy: str) -> list[str]:
    """Make two samples of every set unreadable; the names of the sets."""
    config.default_hooks.checkpoint = None
    sets = config.val_dataloader.get("sets")
    if sets is None:
        pytest.skip("a host's own evaluation loop")
    if config.val_cfg.type.startswith("FeatureCache"):
        pytest.skip("episodes pass over videos instead of being left out, see tests/few_shot_video")
    for part in sets.values():
        spoil(part, policy, [1, 6], allowed=0.5)
    return list(sets)


@pytest.mark.parametrize("ranks", [1, 2])
def test_evaluation_leaves_unreadable_samples_out_and_says_which(
    shapes_config: Config, start: Callable[..., Any], ranks: int
) -> None:
    sets = spoil_evaluation(shapes_config, "skip")
    shapes_config.val_dataloader.update(batch_size=2)
    run = start(shapes_config, ranks, validation)
    assert run.wait() == [0] * ranks, run.output()
    results = json.loads(Path(f"{shapes_config.work_dir}.results.json").read_text())
    assert {name: results[f"{name}/skipped_samples"] for name in sets} == dict.fromkeys(sets, 2.0)
    records = listed(shapes_config, "skipped_val.jsonl")
    assert [(record["set"], record["index"]) for record in records] == [(name, i) for name in sets for i in (1, 6)]
    assert f"{2 * len(sets)} unreadable samples were left out of this evaluation" in run.logs[0].read_text()


def test_evaluation_raises_unless_told_otherwise(shapes_config: Config, start: Callable[..., Any]) -> None:
    spoil_evaluation(shapes_config, "raise")
    run = start(shapes_config, 1, validation)
    assert run.wait() == [1]
    assert "OSError: sample 1 is truncated" in run.output()
