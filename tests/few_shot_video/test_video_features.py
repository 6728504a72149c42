"""Features of videos: what an error leaves behind."""

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
from mmengine.registry import MODELS

from clipplus.few_shot_video import EpisodeDataset
from clipplus.few_shot_video.video_features import VideoFeatures


def test_an_unreadable_video_leaves_no_worker_behind(model_config: Any, tmp_path: Path) -> None:
    """A worker ignores SIGTERM and would keep the process alive after its error was printed."""
    (tmp_path / "test.txt").write_text("".join(f"gone{number}.mp4 {number % 2}\n" for number in range(4)))
    videos = dict(
        type="FewShotVideoDataset", ann_file=str(tmp_path / "test.txt"), data_prefix=dict(video=str(tmp_path)),
        pipeline=[dict(type="ClipInit")],
    )  # fmt: skip
    features = VideoFeatures(MODELS.build(model_config()).eval(), num_workers=2)
    with pytest.raises(ValueError, match=r"gone\d.mp4' cannot be read") as caught:
        features.provide(EpisodeDataset(videos, way=2), range(2))
    # As long as the error is at hand, so is the loader's iterator.
    assert caught.tb is not None
    assert multiprocessing.active_children() == []
