"""Loaders of evaluation: keyed, in order, every sample as it is."""

from typing import Any

from mmengine.runner import Runner
from torch.utils.data import DataLoader

from clipplus.data import KeyedDataset


def build_evaluation_loader(config: dict[str, Any], seed: int | None, option: str) -> DataLoader:
    """The loader of a config; its data set is wrapped into a `KeyedDataset`, and nothing is shuffled by default.

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
    if dataset_of(loader).on_bad_sample != "raise":
        raise ValueError(f"{option}: on_bad_sample='replace' would score other samples")
    return loader


def dataset_of(loader: DataLoader) -> KeyedDataset:
    """The data set of a loader that `build_evaluation_loader` built."""
    dataset: Any = loader.dataset
    return dataset
