"""Seeding per sample, replacement of bad samples, and its bound."""

import random

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from clipplus.data import EpochOrder, GlobalBatches, KeyedDataset


class Drawing(Dataset):
    """Returns (index, a random number); the listed indices are unreadable."""

    metainfo = {"classes": ["a"]}

    def __init__(self, size: int, bad: tuple[int, ...] = ()) -> None:
        self.size, self.bad = size, bad

    def __len__(self) -> int:
        return self.size

    def get_data_info(self, index: int) -> dict:
        return {"key": f"img_{index}"}

    def __getitem__(self, index: int) -> tuple[int, float]:
        if index in self.bad:
            raise OSError("truncated file")
        return index, random.random()


def read_epoch(workers: int, dataset: KeyedDataset) -> list:
    sampler = GlobalBatches(EpochOrder(dataset), 4)
    sampler.stop = 6
    loader = DataLoader(dataset, batch_sampler=sampler, num_workers=workers, collate_fn=list)
    return [item for batch in loader for item in batch]


def test_draws_depend_on_seed_epoch_and_index_but_not_on_workers() -> None:
    assert read_epoch(0, KeyedDataset(Drawing(12))) == read_epoch(2, KeyedDataset(Drawing(12)))
    dataset = KeyedDataset(Drawing(12))
    first = dataset[(0, 3)]
    assert dataset[(0, 3)] == first != dataset[(1, 3)]
    dataset.seed = 1
    assert dataset[(0, 3)] != first


def test_evaluation_draws_from_its_own_stream() -> None:
    dataset = KeyedDataset(Drawing(5))
    assert dataset[3] == dataset[3] != dataset[(0, 3)]


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_samples_are_replaced_reproducibly_and_counted_over_workers(workers: int) -> None:
    dataset = KeyedDataset(Drawing(12, bad=(2, 5)), on_bad_sample="replace", max_bad_fraction=0.2)
    items = read_epoch(workers, dataset)
    assert len(items) == 24
    assert not {2, 5} & {index for index, _ in items}
    assert dataset.bad_samples == [2, 5]
    assert items == read_epoch(0, KeyedDataset(Drawing(12, bad=(2, 5)), on_bad_sample="replace", max_bad_fraction=0.2))


def test_too_many_bad_samples_stop_the_run_and_are_named() -> None:
    dataset = KeyedDataset(Drawing(100, bad=(2, 5)), on_bad_sample="replace", max_bad_fraction=0.01)
    dataset[(0, 2)]
    with pytest.raises(
        RuntimeError, match=r"2 of 100 samples cannot be read, allowed are 1 .* 'img_5': truncated file"
    ):
        dataset[(0, 5)]


def test_evaluation_skips_and_lists_unreadable_samples_within_the_bound() -> None:
    dataset = KeyedDataset(Drawing(10, bad=(2, 5)), on_bad_sample="skip", max_bad_fraction=0.1)
    assert dataset[1] is not None
    assert dataset[2] is None
    assert dataset.bad_records() == [{"index": 2, "key": "img_2", "error": "OSError"}]
    with pytest.raises(RuntimeError, match=r"2 of 10 samples cannot be read, allowed are 1 .* 'img_5'"):
        dataset[5]
    dataset.forget_bad_samples()
    assert dataset.bad_samples == []


def test_training_does_not_skip() -> None:
    with pytest.raises(ValueError, match="on_bad_sample='skip' is for evaluation"):
        KeyedDataset(Drawing(4), on_bad_sample="skip")[(0, 1)]


def test_marks_of_an_earlier_part_of_the_run_count_towards_the_bound() -> None:
    first = KeyedDataset(Drawing(10, bad=(2, 5)), on_bad_sample="replace", max_bad_fraction=0.1)
    first[(0, 2)]
    assert (first.agree(), first.agree()) == (1, 0)
    second = KeyedDataset(Drawing(10, bad=(2, 5)), on_bad_sample="replace", max_bad_fraction=0.1)
    second.mark(first.marks)
    assert second.agree() == 1
    with pytest.raises(RuntimeError, match="2 of 10 samples cannot be read"):
        second[(0, 5)]


def test_agreement_refuses_what_single_processes_could_not_see() -> None:
    dataset = KeyedDataset(Drawing(10), on_bad_sample="replace", max_bad_fraction=0.1)
    dataset.mark({3: 1, 7: 2})
    with pytest.raises(RuntimeError, match=r"2 of 10 samples cannot be read, allowed are 1 .*; one is 'img_7'"):
        dataset.agree()


def test_raise_is_the_default_and_passes_the_error_on() -> None:
    with pytest.raises(OSError, match="truncated file"):
        KeyedDataset(Drawing(4, bad=(1,)))[1]


def test_empty_data_and_unknown_policy_are_refused() -> None:
    with pytest.raises(ValueError, match="Drawing is empty: check its ann_file"):
        KeyedDataset(Drawing(0))
    with pytest.raises(ValueError, match="on_bad_sample must be 'raise', 'replace' or 'skip', got 'ignore'"):
        KeyedDataset(Drawing(4), on_bad_sample="ignore")  # type: ignore[arg-type]


def test_meta_information_is_forwarded() -> None:
    assert KeyedDataset(Drawing(4)).metainfo == {"classes": ["a"]}
    assert KeyedDataset(Drawing(4)).get_data_info(2) == {"key": "img_2"}


def test_quiet_worker_is_registered() -> None:
    from mmengine.registry import FUNCTIONS

    assert FUNCTIONS.get("quiet_worker") is not None
    assert torch.get_num_threads() >= 1
