"""Features of files as samples, and what is said of broken files."""

from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS
from safetensors.torch import save_file

import clipplus.methods.ape


@pytest.fixture(autouse=True, scope="module")
def _scope() -> None:
    assert clipplus.methods.ape  # registers the data sets
    init_default_scope("mmpretrain")


def subset(dataset: dict, shots: int) -> dict:
    return dict(type="FewShotSubset", num_shots=shots, dataset=dataset)


def features(path: Path, name: str = "features", **content: torch.Tensor) -> str:
    tensors = {name: torch.randn(6, 4), "labels": torch.tensor([0, 1, 2, 0, 1, 2]), **content}
    save_file(tensors, path / "f.safetensors")
    return str(path / "f.safetensors")


def test_stored_features_are_samples(tmp_path: Path) -> None:
    path = features(tmp_path, features=torch.arange(24.0).reshape(6, 4).half())
    shots = DATASETS.build(subset(dict(type="FeatureDataset", path=path, classes=["a", "b", "c"]), shots=1))
    for position in range(3):
        item, number = shots[position], shots.indices[position]
        assert item["inputs"].tolist() == [4.0 * number + i for i in range(4)]
        assert item["inputs"].dtype == torch.float32
        assert int(item["data_samples"].gt_label) == shots.labels[position]
        assert item["data_samples"].sample_idx == position


def test_a_view_of_several_can_be_taken(tmp_path: Path) -> None:
    raw = torch.randn(3, 6, 4)
    save_file({"raw": raw, "labels": torch.zeros(6, dtype=torch.int64)}, tmp_path / "raw.safetensors")
    dataset = DATASETS.build(dict(type="FeatureDataset", path=str(tmp_path / "raw.safetensors"), view=2))
    assert torch.equal(dataset[4]["inputs"], raw[2, 4])


def test_broken_feature_files_are_named(tmp_path: Path) -> None:
    build = lambda **options: DATASETS.build(dict(type="FeatureDataset", **options))  # noqa: E731
    with pytest.raises(FileNotFoundError, match=r"none.safetensors does not exist"):
        build(path=str(tmp_path / "none.safetensors"))
    path = features(tmp_path)
    with pytest.raises(ValueError, match="label 2 is beyond the 2 classes"):
        build(path=path, classes=["a", "b"])
    with pytest.raises(ValueError, match=r"must hold features \(or raw\) and labels, found \['labels', 'x'\]"):
        build(path=features(tmp_path, name="x"))
    with pytest.raises(ValueError, match=r"6 features, but labels of shape \(5,\)"):
        build(path=features(tmp_path, labels=torch.zeros(5, dtype=torch.int64)))
    Path(path).write_bytes(Path(path).read_bytes()[:-7])
    with pytest.raises(ValueError, match="truncated"):
        build(path=path)
