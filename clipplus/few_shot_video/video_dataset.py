"""Lists of videos with the classes of their split."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmaction.datasets import BaseActionDataset
from mmengine.registry import DATASETS


@DATASETS.register_module()
class FewShotVideoDataset(BaseActionDataset):
    """Videos of a split: a list `path class_id` and the names of its classes.

    Args:
        ann_file: the list, one video a line; the path may hold blanks, the class id is what follows the last one.
            Class ids begin at 0 in every split.
        pipeline: transforms.
        data_prefix: `dict(video=FOLDER)`, what the paths are relative to.
        suffix: appended to paths that have no extension, e.g. '.webm' for Something-Something V2.
        classes_file: JSON object `{split: [name, ...]}`; None leaves the classes without names.
        classes_split: which entry of it; default the list's file name without extension.
        filename_tmpl: given for raw frames: the paths are then folders of pictures with this name, such as
            'img_{:05}.jpg', counted from `start_index`.
        start_index: number of the first frame: 0 for videos; raw frames of OpenMMLab's tools begin with 1.
        test_mode: as in mmaction2's data sets.
        **kwargs: likewise.

    Raises:
        FileNotFoundError: no list, no file of class names, or no folder of videos.
        ValueError: an empty list, a line of another form (names file and line), or a video listed twice; a class
            without a name; a file without names for this split.
    """

    def __init__(
        self,
        ann_file: str,
        pipeline: Sequence[dict | Callable],
        data_prefix: dict | None = None,
        suffix: str = "",
        classes_file: str | None = None,
        classes_split: str | None = None,
        filename_tmpl: str | None = None,
        start_index: int = 0,
        test_mode: bool = False,
        **kwargs: Any,
    ) -> None:
        self.suffix = suffix
        self.filename_tmpl = filename_tmpl
        self.names: tuple[str, ...] | None = None
        if classes_file is not None:
            self.names = _class_names(Path(classes_file), classes_split or Path(ann_file).stem)
        super().__init__(
            ann_file,
            pipeline=list(pipeline),
            data_prefix=data_prefix or dict(video=""),
            start_index=start_index,
            test_mode=test_mode,
            metainfo=None if self.names is None else dict(classes=self.names),
            **kwargs,
        )

    def load_data_list(self) -> list[dict[str, Any]]:
        """The list's videos: `filename` (or `frame_dir`) and `label`."""
        path = Path(self.ann_file)
        if not path.is_file():
            raise FileNotFoundError(f"list of videos {path} does not exist: check ann_file and data_root")
        self._require_folder()
        lines = _text(path).splitlines()
        videos = [self._parse(line, path, number) for number, line in enumerate(lines, 1) if line.strip()]
        if not videos:
            raise ValueError(f"{path} lists no videos")
        _require_different(videos, path)
        #: Class ids in the order of the list.
        self.labels = [video["label"] for video in videos]
        return videos

    def _require_folder(self) -> None:
        folder = Path(self.data_prefix.get("video", ""))
        # Elsewhere than on a disk only reading tells.
        if "://" not in str(self.data_prefix.get("video", "")) and not folder.is_dir():
            raise FileNotFoundError(
                f"folder of videos {folder} does not exist: check data_root and data_prefix; docs/few_shot_data.md "
                "says where the videos of each benchmark go"
            )

    def _parse(self, line: str, path: Path, number: int) -> dict[str, Any]:
        name, _, label = line.strip().rpartition(" ")
        if not name or not label.isdigit():
            raise ValueError(f"{path} line {number}: expected 'path class_id', got '{line}'")
        if self.names is not None and int(label) >= len(self.names):
            raise ValueError(f"{path} line {number}: class id {label}, but there are {len(self.names)} class names")
        place = Path(self.data_prefix.get("video", ""), name)
        if self.filename_tmpl is not None:
            return dict(frame_dir=str(place), label=int(label))
        return dict(filename=str(place) if place.suffix else f"{place}{self.suffix}", label=int(label))

    def prepare_data(self, idx: int) -> Any:
        """A video through the pipeline; raw frames are counted first.

        Raises:
            FileNotFoundError: a folder without frames.
        """
        info = self.get_data_info(idx)
        if self.filename_tmpl is not None:
            info |= dict(filename_tmpl=self.filename_tmpl, total_frames=self._count_frames(Path(info["frame_dir"])))
        return self.pipeline(info)

    def _count_frames(self, folder: Path) -> int:
        pattern = str(self.filename_tmpl)
        ending = Path(pattern).suffix
        count = sum(1 for _ in folder.glob(f"{pattern.partition('{')[0]}*{ending}"))
        if count == 0:
            raise FileNotFoundError(f"no frames like {folder / pattern.format(self.start_index)}")
        return count


def _require_different(videos: Sequence[dict[str, Any]], path: Path) -> None:
    """A video that is listed twice could be support and query of the same episode."""
    names = [video.get("filename") or video["frame_dir"] for video in videos]
    if len(set(names)) < len(names):
        twice, times = Counter(names).most_common(1)[0]
        raise ValueError(f"{path} lists '{twice}' {times} times: an episode could ask for what it was shown")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text file: {error}") from error


def _class_names(path: Path, split: str) -> tuple[str, ...]:
    if not path.is_file():
        raise FileNotFoundError(f"file of class names {path} does not exist: check classes_file")
    try:
        content = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"file of class names {path} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f'file of class names {path}: expected an object like {{"train": ["a name", ...], ...}}')
    names = content.get(split)
    if not names:
        known = ", ".join(name for name, value in content.items() if value)
        raise ValueError(
            f"{path} has no class names for split '{split}' (it has {known}); give classes_split, or leave "
            "classes_file out if no class name is needed"
        )
    return tuple(names)
