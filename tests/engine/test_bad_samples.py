"""The run's list of bad samples, and when the ranks agree on it."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch.utils.data import Dataset

from clipplus.data import KeyedDataset
from clipplus.engine import BadSampleHook


class Letters(Dataset):
    """Ten samples, of which 'c' and 'h' cannot be read."""

    def __len__(self) -> int:
        return 10

    def get_data_info(self, index: int) -> dict[str, str]:
        return {"key": "abcdefghij"[index]}

    def __getitem__(self, index: int) -> str:
        if index in (2, 7):
            raise FileNotFoundError("gone")
        return "abcdefghij"[index]


def run_of(dataset: Any, folder: Path) -> Any:
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset))
    return SimpleNamespace(train_loop=loop, work_dir=str(folder), iter=0)


def letters(allowed: float = 0.3) -> KeyedDataset:
    return KeyedDataset(Letters(), on_bad_sample="replace", max_bad_fraction=allowed)


def keys_in(folder: Path) -> list[str]:
    path = folder / "bad_samples.jsonl"
    return [json.loads(line)["key"] for line in path.read_text().splitlines()] if path.exists() else []


def test_the_list_is_written_when_the_interval_is_over(tmp_path: Path) -> None:
    dataset, hook = letters(), BadSampleHook(interval=3)
    run = run_of(dataset, tmp_path)
    hook.before_train(run)
    dataset[(0, 2)]
    for run.iter, expected in enumerate([[], [], ["c"]]):
        hook.after_train_iter(run, run.iter)
        assert keys_in(tmp_path) == expected
    dataset[(0, 7)]
    hook.after_train_epoch(run)
    lines = (tmp_path / "bad_samples.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"index": 2, "key": "c", "error": "FileNotFoundError"}, {"index": 7, "key": "h", "error": "FileNotFoundError"},
    ]  # fmt: skip


def test_nothing_is_written_while_all_can_be_read(tmp_path: Path) -> None:
    dataset, hook = letters(), BadSampleHook()
    run = run_of(dataset, tmp_path)
    hook.before_train(run)
    dataset[(0, 0)]
    hook.after_train(run)
    assert list(tmp_path.iterdir()) == []


def test_a_resumed_run_goes_on_counting(tmp_path: Path) -> None:
    first, hook = letters(), BadSampleHook()
    hook.before_train(run_of(first, tmp_path))
    first[(0, 2)]
    state = hook.state_dict()
    assert state == {"size": 10, "marks": {2: 1}}
    second, resumed = letters(allowed=0.1), BadSampleHook()
    resumed.load_state_dict(state)
    resumed.before_train(run_of(second, tmp_path))
    with pytest.raises(RuntimeError, match=r"2 of 10 samples cannot be read, allowed are 1 .* 'h': gone"):
        second[(1, 7)]


def test_marks_of_another_data_set_are_left(tmp_path: Path) -> None:
    dataset, hook = letters(), BadSampleHook()
    hook.load_state_dict({"size": 9, "marks": {8: 1}})
    hook.before_train(run_of(dataset, tmp_path))
    assert dataset.bad_samples == []


def test_a_failing_run_leaves_its_list(tmp_path: Path) -> None:
    dataset, hook = letters(), BadSampleHook()
    run = run_of(dataset, tmp_path)
    hook.before_train(run)
    dataset[(0, 7)]
    hook.after_failure(run, RuntimeError("whatever"))
    assert keys_in(tmp_path) == ["h"]


def test_other_data_sets_are_left_alone(tmp_path: Path) -> None:
    hook = BadSampleHook()
    for dataset in (Letters(), KeyedDataset(Letters())):
        run = run_of(dataset, tmp_path)
        hook.before_train(run)
        hook.after_train(run)
        assert hook.state_dict() == {}


def test_an_interval_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="interval must be at least 1 update, got 0"):
        BadSampleHook(interval=0)
