"""Official lists become ours; whatever is wrong is named by file and line. Lists here are made up."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "data" / "few_shot_splits.py"
FOLDERS = {
    "train": "train1//videos/DrawSword/b c.avi\ntrain0//videos/run_fast/a.avi\n",
    "val": "val0//videos/HighJump/d.avi\n",
    "test": "test0//val_256/sit/e.mp4\n",
}
BARE = {"train": "train0/11\ntrain1/12\n", "val": "val0/13\nval0/14\nval1/15\n", "test": "test0/16\n"}
CONFIG = "TRAIN:\n  CLASS_NAME: ['run', 'draw_sword']\nTEST:\n  CLASS_NAME: ['sit']\n"


@pytest.fixture
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("few_shot_splits", TOOL)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


def write_official(folder: Path, lists: dict[str, str]) -> Path:
    folder.mkdir()
    for split, text in lists.items():
        (folder / f"{split}_few_shot.txt").write_text(text)
    (folder / "one.yaml").write_text(CONFIG)
    return folder


def names_in(folder: Path) -> dict[str, list[str] | None]:
    return json.loads((folder / "classes.json").read_text())


def test_class_id_goes_behind_the_path_and_order_stays(tool: ModuleType, tmp_path: Path) -> None:
    source, target = write_official(tmp_path / "official", FOLDERS), tmp_path / "ours"
    assert tool.main(["convert", str(source), str(target), "--config", str(source / "one.yaml")]) == 0
    assert (target / "train.txt").read_text() == "DrawSword/b c.avi 1\nrun_fast/a.avi 0\n"
    assert (target / "test.txt").read_text() == "val_256/sit/e.mp4 0\n"


def test_names_are_the_configs_and_otherwise_those_of_folders(tool: ModuleType, tmp_path: Path) -> None:
    source = write_official(tmp_path / "official", FOLDERS)
    tool.main(["convert", str(source), str(tmp_path / "named"), "--config", str(source / "one.yaml")])
    tool.main(["convert", str(source), str(tmp_path / "plain")])
    assert names_in(tmp_path / "named") == {"train": ["run", "draw_sword"], "val": ["High Jump"], "test": ["sit"]}
    assert names_in(tmp_path / "plain")["train"] == ["run fast", "Draw Sword"]


def test_bare_ids_get_their_names_from_labels_of_the_data_set(tool: ModuleType, tmp_path: Path) -> None:
    source, target = write_official(tmp_path / "official", BARE), tmp_path / "ours"
    tool.main(["convert", str(source), str(target), "--config", str(source / "one.yaml")])
    assert names_in(target)["val"] is None
    labels = tmp_path / "labels.json"
    known = [{"id": number, "template": "Holding [something]"} for number in ("13", "14")]
    labels.write_text(json.dumps([*known, {"id": "15", "template": "Opening [something]"}]))
    assert tool.main(["names", str(target), str(labels)]) == 0
    assert names_in(target) == {
        "train": ["run", "draw_sword"], "val": ["Holding [something]", "Opening [something]"], "test": ["sit"]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("split", "text", "message"),
    [
        ("train", "train0/a\nwalk/b\n", r"train_few_shot.txt line 2: expected 'train<class id>/<video>', got 'walk/b'"),
        ("val", "val0/a\n\ntrain0/b\n", r"val_few_shot.txt line 3: expected 'val<class id>/<video>', got 'train0/b'"),
        ("test", "test0/a\ntest1/a\n", r"test_few_shot.txt line 2: 'a' is in line 1 already"),
        ("test", "test0/a\ntest2/b\n", r"class ids must count from 0 without gaps, but \[1\] have no videos"),
        ("test", "\n", "test_few_shot.txt lists no videos"),
        ("train", "train0/a\n", r"one.yaml has 2 names of train classes, but the list has 1 classes"),
    ],
)
def test_a_bad_list_is_refused_and_nothing_written(
    tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture, split: str, text: str, message: str
) -> None:
    source = write_official(tmp_path / "official", BARE | {split: text})
    config = ["--config", str(source / "one.yaml")]
    assert tool.main(["convert", str(source), str(tmp_path / "ours"), *config]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "ours").exists()
    with pytest.raises(ValueError, match=message):
        tool.convert(source, tmp_path / "ours", source / "one.yaml")


def test_files_that_are_not_there_are_named(tool: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"official has no train_few_shot.txt"):
        tool.convert(tmp_path / "official", tmp_path / "ours", None)
    with pytest.raises(FileNotFoundError, match=r"config .*none.yaml does not exist"):
        tool.config_names(tmp_path / "none.yaml")
    (tmp_path / "test.txt").write_text("a.mp4 0\n")
    with pytest.raises(FileNotFoundError, match=r"folder of videos .*gone does not exist; see docs/few_shot_data.md"):
        tool.report_missing(tmp_path / "test.txt", tmp_path / "gone", "", None)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("one.yaml", b"a: [", r"one\.yaml is no YAML file: while parsing"),
        ("one.yaml", b"TRAIN: 3", r"one\.yaml has no TRAIN\.CLASS_NAME"),
        ("one.yaml", b"TRAIN: {CLASS_NAME: 3}", r"one\.yaml has no TRAIN\.CLASS_NAME"),
        ("train_few_shot.txt", b"\xff\xfe", r"train_few_shot\.txt is no text file"),
    ],
)
def test_files_of_another_kind_end_in_one_line(
    tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture, name: str, content: bytes, message: str
) -> None:
    source = write_official(tmp_path / "official", BARE)
    (source / name).write_bytes(content)
    assert tool.main(["convert", str(source), str(tmp_path / "ours"), "--config", str(source / "one.yaml")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(message, line)


def test_a_place_that_cannot_be_written_ends_in_one_line(
    tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    source = write_official(tmp_path / "official", BARE)
    (tmp_path / "file").touch()
    assert tool.main(["convert", str(source), str(tmp_path / "file")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert str(tmp_path / "file") in line


@pytest.mark.parametrize(
    ("content", "message"), [("x", r"classes\.json is no JSON"), ("[1]", r"classes\.json: expected an object like")]
)
def test_class_names_of_another_form_are_refused(tool: ModuleType, tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "classes.json").write_text(content)
    (tmp_path / "labels.json").write_text("[]")
    with pytest.raises(ValueError, match=message):
        tool.name_classes(tmp_path, [tmp_path / "labels.json"])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([{"id": "13", "template": "A"}], r"val.txt video 2: no label file knows '14'"),
        ([{"id": "13", "template": "A"}, {"id": "14", "template": "B"}], r"class 0 is 'A', but '14' is 'B'"),
        ([{"id": "13"}], r"labels.json: expected a JSON list of objects with 'id' and 'template'"),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    tool: ModuleType, tmp_path: Path, labels: list[dict[str, str]], message: str
) -> None:
    source = write_official(tmp_path / "official", BARE)
    tool.convert(source, tmp_path / "ours", source / "one.yaml")
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    with pytest.raises(ValueError, match=message):
        tool.name_classes(tmp_path / "ours", [tmp_path / "labels.json"])


def test_missing_videos_are_listed_and_left_out_of_the_list_that_is_written(
    tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for name in ("78.webm", "folder/a.mp4"):
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "videos" / name).touch()
    full, rest = tmp_path / "test.txt", tmp_path / "rest.txt"
    full.write_text("78 0\n79 0\nfolder/a.mp4 1\n")
    arguments = [str(full), str(tmp_path / "videos"), "--suffix", ".webm"]
    assert tool.main(["missing", *arguments, "--write", str(rest)]) == 1
    said = capsys.readouterr().out
    assert f"missing: {tmp_path / 'videos' / '79.webm'}\nclass 0: 1 of 2 videos are there\n1 of 3 videos" in said
    assert rest.read_text() == "78 0\nfolder/a.mp4 1\n"
    (tmp_path / "videos" / "folder" / "a.mp4").unlink()
    assert tool.main(["missing", *arguments, "--write", str(tmp_path / "empty.txt")]) == 2
    assert not (tmp_path / "empty.txt").exists()
