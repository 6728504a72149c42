"""Which files below a folder are clips, and which class each folder of them stands for."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: Files that are clips.
VIDEO_ENDINGS = (".mp4", ".webm", ".avi", ".mkv", ".mov")
#: A folder with files of these is a clip, too: its frames.
FRAME_ENDINGS = (".jpg", ".jpeg", ".png")
_KNOWN = f"{', '.join(VIDEO_ENDINGS)}, or folders of frames ({', '.join(FRAME_ENDINGS)})"


@dataclass
class FoundClips:
    """Clips, and what lay among them.

    Attributes:
        clips: in the order of their names.
        others: files and folders that are no clips.
    """

    clips: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)


def frame_files(folder: Path) -> list[Path]:
    """Pictures in a folder, in the order of the numbers in their names: 'img_10.jpg' comes after 'img_9.jpg'."""
    pictures = [path for path in _visible(folder) if path.suffix.lower() in FRAME_ENDINGS and path.is_file()]
    return sorted(pictures, key=lambda path: [_number(part) for part in re.split(r"(\d+)", path.name)])


def _number(part: str) -> tuple[int, str]:
    return (int(part), "") if part.isdecimal() else (-1, part)


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def is_clip(path: Path) -> bool:
    """Whether a path looks like a clip; only reading tells."""
    if path.is_dir():
        return bool(frame_files(path))
    return path.is_file() and path.suffix.lower() in VIDEO_ENDINGS


def find_clips(folder: Path) -> FoundClips:
    """Clips that lie in a folder, not deeper."""
    found = FoundClips()
    for path in _visible(folder):
        (found.clips if is_clip(path) else found.others).append(path)
    return found


def labelled_clips(folders: Sequence[str | Path]) -> dict[str, FoundClips]:
    """The clips of every class, by its name.

    Args:
        folders: one folder that holds a folder of clips per class; or the class folders themselves. A class is called
            as its folder.

    Raises:
        FileNotFoundError: no such folder.
        NotADirectoryError: a file.
        ValueError: less than two classes, two of the same name, or a folder without clips.
    """
    places = [_existing_folder(folder) for folder in folders]
    if len(places) == 1:
        parent = places[0]
        places = [path for path in _visible(parent) if path.is_dir()]
        stray = [path.name for path in _visible(parent) if is_clip(path) and path.is_file()]
        if stray:
            raise ValueError(
                f"{parent} holds clips ({stray[0]}, ...): put the clips of each class into a folder of its name"
            )
        if not places:
            raise ValueError(f"{parent} holds no folders: it needs one for each class, with clips in it")
    classes: dict[str, FoundClips] = {}
    for place in places:
        if place.name in classes:
            raise ValueError(f"two folders are called '{place.name}': classes are called as their folders")
        classes[place.name] = _of_class(place)
    if len(classes) < 2:
        raise ValueError(f"at least two classes are needed, got {', '.join(classes)}: a folder of clips for each")
    return classes


def _existing_folder(folder: str | Path) -> Path:
    # Resolved, since '.' and 'clips/..' have no name.
    path = Path(folder).expanduser().resolve()
    if not path.exists():
        raise FileNotFoundError(f"folder of labelled clips {folder} does not exist")
    if not path.is_dir():
        raise NotADirectoryError(f"{folder} is no folder: labelled clips lie in a folder of their class's name")
    return path


def _of_class(folder: Path) -> FoundClips:
    found = find_clips(folder)
    if found.clips:
        return found
    if frame_files(folder):
        raise ValueError(
            f"class folder {folder} holds pictures, but no clips: put the frames of each clip into a folder of its own"
        )
    raise ValueError(f"class folder {folder} holds no clips: {_KNOWN}")


def query_clips(paths: Iterable[str | Path]) -> FoundClips:
    """The clips that are asked about.

    Args:
        paths: clips, and folders of clips. A folder of pictures is one clip.

    Raises:
        FileNotFoundError: nothing of this name.
        ValueError: a file that is no clip, or a folder without any.
    """
    found = FoundClips()
    for given in paths:
        path = Path(given).expanduser()
        if not path.exists():
            raise FileNotFoundError(f"query {path} does not exist")
        if is_clip(path):
            found.clips.append(path)
            continue
        if not path.is_dir():
            raise ValueError(f"query {path} is no clip: clips are {_KNOWN}")
        inside = find_clips(path)
        if not inside.clips:
            raise ValueError(f"folder of queries {path} holds no clips: {_KNOWN}")
        found.clips += inside.clips
        found.others += inside.others
    if not found.clips:
        raise ValueError("no clips to name")
    return found
