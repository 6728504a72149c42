"""Published split files are read as they are, and broken ones named."""

import json
from pathlib import Path

import pytest

from clipplus.methods.ape.coop_split import first_folder, read_split

CONTENT = {
    "train": [["b/1.jpg", 1, "red_panda"], ["a/1.jpg", 0, "cat"]],
    "val": [["c/1.jpg", 2, "owl"]],
    "test": [["a/2.jpg", 0, "cat"]],
}


def written(folder: Path, content: object) -> Path:
    path = folder / "split_zhou_Things.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_order_labels_and_names_are_those_of_the_file(tmp_path: Path) -> None:
    split = read_split(written(tmp_path, CONTENT), "train")
    assert split.items == [("b/1.jpg", 1), ("a/1.jpg", 0)]
    # Also of the classes that another split names.
    assert split.classes == ["cat", "red panda", "owl"]


@pytest.mark.parametrize(
    ("content", "split", "message"),
    [
        ("{", "train", "is no JSON"),
        ([1], "train", r"must be an object with a list 'train', found: list"),
        ({"test": []}, "train", r"a list 'train', found: test"),
        ({**CONTENT, "val": [["x", "1", "cat"]]}, "train", r"val\[0\] must be \[path, label, class name\]"),
        ({**CONTENT, "test": [["a", 0, "dog"]]}, "train", r"test\[0\]: label 0 is called 'dog', but 'cat' before"),
        ({**CONTENT, "val": [["c", 4, "owl"]]}, "train", r"the labels \[2, 3\] have no picture"),
        (CONTENT, "dev", "unknown split 'dev'; known: train, val, test"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, content: object, split: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_split(written(tmp_path, content), split)


def test_a_missing_file_says_where_it_comes_from(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"split_zhou_X.json does not exist: see .*docs/ape.md"):
        read_split(tmp_path / "split_zhou_X.json", "train")


def test_aircraft_lists_are_read(tmp_path: Path) -> None:
    (tmp_path / "variants.txt").write_text("707-320\nA300B4\nBAE 146-200\n")
    (tmp_path / "images_variant_val.txt").write_text("0056978 BAE 146-200\n1234567 707-320\n")
    split = read_split(tmp_path / "images_variant_val.txt", "val")
    assert split.items == [("0056978.jpg", 2), ("1234567.jpg", 0)]
    assert split.classes == ["707-320", "A300B4", "BAE 146-200"]
    (tmp_path / "images_variant_val.txt").write_text("0056978 Concorde\n")
    with pytest.raises(ValueError, match=r"line 1: 'Concorde' is no line of variants.txt"):
        read_split(tmp_path / "images_variant_val.txt", "val")


def test_the_first_folder_that_exists_is_taken(tmp_path: Path) -> None:
    (tmp_path / "oxfordpets").mkdir()
    assert first_folder([str(tmp_path / "oxford_pets"), str(tmp_path / "oxfordpets")]) == tmp_path / "oxfordpets"
    assert first_folder([str(tmp_path / "x"), str(tmp_path / "y")]) == tmp_path / "x"
