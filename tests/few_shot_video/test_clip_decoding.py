"""Frames of video files: exact, the same as decord's, and errors for files that cannot be read."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from mmengine.registry import TRANSFORMS, init_default_scope

from clipplus.few_shot_video import ShapesVideoDataset, VideoFile
from clipplus.few_shot_video.video_writing import CODECS, write_video

FRAMES, FPS = 40, 12
# Every eighth or so is a key frame; these are before, at and behind some, in no order, and one twice.
WANTED = [0, 3, 3, 17, 39, 30, 12, 11, 24]


@pytest.fixture(autouse=True)
def _host() -> None:
    init_default_scope("mmaction")


def pictures(number: int = FRAMES, size: tuple[int, int] = (48, 64)) -> list[np.ndarray]:
    """A bright square that moves over noise, its colour counting the frames."""
    rng = np.random.default_rng(0)
    background = rng.integers(0, 90, (*size, 3)).astype(np.uint8)
    found = []
    for index in range(number):
        picture = background.copy()
        picture[8:24, index : index + 16] = (250, 4 * index + 60, 250 - 5 * index)
        found.append(picture)
    return found


@pytest.fixture(scope="module", params=CODECS)
def video(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of every kind."""
    path = tmp_path_factory.mktemp("videos") / f"clip{request.param}"
    write_video(path, pictures(), FPS)
    return path


def with_b_frames(path: Path, codec: str) -> Path:
    """Frames that are stored in another order than they are shown."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS, options={"bf": "2", "g": "8"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for picture in pictures():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def decoded_in_order(path: Path) -> list[np.ndarray]:
    """All frames as PyAV gives them, without any of our counting."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def through_transforms(path: Path, wanted: list[int], *names: str) -> dict[str, Any]:
    results: dict[str, Any] = dict(filename=str(path), frame_inds=np.array(wanted))
    for name in names:
        results = TRANSFORMS.build(dict(type=name))(results)
    return results


def test_frames_are_counted_where_the_header_has_no_count(video: Path) -> None:
    opened = VideoFile(video)
    assert len(opened) == FRAMES
    assert opened.avg_fps == FPS


def test_frames_are_those_that_were_written(video: Path) -> None:
    """The square's colour tells the frame, well above what encoding changes."""
    for number, frame in zip(WANTED, VideoFile(video).frames(WANTED), strict=True):
        shown = frame[12:20, number + 4 : number + 12].reshape(-1, 3).mean(axis=0)
        assert np.abs(shown - [250, 4 * number + 60, 250 - 5 * number]).max() < 12, number


def test_decord_gives_the_same_frames(video: Path) -> None:
    pytest.importorskip("decord")
    ours = through_transforms(video, WANTED, "ClipInit", "ClipDecode")
    theirs = through_transforms(video, WANTED, "DecordInit", "DecordDecode")
    assert (ours["total_frames"], ours["avg_fps"]) == (theirs["total_frames"], theirs["avg_fps"])
    assert ours["img_shape"] == theirs["img_shape"] == (48, 64)
    for ours_frame, theirs_frame in zip(ours["imgs"], theirs["imgs"], strict=True):
        assert np.array_equal(ours_frame, theirs_frame)


@pytest.mark.parametrize(("name", "codec"), [("b.mp4", "mpeg4"), ("b.avi", "mpeg4"), ("c.mp4", "libx264")])
def test_frames_stored_out_of_order_are_found_by_the_order_of_showing(tmp_path: Path, name: str, codec: str) -> None:
    path = with_b_frames(tmp_path / name, codec)
    whole = decoded_in_order(path)
    opened = VideoFile(path)
    assert len(opened) == len(whole) == FRAMES
    for number, frame in zip(WANTED, opened.frames(WANTED), strict=True):
        assert np.array_equal(frame, whole[number]), number


def test_all_frames_come_in_order(video: Path) -> None:
    for ours, theirs in zip(VideoFile(video).each_frame(), decoded_in_order(video), strict=True):
        assert np.array_equal(ours, theirs)


def test_bytes_are_read_like_the_file(video: Path) -> None:
    from_bytes = VideoFile(video.read_bytes()).frames(WANTED)
    assert all(map(np.array_equal, from_bytes, VideoFile(video).frames(WANTED)))


def test_frames_beyond_the_end_are_an_error(video: Path) -> None:
    with pytest.raises(IndexError, match="has 40 frames, asked for 3 to 40"):
        VideoFile(video).frames([3, 40])


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"video .*78687 does not exist"):
        through_transforms(tmp_path / "78687", [0], "ClipInit")


@pytest.mark.parametrize("content", [b"", b"no video at all" * 99], ids=["empty", "text"])
def test_file_that_is_no_video_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken.mp4 cannot be read"):
        through_transforms(path, [0], "ClipInit")


def read_frame(path: Path, number: int) -> np.ndarray:
    return VideoFile(path).frames([number])[0]


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_damaged_video_is_named_and_gives_no_other_frame(video: Path, tmp_path: Path, kept: float) -> None:
    """The end of the file is gone: its last frame is not to be had, whatever the container still knows."""
    path = tmp_path / f"damaged{video.suffix}"
    content = video.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises((ValueError, IndexError), match="damaged"):
        read_frame(path, FRAMES - 1)


def test_writing_refuses_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"clip.mov: videos are written as .mp4, .avi, .webm"):
        write_video(tmp_path / "clip.mov", pictures(2), FPS)
    with pytest.raises(ValueError, match="height and width must be even, got 47 x 64"):
        write_video(tmp_path / "clip.mp4", pictures(2, (47, 64)), FPS)


def test_the_same_frames_give_the_same_file(video: Path, tmp_path: Path) -> None:
    for attempt in range(4):
        again = tmp_path / f"{attempt}{video.suffix}"
        write_video(again, pictures(), FPS)
        assert again.read_bytes() == video.read_bytes()


@pytest.mark.parametrize("size", [32, 64])
def test_small_pictures_give_the_same_file_every_time(size: int, tmp_path: Path) -> None:
    """What x264 decides by looking ahead at them would differ: half their size is less than it reads at once."""
    videos = ShapesVideoDataset("test", 1, 24, size)
    for number in range(4):
        shape = videos.get_data_info(number)["array"]
        frames = [shape[frame] for frame in range(len(shape))]
        for attempt in range(5):
            write_video(tmp_path / f"{attempt}.mp4", frames, FPS)
        assert len({(tmp_path / f"{attempt}.mp4").read_bytes() for attempt in range(5)}) == 1
