"""Features of a training set: complete, in the order of ids."""

from types import ModuleType

import pytest
import torch

from clipplus.evaluation.frozen_features import extract_features
from clipplus.evaluation.loaders import build_evaluation_loader, dataset_of, readable_size


def test_features_come_in_the_order_of_ids_whatever_the_loader_does(points: ModuleType) -> None:
    config = points.loader(batch_size=4, seed=0, count=11, noise=0.2)
    plain = extract_features(points.PointModel(), build_evaluation_loader(config, 0, "train"), "train")
    config["sampler"] = dict(type="DefaultSampler", shuffle=True)
    shuffled = extract_features(points.PointModel(), build_evaluation_loader(config, 0, "train"), "train")
    assert plain.labels.tolist() == [index % 3 for index in range(11)]
    assert torch.equal(shuffled.features, plain.features)
    assert torch.equal(shuffled.labels, plain.labels)


def test_a_sampler_that_leaves_samples_out_is_an_error(points: ModuleType) -> None:
    config = points.loader(batch_size=4, seed=0, count=11, noise=0.2) | dict(drop_last=True)
    with pytest.raises(RuntimeError, match="train has 11 samples, but 8 different sample ids arrived"):
        extract_features(points.PointModel(), build_evaluation_loader(config, 0, "train"), "train")


def test_skipped_samples_are_left_out(points: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    config = points.loader(batch_size=1, seed=0, count=6, noise=0.2)
    plain = extract_features(points.PointModel(), build_evaluation_loader(config, 0, "train"), "train")
    config["dataset"] = dict(type="KeyedDataset", dataset=config["dataset"], on_bad_sample="skip", max_bad_fraction=0.2)
    loader = build_evaluation_loader(config, 0, "train")
    inner = dataset_of(loader).dataset
    read = type(inner).__getitem__

    def read_some(dataset: object, index: int) -> object:
        if index == 2:
            raise OSError("truncated file")
        return read(dataset, index)

    monkeypatch.setattr(type(inner), "__getitem__", read_some)
    features = extract_features(points.PointModel(), loader, "train")
    assert torch.equal(features.features, plain.features[[0, 1, 3, 4, 5]])
    assert readable_size(loader) == 5
    assert dataset_of(loader).bad_samples == [2]


def test_replacing_bad_samples_is_refused(points: ModuleType) -> None:
    config = points.loader(seed=0, count=3, noise=0.2)
    config["dataset"] = dict(type="KeyedDataset", dataset=config["dataset"], on_bad_sample="replace")
    with pytest.raises(ValueError, match="train: on_bad_sample='replace' would score other samples"):
        build_evaluation_loader(config, 0, "train")
