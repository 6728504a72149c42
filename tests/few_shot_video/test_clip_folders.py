"""Which files are clips, and of which class."""

from pathlib import Path

import pytest

from clipplus.few_shot_video.clip_folders import frame_files, labelled_clips, query_clips


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_a_folder_of_class_folders_and_the_class_folders_themselves_are_alike(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "jump" / "2.MP4", tmp_path / "a" / "jump" / "1.webm", tmp_path / "a" / "fall" / "x.avi")
    found = labelled_clips([tmp_path / "a"])
    assert {name: [path.name for path in part.clips] for name, part in found.items()} == {
        "fall": ["x.avi"],
        "jump": ["1.webm", "2.MP4"],
    }
    given = labelled_clips([tmp_path / "a" / "jump", tmp_path / "a" / "fall"])
    assert list(given) == ["jump", "fall"]
    assert given["jump"] == found["jump"]


def test_folders_of_frames_are_clips_and_other_files_are_not(tmp_path: Path) -> None:
    touch(tmp_path / "c" / "jump" / "one" / "img_2.jpg", tmp_path / "c" / "jump" / "note.txt")
    touch(tmp_path / "c" / "jump" / ".hidden.mp4", tmp_path / "c" / "fall" / "b.mp4", tmp_path / "c" / "README.md")
    found = labelled_clips([tmp_path / "c"])
    assert [path.name for path in found["jump"].clips] == ["one"]
    assert [path.name for path in found["jump"].others] == ["note.txt"]


def test_frames_are_ordered_by_their_numbers(tmp_path: Path) -> None:
    names = ["f9.png", "f10.png", "f100.png", "f2b3.png", "f2b20.png"]
    touch(*(tmp_path / name for name in names))
    assert [path.name for path in frame_files(tmp_path)] == ["f2b3.png", "f2b20.png", "f9.png", "f10.png", "f100.png"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "holds no folders: it needs one for each class"),
        (["a.mp4"], r"holds clips \(a.mp4, ...\): put the clips of each class into a folder"),
        (["jump/a.mp4"], "at least two classes are needed, got jump"),
        (["jump/a.mp4", "fall/a.txt"], r"class folder .*fall holds no clips: \.mp4, \.webm, \.avi"),
        (["jump/a.mp4", "fall/1.jpg"], "fall holds pictures, but no clips: put the frames of each clip into a folder"),
    ],
)
def test_folders_that_give_no_classes_are_refused(files: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    touch(*(tmp_path / "clips" / name for name in files))
    with pytest.raises(ValueError, match=message):
        labelled_clips([tmp_path / "clips"])


def test_class_folders_that_do_not_exist_or_are_called_alike_are_refused(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "jump" / "1.mp4", tmp_path / "b" / "jump" / "1.mp4")
    with pytest.raises(FileNotFoundError, match=r"folder of labelled clips .*nowhere does not exist"):
        labelled_clips([tmp_path / "nowhere"])
    with pytest.raises(NotADirectoryError, match=r"1\.mp4 is no folder"):
        labelled_clips([tmp_path / "a" / "jump" / "1.mp4"])
    with pytest.raises(ValueError, match="two folders are called 'jump'"):
        labelled_clips([tmp_path / "a" / "jump", tmp_path / "b" / "jump"])


def test_queries_are_clips_and_folders_of_them(tmp_path: Path) -> None:
    touch(tmp_path / "q" / "b.mp4", tmp_path / "q" / "a.avi", tmp_path / "q" / "list.txt", tmp_path / "f" / "0.png")
    found = query_clips([tmp_path / "f", tmp_path / "q"])
    assert [path.name for path in found.clips] == ["f", "a.avi", "b.mp4"]
    assert [path.name for path in found.others] == ["list.txt"]


def test_queries_that_are_no_clips_are_refused(tmp_path: Path) -> None:
    touch(tmp_path / "q" / "list.txt")
    with pytest.raises(FileNotFoundError, match=r"query .*gone\.mp4 does not exist"):
        query_clips([tmp_path / "gone.mp4"])
    with pytest.raises(ValueError, match=r"query .*list\.txt is no clip: clips are \.mp4"):
        query_clips([tmp_path / "q" / "list.txt"])
    with pytest.raises(ValueError, match=r"folder of queries .*q holds no clips"):
        query_clips([tmp_path / "q"])
