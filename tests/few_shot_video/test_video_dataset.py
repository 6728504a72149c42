"""Lists of videos, class names and raw frames."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mmengine.registry import DATASETS, init_default_scope

from clipplus.few_shot_video import EpisodeDataset

ROOT = Path(__file__).parents[2]
SPLITS = ROOT / "configs" / "_base_" / "datasets" / "few_shot_splits"
SETS = sorted(path.name for path in SPLITS.iterdir() if path.is_dir())


@pytest.fixture(autouse=True)
def _host() -> None:
    init_default_scope("mmaction")


def build(ann_file: Path, **options: Any) -> Any:
    return DATASETS.build(dict(type="FewShotVideoDataset", ann_file=str(ann_file), **{"pipeline": [], **options}))


def write_list(folder: Path, text: str) -> Path:
    path = folder / "train.txt"
    path.write_text(text)
    return path


def test_paths_may_hold_blanks_and_miss_their_extension(tmp_path: Path) -> None:
    path = write_list(tmp_path, "my videos/a b.mp4 0\n78687 1\n")
    data = build(path, data_prefix=dict(video=str(tmp_path)), suffix=".webm")
    infos = [data.get_data_info(i) for i in range(2)]
    assert [info["filename"] for info in infos] == [f"{tmp_path}/my videos/a b.mp4", f"{tmp_path}/78687.webm"]
    assert [info["label"] for info in infos] == [0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.mp4\n", r"train.txt line 1: expected 'path class_id', got 'a.mp4'"),
        ("a.mp4 0\nb.mp4 walk\n", r"train.txt line 2: expected 'path class_id', got 'b.mp4 walk'"),
        ("\n", "train.txt lists no videos"),
        ("a.mp4 0\nb.mp4 0\na.mp4 1\n", "train.txt lists 'a.mp4' 2 times"),
    ],
)
def test_lines_of_another_form_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(write_list(tmp_path, text))


def test_a_class_without_a_name_is_refused_when_the_list_is_read(tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text(json.dumps({"train": ["run"], "val": None, "test": []}))
    path = write_list(tmp_path, "a.mp4 0\nb.mp4 1\n")
    with pytest.raises(ValueError, match=r"train.txt line 2: class id 1, but there are 1 class names"):
        build(path, classes_file=str(tmp_path / "classes.json"))
    with pytest.raises(ValueError, match=r"no class names for split 'val' \(it has train\)"):
        build(path, classes_file=str(tmp_path / "classes.json"), classes_split="val")
    with pytest.raises(ValueError, match=r"no class names for split 'test' \(it has train\)"):
        build(path, classes_file=str(tmp_path / "classes.json"), classes_split="test")


def test_files_of_another_kind_are_named(tmp_path: Path) -> None:
    path, names = write_list(tmp_path, "a.mp4 0\n"), tmp_path / "classes.json"
    for content, message in ((b"x", "is no JSON"), (b"[1]", "expected an object"), (b"\xff", "is no text file")):
        names.write_bytes(content)
        with pytest.raises(ValueError, match=rf"classes\.json:? {message}"):
            build(path, classes_file=str(names))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"train\.txt is no text file"):
        build(path)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"list of videos .*none.txt does not exist"):
        build(tmp_path / "none.txt")
    with pytest.raises(FileNotFoundError, match=r"file of class names .*none.json does not exist"):
        build(write_list(tmp_path, "a 0"), classes_file=str(tmp_path / "none.json"))


def test_raw_frames_are_counted_and_decoded(tmp_path: Path) -> None:
    for number in range(1, 6):
        folder = tmp_path / "frames" / "clip"
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"img_{number:05}.png"), np.full((4, 6, 3), 10 * number, np.uint8))
    (tmp_path / "frames" / "empty").mkdir()
    data = build(
        write_list(tmp_path, "clip 0\nempty 1\n"), data_prefix=dict(video=str(tmp_path / "frames")),
        filename_tmpl="img_{:05}.png", start_index=1, test_mode=True,
        pipeline=[
            dict(type="SampleFrames", clip_len=1, num_clips=5, test_mode=True), dict(type="RawFrameDecode"),
            dict(type="FormatShape", input_format="NCHW"), dict(type="PackActionInputs"),
        ],
    )  # fmt: skip
    assert data[0]["inputs"][:, 0, 0, 0].tolist() == [10, 20, 30, 40, 50]
    with pytest.raises(FileNotFoundError, match=r"no frames like .*empty/img_00001.png"):
        data[1]


@pytest.mark.parametrize("name", SETS)
def test_split_lists_hold_what_their_readme_says(name: str) -> None:
    row = next(line for line in (SPLITS / "README.md").read_text().splitlines() if line.startswith(f"| {name} |"))
    counts = [cell.split("/")[0].strip() for cell in row.split("|")[2:5]]
    paths: list[str] = []
    for split, count in zip(("train", "val", "test"), counts, strict=True):
        names = json.loads((SPLITS / name / "classes.json").read_text())[split]
        options = dict(classes_file=str(SPLITS / name / "classes.json")) if names else {}
        data = build(SPLITS / name / f"{split}.txt", **options)
        assert len(data) == int(count)
        videos = EpisodeDataset(data, way=5, shots=5, queries=1, split=split)
        assert not names or len(videos.videos_of_class) == len(names)
        paths += [data.get_data_info(index)["filename"] for index in range(len(data))]
    assert len(set(paths)) == len(paths)
