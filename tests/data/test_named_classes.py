"""A classification data set without some of its classes and with names that can be read."""

from pathlib import Path
from typing import Any

import pytest
from mmengine.dataset import BaseDataset
from torch.utils.data import DataLoader

from clipplus.data import KeyedDataset
from clipplus.data.named_classes import NamedClasses


class Labelled(BaseDataset):
    """Labels 0, 1, 2, 0, 1, 2."""

    METAINFO = dict(classes=("BACKGROUND", "sea_horse", "Ant"))

    def load_data_list(self) -> list[dict[str, Any]]:
        return [dict(img_path=f"{index}.png", gt_label=index % 3) for index in range(6)]


class Nameless(Labelled):
    METAINFO = {}


def fields(item: dict[str, Any]) -> tuple[str, int, int]:
    """What a pipeline would see of a sample."""
    return Path(item["img_path"]).name, item["gt_label"], item["sample_idx"]


def test_dropped_classes_take_their_samples_along_and_the_rest_is_numbered_anew() -> None:
    dataset = NamedClasses(Labelled(test_mode=True, pipeline=[fields]), drop=["BACKGROUND"])
    assert dataset.metainfo["classes"] == ("sea horse", "Ant")
    assert [dataset[index] for index in range(len(dataset))] == [
        ("1.png", 0, 0), ("2.png", 1, 1), ("4.png", 0, 2), ("5.png", 1, 3),
    ]  # fmt: skip


def test_nothing_dropped_changes_the_names_only() -> None:
    plain = Labelled(test_mode=True, pipeline=[fields])
    dataset = NamedClasses(plain)
    assert dataset.metainfo["classes"] == ("BACKGROUND", "sea horse", "Ant")
    assert [dataset[index] for index in range(6)] == [plain[index] for index in range(6)]


def test_works_below_the_loops_wrapper_in_workers() -> None:
    dataset = KeyedDataset(NamedClasses(Labelled(test_mode=True, pipeline=[fields]), drop=["Ant"]))
    assert dataset.metainfo["classes"] == ("BACKGROUND", "sea horse")
    batches = list(DataLoader(dataset, batch_size=2, num_workers=1, collate_fn=list))
    assert [item[1] for batch in batches for item in batch] == [0, 1, 0, 1]


def test_misspelt_class_and_nameless_data_are_refused() -> None:
    with pytest.raises(ValueError, match=r"drop: 'BACKGRUND' is no class of Labelled \(did you mean 'BACKGROUND'\?\)"):
        NamedClasses(Labelled(test_mode=True), drop=["BACKGRUND"])
    with pytest.raises(ValueError, match=r"Nameless names no classes: leave NamedClasses out and name them in the"):
        NamedClasses(Nameless(test_mode=True))
