"""`clipplus predict` for clips, from folders to table, file and pictures."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.registry import DATASETS, MODELS
from PIL import Image

from clipplus.cli import main
from clipplus.few_shot_video.evaluation_pipeline import describe_pipeline

Configure = Callable[..., dict[str, Any]]


def predict(config: Path, folder: Path, *more: str) -> int:
    arguments = ["predict", "--config", str(config), "--supports", str(folder / "supports")]
    return main([*arguments, "--queries", str(folder / "queries"), *more])


@pytest.fixture
def folder(clip_folders: Path, tmp_path: Path) -> Path:
    """A copy that may be spoilt."""
    shutil.copytree(clip_folders, tmp_path / "clips")
    return tmp_path / "clips"


def test_clips_of_all_kinds_get_the_class_of_their_motion(
    place_config: Path, clip_folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two supports of one class, one of the others; a motion and its reverse show the same frames."""
    assert predict(place_config, clip_folders, "--out", str(tmp_path / "out.json")) == 0
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["clip", "class", "back", "elsewhere", "there"]
    assert [row[:2] for row in rows[2:]] == [
        ["back.avi", "back"],
        ["back2.webm", "back"],
        ["elsewhere.avi", "elsewhere"],
        ["elsewhere2.webm", "elsewhere"],
        ["there.avi", "there"],
        ["there2.webm", "there"],
    ]
    written = json.loads((tmp_path / "out.json").read_text())
    assert [len(clips) for clips in written["classes"].values()] == [1, 1, 2]
    assert [found["class"] for found in written["predictions"]] == [row[1] for row in rows[2:]]
    for row, found in zip(rows[2:], written["predictions"], strict=True):
        assert row[2:] == [f"{score:.1%}" for score in found["scores"].values()]
        assert sum(found["scores"].values()) == pytest.approx(1, abs=1e-5)
    assert written["unreadable"] == {}


def test_json_lines_are_printed(place_config: Path, clip_folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(place_config, clip_folders, "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(Path(line["clip"]).name, line["class"]) for line in lines[:2]] == [
        ("back.avi", "back"), ("back2.webm", "back"),
    ]  # fmt: skip


def test_of_many_classes_the_best_are_printed(
    place_config: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(6):
        shutil.copytree(folder / "supports" / "back", folder / "supports" / f"other{number}")
    assert predict(place_config, folder, "--top", "2") == 0
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert "best of 9" in head
    assert all(row.count("%") == 2 for row in rows)
    assert "elsewhere 9" in rows[2]


def test_scores_are_those_of_the_test_loop(model_config: Configure, episodes_config: Configure, tmp_path: Path) -> None:
    """The same clips through data set and recogniser, a checkpoint that describes itself, and the command."""
    from clipplus.few_shot_video.clip_files import ReadClip
    from clipplus.few_shot_video.clip_prediction import ClipClassifier
    from clipplus.few_shot_video.recognizer_loading import load_recognizer

    model = MODELS.build(model_config())
    videos = episodes_config(test_mode=True, shots=2)
    record = dict(model=model_config(), clips=describe_pipeline(dict(test_dataloader=dict(dataset=videos))))
    torch.save(dict(state_dict=model.state_dict(), meta=dict(clipplus=record)), tmp_path / "own.pth")
    episode = DATASETS.build(videos)[0]
    batch = dict(inputs=[episode["inputs"]], data_samples=[episode["data_samples"]])
    (expected,) = model.eval()(**model.data_preprocessor(batch), mode="predict")

    classifier = ClipClassifier(load_recognizer(tmp_path / "own.pth"))
    clips = {Path(str(number)): clip for number, clip in enumerate(episode["inputs"])}
    classifier.files.read = lambda path: ReadClip(path, clips[path], 8, 1.0)  # type: ignore[method-assign]
    labels = expected.support_label.tolist()
    by_class = {str(way): [Path(str(i)) for i, label in enumerate(labels) if label == way] for way in range(3)}
    support = classifier.encode_supports(by_class)
    query = classifier.encode_queries(list(clips)[len(labels) :])
    torch.testing.assert_close(classifier.scores(query, support, list(by_class)), expected.pred_score)


def test_pictures_of_all_queries_are_drawn(place_config: Path, clip_folders: Path, tmp_path: Path) -> None:
    assert predict(place_config, clip_folders, "--picture", str(tmp_path / "pictures")) == 0
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names[0] == "1_back.avi.png"
    assert len(names) == 6
    assert Image.open(tmp_path / "pictures" / names[0]).size[1] > 8 * 64


def test_a_head_that_pairs_nothing_cannot_be_drawn(
    place_config: Path, clip_folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place_config.write_text(
        place_config.read_text().replace("type='OTAMMatcher', smoothing=0.1", "type='MeanPoolMatcher'")
    )
    assert predict(place_config, clip_folders, "--picture", str(tmp_path / "pictures")) == 2
    assert "MeanPoolMatcher does not pair frames" in capsys.readouterr().err
    assert not (tmp_path / "pictures").exists()


@pytest.mark.parametrize("place", ["supports/there/1.mp4", "queries/there.avi"])
def test_a_corrupt_clip_ends_the_run_or_is_named_and_left_out(
    place: str, place_config: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / place).write_bytes(b"no video" * 100)
    assert predict(place_config, folder) == 2
    assert f"clipplus: clip {folder / place} cannot be read" in capsys.readouterr().err
    assert predict(place_config, folder, "--skip-unreadable", "--out", str(tmp_path / "out.json")) == 0
    assert f"note: {folder / place} cannot be read and is left out" in capsys.readouterr().err
    written = json.loads((tmp_path / "out.json").read_text())
    assert list(written["unreadable"]) == [str(folder / place)]
    named = {Path(found["clip"]).name: found["class"] for found in written["predictions"]}
    assert named["there2.webm"] == "there"
    assert ("there.avi" in named) == (place != "queries/there.avi")


def test_a_class_without_any_readable_clip_is_refused(
    place_config: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "supports" / "back" / "1.mp4").write_bytes(b"")
    assert predict(place_config, folder, "--skip-unreadable") == 2
    assert "none of the clips of class 'back' can be read; the first is " in capsys.readouterr().err


def test_a_damaged_frame_is_named(place_config: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for picture in (folder / "supports" / "there" / "2").iterdir():
        picture.write_bytes(b"no picture")
    assert predict(place_config, folder) == 2
    assert "clip " + str(folder / "supports" / "there" / "2") + " cannot be read: frame " in capsys.readouterr().err


def test_short_clips_and_queries_that_were_shown_are_noted(
    place_config: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(5, 24):
        (folder / "supports" / "there" / "2" / f"{number}.png").unlink()
    shown = folder / "supports" / "back" / "1.mp4"
    assert predict(place_config, folder, str(shown)) == 0
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert notes == [
        f"note: {folder / 'supports' / 'there' / '2'} has fewer than 8 frames: some are shown twice",
        f"note: {shown} is among the labelled clips, too",
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("OTAMMatcher", "OTAMatcher", "clipplus: OTAMatcher cannot be built: OTAMatcher is not in the "),
        ("smoothing", "smothing", "clipplus: OTAMMatcher has no option 'smothing' (did you mean 'smoothing'?)"),
        ("dict(type='ClipDecode')", "dict(type='Resiz')", "clipplus: Resiz cannot be built: Resiz is not in the "),
    ],
)
def test_a_config_that_cannot_be_built_ends_in_one_line(
    old: str, new: str, message: str, place_config: Path, clip_folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place_config.write_text(place_config.read_text().replace(old, new))
    assert predict(place_config, clip_folders) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "state --images and --names for pictures, or --supports and --queries for clips"),
        (["--supports", "a"], "clips need --supports FOLDER, a folder of clips per class, and --queries"),
        (["--images", "a.jpg"], "pictures need CHECKPOINT, --images and --names"),
        (["--images", "a.jpg", "--supports", "a"], "--images are for pictures and --supports for clips"),
        (["--supports", "gone", "--queries", "b"], "folder of labelled clips gone does not exist"),
        (["--top", "0"], "--top must be at least 1"),
    ],
)
def test_wrong_arguments_end_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
