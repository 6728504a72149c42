r"""Lists of few-shot video benchmarks: convert official ones, name classes, find missing videos.

Official lists (CLIP-FSAR, HyRSM, MoLo) are files `{train,val,test}_few_shot.txt` with lines like
    train8/78687                                       split and class id, then the video (Something-Something V2)
    train0//train_256/air_drumming/x.mp4               the same with folders (Kinetics)
    train0//videos/ApplyEyeMakeup/x.avi                and with `videos/` before them (UCF101, HMDB51)
Ours are `{train,val,test}.txt` with lines `path class_id`, and `classes.json`, {"train": [name, ...], "val": ..., ...},
whose positions are class ids. Class ids begin at 0 in every split. Those of the five benchmarks are there already, in
configs/_base_/datasets/few_shot_splits.

Examples:
    # a folder of official lists; names of training and test classes are read from one of its configs, where it has them
    python tools/data/few_shot_splits.py convert CLIP-FSAR/configs/projects/CLIPFSAR/hmdb51 data/my_splits/hmdb51 \
        --config CLIP-FSAR/configs/projects/CLIPFSAR/hmdb51/CLIPFSAR_HMDB51_1shot_v1.yaml
    # Something-Something V2: the names that classes.json lacks, from the labels that come with the videos
    python tools/data/few_shot_splits.py names data/my_splits/ssv2_full \
        something-something-v2-train.json something-something-v2-validation.json
    # which videos of a list are not there, class by class; exit code 1 if any
    python tools/data/few_shot_splits.py missing configs/_base_/datasets/few_shot_splits/kinetics100/test.txt \
        data/kinetics400 --write data/my_splits/kinetics100/test.txt
"""

import argparse
import json
import re
import sys
from collections import Counter
from pathlib import Path

import yaml

from clipplus.checkpoints.atomic import written_aside

SPLITS = ("train", "val", "test")
_OFFICIAL = re.compile(r"(?P<split>train|val|test)(?P<label>\d+)/{1,2}(?:videos/)?(?P<video>[^/].*)")

Videos = list[tuple[str, int]]


def read_official(path: Path, split: str) -> Videos:
    """Videos and class ids of an official list.

    Raises:
        FileNotFoundError: no such list.
        ValueError: a line of another form, of another split, or a video that is there twice; names file and line. Class
            ids with gaps, or no videos.
    """
    videos: Videos = []
    first_line: dict[str, int] = {}
    for number, line in _lines(path):
        found = _OFFICIAL.fullmatch(line)
        if found is None or found["split"] != split:
            raise ValueError(f"{path} line {number}: expected '{split}<class id>/<video>', got '{line}'")
        video = found["video"]
        if video in first_line:
            raise ValueError(f"{path} line {number}: '{video}' is in line {first_line[video]} already")
        first_line[video] = number
        videos.append((video, int(found["label"])))
    _require_all_classes(videos, path)
    return videos


def read_list(path: Path) -> Videos:
    """Videos and class ids of one of our lists.

    Raises:
        FileNotFoundError: no such list.
        ValueError: a line of another form (names file and line), or no videos.
    """
    videos: Videos = []
    for number, line in _lines(path):
        video, _, label = line.rpartition(" ")
        if not video or not label.isdigit():
            raise ValueError(f"{path} line {number}: expected 'path class_id', got '{line}'")
        videos.append((video, int(label)))
    if not videos:
        raise ValueError(f"{path} lists no videos")
    return videos


def _lines(path: Path) -> list[tuple[int, str]]:
    if not path.is_file():
        raise FileNotFoundError(f"list {path} does not exist")
    lines = _text(path).splitlines()
    return [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]


def _require_all_classes(videos: Videos, path: Path) -> None:
    if not videos:
        raise ValueError(f"{path} lists no videos")
    labels = {label for _, label in videos}
    absent = sorted(set(range(max(labels) + 1)) - labels)
    if absent:
        raise ValueError(f"{path}: class ids must count from 0 without gaps, but {absent[:5]} have no videos")


def config_names(path: Path) -> dict[str, list[str]]:
    """Names of training and test classes in an official config.

    Raises:
        FileNotFoundError: no such config.
        ValueError: one without `TRAIN.CLASS_NAME` or `TEST.CLASS_NAME`.
    """
    if not path.is_file():
        raise FileNotFoundError(f"config {path} does not exist")
    try:
        content = yaml.safe_load(_text(path))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no YAML file: {' '.join(str(error).split())}") from error
    content = content if isinstance(content, dict) else {}
    names = {}
    for split in ("train", "test"):
        part = content.get(split.upper())
        found = part.get("CLASS_NAME") if isinstance(part, dict) else None
        if not isinstance(found, list) or not found:
            raise ValueError(f"{path} has no {split.upper()}.CLASS_NAME, the names of the {split} classes")
        names[split] = [str(name) for name in found]
    return names


def folder_names(videos: Videos) -> list[str] | None:
    """Names after the folders that videos lie in, as words; None unless every class is one folder."""
    folders: dict[int, set[str]] = {}
    for video, label in videos:
        folders.setdefault(label, set()).add(Path(video).parent.name)
    if any(len(found) > 1 or "" in found for found in folders.values()):
        return None
    return [_words(folders[label].pop()) for label in sorted(folders)]


def _words(folder: str) -> str:
    """'apply_lipstick' and 'ApplyLipstick' with blanks."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", folder.replace("_", " "))


def convert(source: Path, target: Path, config: Path | None) -> None:
    """Convert a folder of official lists.

    Raises:
        FileNotFoundError: a list or the config is missing.
        ValueError: see `read_official` and `config_names`; or another number of names than of classes.
    """
    known = {} if config is None else config_names(config)
    videos = {split: read_official(_official_list(source, split), split) for split in SPLITS}
    names = {split: known.get(split) or folder_names(videos[split]) for split in SPLITS}
    for split, found in names.items():
        classes = len({label for _, label in videos[split]})
        if found is not None and len(found) != classes:
            raise ValueError(f"{config} has {len(found)} names of {split} classes, but the list has {classes} classes")
    for split in SPLITS:
        _write_list(target / f"{split}.txt", videos[split])
        print(f"{split}: {len(videos[split])} videos, {len({label for _, label in videos[split]})} classes")
    _write_names(target / "classes.json", names)
    for split in (split for split, found in names.items() if found is None):
        print(f"{split}: no class names; the command `names` takes them from the labels of Something-Something V2")


def _text(path: Path) -> str:
    """Content of a text file.

    Raises:
        ValueError: it is something else.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text file: {error}") from error


def _official_list(folder: Path, split: str) -> Path:
    """`test_few_shot.txt`; the read-me of some releases has the words the other way round."""
    places = [folder / f"{split}_few_shot.txt", folder / f"few_shot_{split}.txt"]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise FileNotFoundError(f"{folder} has no {places[0].name}")
    return found


def name_classes(folder: Path, label_files: list[Path]) -> None:
    """Fill the splits without names in `classes.json` from label files of Something-Something V2.

    A label file is a JSON list of {"id": video, "template": "Holding [something]", ...}. Names that are there stay.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a label file of another form, a video without a label, a class of videos with different ones.
    """
    templates: dict[str, str] = {}
    for path in label_files:
        templates |= _templates(path)
    file = folder / "classes.json"
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist")
    try:
        names = json.loads(_text(file))
    except json.JSONDecodeError as error:
        raise ValueError(f"{file} is no JSON: {error}") from error
    if not isinstance(names, dict):
        raise ValueError(f'{file}: expected an object like {{"train": ["a name", ...], "val": null, ...}}')
    for split in SPLITS:
        if not names.get(split):
            names[split] = _labelled(folder / f"{split}.txt", templates)
            print(f"{split}: {len(names[split])} names")
    _write_names(file, names)


def _templates(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise FileNotFoundError(f"label file {path} does not exist")
    try:
        return {str(entry["id"]): str(entry["template"]) for entry in json.loads(_text(path))}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected a JSON list of objects with 'id' and 'template' ({error!r})") from error


def _labelled(path: Path, templates: dict[str, str]) -> list[str]:
    found: dict[int, str] = {}
    for number, (video, label) in enumerate(read_list(path), 1):
        name = templates.get(Path(video).stem)
        if name is None:
            raise ValueError(f"{path} video {number}: no label file knows '{video}'")
        if found.setdefault(label, name) != name:
            raise ValueError(f"{path} video {number}: class {label} is '{found[label]}', but '{video}' is '{name}'")
    return [found[label] for label in sorted(found)]


def report_missing(path: Path, videos_folder: Path, suffix: str, target: Path | None) -> int:
    """Print which videos of a list are not below a folder, and write the list without them if asked to.

    Returns:
        How many are missing.

    Raises:
        FileNotFoundError: no such list or folder.
        ValueError: see `read_list`; or a class that would have no video left.
    """
    videos = read_list(path)
    if not videos_folder.is_dir():
        raise FileNotFoundError(f"folder of videos {videos_folder} does not exist; see docs/few_shot_data.md")
    present = [(video, label) for video, label in videos if _place(videos_folder, video, suffix).is_file()]
    lost = sorted(set(videos) - set(present))
    for video, _ in lost:
        print(f"missing: {_place(videos_folder, video, suffix)}")
    all_of, left_of = Counter(label for _, label in videos), Counter(label for _, label in present)
    for label in sorted({label for _, label in lost}):
        print(f"class {label}: {left_of[label]} of {all_of[label]} videos are there")
    print(f"{len(lost)} of {len(videos)} videos are missing ({100 * len(lost) / len(videos):.1f} %)")
    if target is not None:
        empty = sorted(all_of.keys() - left_of.keys())
        if empty:
            raise ValueError(f"{path}: no video of class {empty[0]} is there, so that {target} would lack the class")
        _write_list(target, present)
        print(f"wrote {target}: {len(present)} videos")
    return len(lost)


def _place(folder: Path, video: str, suffix: str) -> Path:
    """As `FewShotVideoDataset` finds it."""
    return folder / (video if Path(video).suffix else f"{video}{suffix}")


def _write_list(path: Path, videos: Videos) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as partial:
        partial.write_text("".join(f"{video} {label}\n" for video, label in videos), encoding="utf-8")


def _write_names(path: Path, names: dict[str, list[str] | None]) -> None:
    with written_aside(path) as partial:
        partial.write_text(json.dumps(names, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    part = commands.add_parser("convert", help="official lists to ours")
    part.add_argument("source", type=Path, help="folder with {train,val,test}_few_shot.txt")
    part.add_argument("target", type=Path, help="gets train.txt, val.txt, test.txt and classes.json")
    part.add_argument(
        "--config", type=Path, help="official .yaml config with the class names; other names are those of folders"
    )
    part = commands.add_parser("names", help="class names from the labels of Something-Something V2")
    part.add_argument("folder", type=Path, help="our lists and classes.json, which is rewritten")
    part.add_argument("labels", type=Path, nargs="+", help="something-something-v2-{train,validation}.json")
    part = commands.add_parser("missing", help="videos of a list that are not there")
    part.add_argument("list", type=Path, help="one of our lists")
    part.add_argument("videos", type=Path, help="folder that its paths are relative to")
    part.add_argument("--suffix", default="", help="of videos without extension in the list, e.g. .webm")
    part.add_argument("--write", type=Path, metavar="LIST", help="write the list without the missing ones")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run a command; exit code 1: videos are missing, 2: bad input."""
    arguments = parse_arguments(argv)
    try:
        if arguments.command == "convert":
            convert(arguments.source, arguments.target, arguments.config)
        elif arguments.command == "names":
            name_classes(arguments.folder, arguments.labels)
        else:
            lost = report_missing(arguments.list, arguments.videos, arguments.suffix, arguments.write)
            return int(lost > 0)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
