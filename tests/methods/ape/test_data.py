"""Data sets of few-shot classification, on the host's data sets and on ours."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS
from PIL import Image

import clipplus.methods.ape

PACK = [dict(type="mmpretrain.PackInputs")]


@pytest.fixture(autouse=True, scope="module")
def _scope() -> None:
    assert clipplus.methods.ape  # registers the data sets
    init_default_scope("mmpretrain")


def picture(path: Path, colour: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), colour, np.uint8)).save(path)


@pytest.fixture
def things(tmp_path: Path) -> Path:
    """A data set in the form of CoOp's, not sorted by label."""
    splits = {
        split: [[f"{name}/{split}{i}.png", label, name] for name, label in order for i in range(4)]
        for split, order in dict(
            train=[("red_panda", 1), ("cat", 0)], val=[("cat", 0), ("red_panda", 1)], test=[("cat", 0)]
        ).items()
    }
    for items in splits.values():
        for path, label, _ in items:
            picture(tmp_path / "oxfordthings" / "images" / path, 50 * label)
    (tmp_path / "oxfordthings" / "split_zhou_Things.json").write_text(json.dumps(splits))
    return tmp_path


def coop(root: Path, split: str = "train", **options) -> dict:
    return dict(
        type="CoOpSplit", data_root=[str(root / "oxford_things"), str(root / "oxfordthings")], split=split,
        ann_file="split_zhou_Things.json", image_folder="images", pipeline=[dict(type="LoadImageFromFile"), *PACK],
        **options,
    )  # fmt: skip


def test_coop_split_reads_pictures_labels_and_names(things: Path) -> None:
    dataset = DATASETS.build(coop(things))
    assert dataset.metainfo["classes"] == ("cat", "red panda")
    assert [dataset.get_data_info(i)["gt_label"] for i in range(8)] == [1] * 4 + [0] * 4
    item = dataset[0]
    assert item["inputs"].shape == (3, 8, 8)
    assert int(item["data_samples"].gt_label) == 1
    assert item["data_samples"].sample_idx == 0


def test_coop_split_warns_of_another_size_and_names_missing_pictures(things: Path, caplog) -> None:
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    dataset = DATASETS.build(coop(things, expected=9))
    DATASETS.build(coop(things, expected=8))
    logger.removeHandler(caplog.handler)
    assert len(dataset) == 8
    said = {record.getMessage() for record in caplog.records if "are usual" in record.getMessage()}
    assert said == {f"{dataset.file}: 'train' has 8 pictures, 9 are usual"}
    (things / "oxfordthings" / "images" / "cat" / "train2.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 8 pictures .* are missing, first: .*cat/train2.png"):
        DATASETS.build(coop(things))
    assert len(DATASETS.build(coop(things, check_images=False))) == 8


def subset(dataset: dict, shots: int = 2, **options) -> dict:
    return dict(type="FewShotSubset", num_shots=shots, dataset=dataset, **options)


def test_shots_are_numbered_anew_and_keep_their_pictures(things: Path) -> None:
    shots = DATASETS.build(subset(coop(things), seed=3))
    assert shots.labels == [1, 1, 0, 0]
    infos = [shots.get_data_info(i) for i in range(4)]
    assert [info["sample_idx"] for info in infos] == [0, 1, 2, 3]
    assert all(Path(info["img_path"]).is_file() for info in infos)
    assert [shots[i]["data_samples"].sample_idx for i in range(4)] == [0, 1, 2, 3]
    assert shots.metainfo["classes"] == ("cat", "red panda")


def test_held_out_pictures_are_none_of_the_shots(things: Path) -> None:
    parts = [DATASETS.build(subset(coop(things), part=part, holdout=1)) for part in ("shots", "holdout")]
    paths = [{part.get_data_info(i)["img_path"] for i in range(len(part))} for part in parts]
    assert len(paths[1]) == 2
    assert not paths[0] & paths[1]


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """Warnings so far."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield lambda: [record.getMessage() for record in caplog.records if "classes have" in record.getMessage()]
    logger.removeHandler(caplog.handler)


@pytest.mark.parametrize(
    ("how", "done"), [("repeat", "are drawn with repetition"), ("keep", "have that many shots only")]
)
def test_classes_of_fewer_pictures_than_shots_are_named(things: Path, said: Callable, how: str, done: str) -> None:
    DATASETS.build(subset(coop(things), 4, replace_short=how))
    assert said() == []
    DATASETS.build(subset(coop(things), 5, replace_short=how))
    short = "2 of 2 classes have fewer samples than num_shots=5: 0 'cat' (4), 1 'red panda' (4)"
    assert said() == [f"{short}; they {done} (replace_short='{how}')"]
    with pytest.raises(ValueError, match=rf"{re.escape(short)}; choose fewer shots"):
        DATASETS.build(subset(coop(things), 5, replace_short="error"))


def test_a_class_that_nothing_can_be_chosen_on_is_named(tmp_path: Path, said: Callable) -> None:
    for name, pictures in (("a", 3), ("b", 2)):
        for number in range(pictures):
            picture(tmp_path / name / f"{number}.png", number)
    host = dict(type="CustomDataset", data_root=str(tmp_path))
    assert len(DATASETS.build(subset(host, part="holdout"))) == 1
    (warning,) = said()
    assert warning.startswith("1 of 2 classes have no sample left to hold out: 1 'b';")


def test_shots_of_a_hosts_data_set(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        for number in range(3):
            picture(tmp_path / name / f"{number}.png", number)
    host = dict(type="CustomDataset", data_root=str(tmp_path), pipeline=[dict(type="LoadImageFromFile"), *PACK])
    shots = DATASETS.build(subset(host))
    assert shots.labels == [0, 0, 1, 1, 2, 2]
    assert tuple(shots.metainfo["classes"]) == ("a", "b", "c")
    assert int(shots[5]["data_samples"].gt_label) == 2


def test_shots_of_shapes_are_found_without_drawing_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipplus.data.shapes.dataset.render", None)
    shots = DATASETS.build(subset(dict(type="ShapesDataset", num_scenes=1200, pipeline=PACK), shots=1))
    assert sorted(shots.labels) == list(range(80))


def test_a_class_without_picture_is_named(things: Path) -> None:
    with pytest.raises(ValueError, match="1 of 2 classes of CoOpSplit have no sample: 1 'red panda'"):
        DATASETS.build(subset(coop(things, "test")))


def test_samples_without_label_are_refused() -> None:
    class Unlabelled:
        metainfo: dict = {}

        def full_init(self) -> None: ...

        def __len__(self) -> int:
            return 1

        def get_data_info(self, index: int) -> dict:
            return {}

    with pytest.raises(ValueError, match="sample 0 of Unlabelled has no gt_label"):
        DATASETS.build(subset(Unlabelled()))


def test_an_unknown_part_is_refused(things: Path) -> None:
    with pytest.raises(ValueError, match="part must be 'shots' or 'holdout', got 'rest'"):
        DATASETS.build(subset(coop(things), part="rest"))


@pytest.fixture
def records(tmp_path: Path) -> dict:
    """Captioned pictures whose records name two kinds of class."""
    lines = []
    for number, kind in enumerate(["b-side", "a-side", "c-side", "b-side"]):
        picture(tmp_path / f"{number}.png", number)
        lines.append(json.dumps(dict(image=f"{number}.png", captions=["it"], gt_label=number, kind=kind)))
    (tmp_path / "list.jsonl").write_text("\n".join(lines))
    pipeline = [dict(type="LoadImageFromFile"), *PACK]
    return dict(type="CaptionDataset", ann_file="list.jsonl", data_root=str(tmp_path), pipeline=pipeline)


def test_a_field_can_be_the_class(records: dict) -> None:
    dataset = DATASETS.build(dict(type="FieldClasses", field="kind", dataset=records))
    assert dataset.metainfo["classes"] == ("a side", "b side", "c side")
    assert [int(dataset[i]["data_samples"].gt_label) for i in range(4)] == [1, 0, 2, 1]


def test_classes_of_a_field_can_be_chosen(records: dict) -> None:
    chosen = dict(type="FieldClasses", field="kind", classes=["c-side", "b-side"], dataset=records)
    shots = DATASETS.build(subset(chosen, shots=1))
    assert shots.metainfo["classes"] == ("c side", "b side")
    assert shots.labels == [1, 0]
    with pytest.raises(ValueError, match=r"no sample has kind='c_side' \(did you mean 'c-side'\?\)"):
        DATASETS.build({**chosen, "classes": ["c_side"]})
    with pytest.raises(ValueError, match="sample 0 of CaptionDataset has no field 'group'"):
        DATASETS.build({**chosen, "field": "group"})


def test_numbered_folders_are_sorted_as_numbers(tmp_path: Path) -> None:
    for number in range(12):
        picture(tmp_path / str(number) / "x.png", number)
    pipeline = [dict(type="LoadImageFromFile"), *PACK]
    dataset = DATASETS.build(dict(type="NumberedFolders", data_root=str(tmp_path), pipeline=pipeline))
    assert [int(dataset[i]["inputs"][0, 0, 0]) for i in range(12)] == list(range(12))
    assert [int(dataset[i]["data_samples"].gt_label) for i in range(12)] == list(range(12))
    config = dict(type="NumberedFolders", data_root=str(tmp_path), pipeline=pipeline)
    names = [f"name {number}" for number in range(12)]
    renamed = DATASETS.build(dict(type="RenamedClasses", classes=names, dataset=config))
    assert renamed.metainfo["classes"] == tuple(names)
    assert DATASETS.build(subset(dict(type="RenamedClasses", classes=names, dataset=config), 1)).labels == [*range(12)]
    assert int(renamed[10]["data_samples"].gt_label) == 10
    with pytest.raises(ValueError, match="NumberedFolders has 12 classes, but 2 names are given"):
        DATASETS.build(dict(type="RenamedClasses", classes=["a", "b"], dataset=config))
    (tmp_path / "n01440764").mkdir()
    with pytest.raises(ValueError, match="found 'n01440764'"):
        DATASETS.build(dict(type="NumberedFolders", data_root=str(tmp_path)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty holds no folders"):
        DATASETS.build(dict(type="NumberedFolders", data_root=str(tmp_path / "empty")))
    with pytest.raises(FileNotFoundError, match="none does not exist"):
        DATASETS.build(dict(type="NumberedFolders", data_root=str(tmp_path / "none")))
