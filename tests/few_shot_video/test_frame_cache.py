"""Videos decoded once."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mmengine.registry import TRANSFORMS, init_default_scope

from clipplus.few_shot_video import FrameCache, VideoFile
from clipplus.few_shot_video.video_writing import write_video

SIZE = (24, 20)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Five frames of slow waves, each of another phase."""
    x, y, phase = np.meshgrid(np.arange(48), np.arange(32), np.arange(3))
    frames = [127 + 120 * np.sin((x + 2 * y) / 12 + phase + number) for number in range(5)]
    write_video(tmp_path / "clip.mp4", [frame.astype(np.uint8) for frame in frames], 12)
    return tmp_path / "clip.mp4"


def read(video: Path, **options: Any) -> dict[str, Any]:
    init_default_scope("mmaction")
    results: dict[str, Any] = dict(filename=str(video), frame_inds=np.array([4, 0]))
    for step in (dict(type="ClipInit", **options), dict(type="ClipDecode")):
        results = TRANSFORMS.build(step)(results)
    return results


def test_raw_cache_gives_the_frames_that_resizing_gives(video: Path, tmp_path: Path) -> None:
    cached = read(video, frame_cache=dict(folder=str(tmp_path / "cache"), size=SIZE, quality=0))
    direct = read(video)
    assert (cached["total_frames"], cached["avg_fps"]) == (direct["total_frames"], direct["avg_fps"]) == (5, 12)
    for ours, frame in zip(cached["imgs"], direct["imgs"], strict=True):
        assert np.array_equal(ours, cv2.resize(frame, SIZE, interpolation=cv2.INTER_LINEAR))


def test_jpeg_cache_stays_near(video: Path, tmp_path: Path) -> None:
    cached = read(video, frame_cache=dict(folder=str(tmp_path / "cache"), size=SIZE, quality=95))
    for ours, frame in zip(cached["imgs"], read(video)["imgs"], strict=True):
        off = ours.astype(int) - cv2.resize(frame, SIZE, interpolation=cv2.INTER_LINEAR)
        assert np.abs(off).mean() < 3


def test_second_reading_does_not_decode(video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = dict(frame_cache=dict(folder=str(tmp_path / "cache"), size=SIZE))
    first = read(video, **options)

    def fail(*_: Any) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(VideoFile, "__init__", fail)
    assert all(map(np.array_equal, read(video, **options)["imgs"], first["imgs"]))


def test_changed_video_size_or_quality_is_another_entry(video: Path, tmp_path: Path) -> None:
    caches = [FrameCache(tmp_path, SIZE), FrameCache(tmp_path, (8, 8)), FrameCache(tmp_path, SIZE, quality=50)]
    paths = {cache.path(video) for cache in caches}
    write_video(video, np.zeros((7, 32, 48, 3), np.uint8), 12)
    paths.add(caches[0].path(video))
    assert len(paths) == 4


def test_damaged_entry_is_decoded_again(video: Path, tmp_path: Path) -> None:
    options = dict(frame_cache=dict(folder=str(tmp_path / "cache"), size=SIZE))
    first = read(video, **options)
    entry = FrameCache(tmp_path / "cache", SIZE).path(video)
    entry.write_bytes(entry.read_bytes()[:20])
    assert all(map(np.array_equal, read(video, **options)["imgs"], first["imgs"]))


def test_bad_quality_is_refused() -> None:
    with pytest.raises(ValueError, match=r"quality must be 0 \(raw pixels\) to 100, got 101"):
        FrameCache("cache", quality=101)
