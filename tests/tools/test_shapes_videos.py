"""The moving shapes as files."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from clipplus.few_shot_video import ShapesVideoDataset, VideoFile

TOOL = Path(__file__).parents[2] / "tools" / "data" / "shapes_videos.py"


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("shapes_videos_tool", TOOL)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    # Where the processes that write look for it.
    monkeypatch.setitem(sys.modules, "shapes_videos_tool", module)
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


def test_class_folders_hold_different_clips_of_their_motion(tool: ModuleType, tmp_path: Path) -> None:
    tool.main([str(tmp_path), "--class-folders", "--size", "32", "--frames", "6"])
    motions = ShapesVideoDataset("test").motions[:5]
    names = ["_".join(place.replace(" ", "-") for place in motion) for motion in motions]
    assert sorted(path.name for path in (tmp_path / "supports").iterdir()) == sorted(names)
    assert len(list((tmp_path / "queries").iterdir())) == 10
    clips = [*(tmp_path / "supports" / names[1]).iterdir(), *(tmp_path / "queries").glob(f"{names[1]}_*")]
    assert len(clips) == 4
    frames = [VideoFile(path).frames(range(6)) for path in clips]
    assert not np.array_equal(frames[0], frames[1])
    drawn = ShapesVideoDataset("test", 4, 6, 32).get_data_info(14 + 1)["array"]
    differences = [np.abs(np.stack(f).astype(int) - np.stack([drawn[i] for i in range(6)])).mean() for f in frames]
    assert sorted(differences)[0] < 5 < sorted(differences)[1]


def test_lists_and_names_are_written(tool: ModuleType, tmp_path: Path) -> None:
    tool.main([str(tmp_path), "--size", "32", "--frames", "2", "--train", "1", "--val", "1", "--test", "1"])
    assert (tmp_path / "val.txt").read_text().splitlines()[3] == "val/00003.mp4 3"
    assert len((tmp_path / "classes.json").read_text().splitlines()) == 60 + 8
