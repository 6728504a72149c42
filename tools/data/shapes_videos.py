"""Write the moving shapes as real video files, with lists and class names, as a downloaded data set would come.

Examples:
    python tools/data/shapes_videos.py data/shapes_video
    python tools/data/shapes_videos.py data/shapes_video_webm --extension .webm --train 10 --val 5 --test 10
    python tools/data/shapes_videos.py data/shapes_clips --class-folders       # for clipplus predict, as your own clips
"""

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from tqdm import tqdm

from clipplus.checkpoints.atomic import written_aside
from clipplus.few_shot_video import ShapesVideoDataset
from clipplus.few_shot_video.video_writing import CODECS, write_video

SPLITS = ("train", "val", "test")
_CLASSES, _SUPPORTS, _QUERIES = 5, 2, 2


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="gets videos/, train.txt, val.txt, test.txt and classes.json")
    parser.add_argument("--extension", choices=tuple(CODECS), default=".mp4")
    for split, videos in zip(SPLITS, (40, 20, 30), strict=True):
        parser.add_argument(f"--{split}", type=int, default=videos, metavar="N", help=f"videos per class of {split}")
    parser.add_argument("--size", type=int, default=64, help="side of the pictures in pixels")
    parser.add_argument("--frames", type=int, default=24, help="frames of a video")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--class-folders",
        action="store_true",
        help=f"no lists, but supports/CLASS/ with {_SUPPORTS} clips of {_CLASSES} test classes each, and queries/ with "
        f"{_QUERIES} more of each, named after their class",
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes that write")
    return parser.parse_args(argv)


def write_split(videos: ShapesVideoDataset, folder: Path, extension: str, workers: int = 1) -> None:
    """Videos of a split and their list; files that are there already are kept."""
    names = [f"{videos.split}/{index:05d}{extension}" for index in range(len(videos))]
    paths = [folder / "videos" / name for name in names]
    with ProcessPoolExecutor(workers) as pool:
        written = pool.map(partial(write_unless_there, videos), range(len(videos)), paths, chunksize=8)
        labels = list(tqdm(written, videos.split, len(videos)))
    with written_aside(folder / f"{videos.split}.txt") as unfinished:
        lines = [f"{name} {label}\n" for name, label in zip(names, labels, strict=True)]
        unfinished.write_text("".join(lines), encoding="utf-8")


def write_unless_there(videos: ShapesVideoDataset, index: int, path: Path) -> int:
    """The label of a video, which is then at `path`."""
    info = videos.get_data_info(index)
    if not path.exists():
        write_video(path, info["array"], videos.FPS)
    return int(info["label"])


def write_class_folders(videos: ShapesVideoDataset, folder: Path, extension: str) -> None:
    """A few clips of a few classes, as a person would have them."""
    for label, motion in enumerate(videos.motions[:_CLASSES]):
        name = "_".join(place.replace(" ", "-") for place in motion)
        for number in range(_SUPPORTS + _QUERIES):
            place = folder / "supports" / name / f"{number + 1}{extension}"
            if number >= _SUPPORTS:
                place = folder / "queries" / f"{name}_{number - _SUPPORTS + 1}{extension}"
            write_unless_there(videos, number * len(videos.motions) + label, place)


def main(argv: list[str] | None = None) -> None:
    """Write all splits."""
    arguments = parse_arguments(argv)
    if arguments.class_folders:
        videos = ShapesVideoDataset("test", _SUPPORTS + _QUERIES, arguments.frames, arguments.size, seed=arguments.seed)
        write_class_folders(videos, arguments.folder, arguments.extension)
        return
    classes = {}
    for split in SPLITS:
        videos = ShapesVideoDataset(split, getattr(arguments, split), arguments.frames, arguments.size, arguments.seed)
        classes[split] = list(videos.metainfo["classes"])
        write_split(videos, arguments.folder, arguments.extension, arguments.workers)
    with written_aside(arguments.folder / "classes.json") as unfinished:
        unfinished.write_text(json.dumps(classes, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
