"""Loaders of evaluation: keyed, in order, every sample as it is."""

from collections.abc import Callable, Sequence
from typing import Any

from mmengine.runner import Runner
from torch.utils.data import DataLoader

from clipplus.data import KeyedDataset


def build_evaluation_loader(config: dict[str, Any], seed: int | None, option: str) -> DataLoader:
    """The loader of a config; its data set is wrapped into a `KeyedDataset`, and nothing is shuffled by default.

    With `on_bad_sample='skip'` unreadable samples are left out of their batch; a batch without any other is None.

    Args:
        config: as of mmengine's `Runner.build_dataloader`; not changed.
        seed: the run's seed, for samplers and workers.
        option: where the config stands, for messages, e.g. 'val_dataloader'.

    Raises:
        ValueError: `on_bad_sample='replace'`, which would score other samples.
    """
    config = dict(config)
    dataset = config["dataset"]
    if not isinstance(dataset, KeyedDataset) and dataset.get("type") != "KeyedDataset":
        config["dataset"] = dict(type="KeyedDataset", dataset=dataset)
    config.setdefault("sampler", dict(type="DefaultSampler", shuffle=False))
    loader = Runner.build_dataloader(config, seed=seed)
    if dataset_of(loader).on_bad_sample == "replace":
        raise ValueError(f"{option}: on_bad_sample='replace' would score other samples; use 'skip' or 'raise'")
    if dataset_of(loader).on_bad_sample == "skip":
        loader.collate_fn = _CollateReadable(loader.collate_fn)
    return loader


def readable_size(loader: DataLoader) -> int:
    """Samples of the set without those that a rank could not read; every rank must call it, after the last batch.

    Raises:
        RuntimeError: more were unreadable than `max_bad_fraction` allows.
    """
    dataset = dataset_of(loader)
    if dataset.on_bad_sample != "skip":
        return len(dataset)
    dataset.agree()
    return len(dataset) - len(dataset.bad_samples)


class _CollateReadable:
    """A collate function that is shown the readable samples only; a class, since spawned workers pickle it."""

    def __init__(self, collate: Callable[[list[Any]], Any]) -> None:
        self.collate = collate

    def __call__(self, samples: Sequence[Any]) -> Any:
        readable = [sample for sample in samples if sample is not None]
        return self.collate(readable) if readable else None


def dataset_of(loader: DataLoader) -> KeyedDataset:
    """The data set of a loader that `build_evaluation_loader` built."""
    dataset: Any = loader.dataset
    return dataset
