"""Episodes as the samples of a data set."""

import json
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from mmengine.logging import print_log
from mmengine.registry import DATASETS
from torch import Tensor
from torch.utils.data import Dataset

from clipplus.data.keyed_dataset import BAD_SAMPLE_ERRORS
from clipplus.data.seeding import mix, seed_all
from clipplus.few_shot_video.episode_sample import EpisodeDataSample
from clipplus.few_shot_video.episodes import Episode, EpisodeKey, EpisodeShape, draw_episode, require_enough


@DATASETS.register_module()
class EpisodeDataset(Dataset[dict[str, Any]]):
    """Few-shot episodes of a video data set; sample i is episode i.

    Which videos an episode has is a function of (seed, split, epoch, i, way, shots, queries), see `draw_episode`: not
    of ranks, workers, or what was drawn before. In training the seed is the run's, and every epoch has other episodes;
    in evaluation the seed is `seed`, so that whatever is compared sees the same episodes. What a pipeline draws for a
    clip depends on the episode and the video in training, and on the video alone in evaluation: there a video looks the
    same in all of its episodes, which is what makes `FeatureCacheTestLoop` exact.

    A sample is `inputs`, uint8 (S + Q, T, 3, H, W), supports first, and `data_samples`, an `EpisodeDataSample`.

    Args:
        dataset: config of the videos, e.g. a `FewShotVideoDataset`; its pipeline ends with `PackActionInputs` and gives
            all clips the same size.
        way: classes of an episode.
        shots: supports per class; a sequence gives each way its own.
        queries: queries per class.
        num_episodes: length of the data set (and so of an epoch).
        split: name of the split; part of what the episodes depend on.
        seed: of the episodes in evaluation.
        on_bad_video: 'raise', or 'skip' to pass over a video that cannot be read and take the class's next one, so that
            no episode becomes shorter.
        skipped_list: file that names the videos passed over, one JSON object `{"video", "error"}` a line; needed with
            'skip'.
        max_bad_fraction: 'skip' raises once more than this fraction of all videos was found unreadable.
        shuffle_classes: give the videos each other's classes, which leaves nothing to learn from or to recognise: a
            control that must end at chance.

    Raises:
        ValueError: no class has videos, more ways than classes, a class with too few videos, class ids with gaps or
            other than the names', an unknown policy; when reading, a clip of another size or without frames.
        RuntimeError: when reading, too many unreadable videos.
    """

    def __init__(
        self,
        dataset: dict | Dataset[Any],
        way: int = 5,
        shots: int | Sequence[int] = 1,
        queries: int = 1,
        num_episodes: int = 10000,
        split: str = "train",
        seed: int = 0,
        on_bad_video: Literal["raise", "skip"] = "raise",
        skipped_list: str | None = None,
        max_bad_fraction: float = 0.01,
        shuffle_classes: bool = False,
    ) -> None:
        if on_bad_video not in ("raise", "skip"):
            raise ValueError(f"on_bad_video must be 'raise' or 'skip', got '{on_bad_video}'")
        if on_bad_video == "skip" and skipped_list is None:
            raise ValueError("on_bad_video='skip' needs skipped_list, the file that names the videos passed over")
        if num_episodes < 1:
            raise ValueError(f"num_episodes must be at least 1, got {num_episodes}")
        self.dataset: Any = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        if hasattr(self.dataset, "full_init"):
            self.dataset.full_init()
        self.shape = EpisodeShape(way, shots if isinstance(shots, int) else tuple(shots), queries)
        self.num_episodes = num_episodes
        self.split, self.seed = split, seed
        self.on_bad_video = on_bad_video
        self.skipped_list = None if skipped_list is None else Path(skipped_list)
        self.max_bad_fraction = max_bad_fraction
        self.class_of_video = video_classes(self.dataset)
        if shuffle_classes:
            self.class_of_video = np.random.Generator(np.random.PCG64(seed)).permutation(self.class_of_video)
        self.videos_of_class = _by_class(self.class_of_video, self._where())
        names = self.classes or [str(number) for number in range(len(self.videos_of_class))]
        if len(names) != len(self.videos_of_class):
            raise ValueError(
                f"{self._where()} has videos of {len(self.videos_of_class)} classes, but there are {len(names)} class "
                "names: check classes_file and the list"
            )
        require_enough(self.videos_of_class, names, self.shape, self._where())
        # One mark per video in shared memory: all loader workers of this process see it.
        self._bad = torch.zeros(len(self.class_of_video), dtype=torch.uint8).share_memory_()

    @property
    def metainfo(self) -> dict:
        """Meta information of the videos, class names among it."""
        return getattr(self.dataset, "metainfo", {})

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the split's classes, by class id."""
        names = self.metainfo.get("classes")
        return None if names is None else tuple(names)

    @property
    def unreadable(self) -> set[int]:
        """Videos that were found unreadable so far."""
        return set(self._bad.nonzero().flatten().tolist())

    def pass_over(self, videos: Iterable[int]) -> None:
        """Take videos for unreadable that another process found to be so."""
        for video in videos:
            self._bad[video] = 1

    def _where(self) -> str:
        return str(getattr(self.dataset, "ann_file", "") or f"{type(self.dataset).__name__} '{self.split}'")

    def __len__(self) -> int:
        return self.num_episodes

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Episode `index` of the evaluation."""
        return self._read(EpisodeKey(self.seed, self.split, 0, index), training=False)

    def in_epoch(self, seed: int, epoch: int, index: int) -> dict[str, Any]:
        """Episode `index` of an epoch of training; `KeyedDataset` asks for it."""
        return self._read(EpisodeKey(seed, self.split, epoch, index), training=True)

    def get_data_info(self, index: int) -> dict[str, Any]:
        """What an episode is called."""
        return {"key": f"{self.split}-episode-{index}"}

    def draw(self, index: int, epoch: int = 0, seed: int | None = None) -> Episode:
        """The videos of episode `index`; without a seed that of the evaluation.

        Raises:
            ValueError: a class has too few readable videos left.
        """
        return self._draw(EpisodeKey(self.seed if seed is None else seed, self.split, epoch, index))

    def _draw(self, key: EpisodeKey) -> Episode:
        return draw_episode(self.videos_of_class, self.shape, key, self.unreadable)

    def describe(self, episode: Episode, index: int, aug_seed: Tensor | None = None) -> EpisodeDataSample:
        """The data sample of an episode.

        Args:
            episode: its videos.
            index: its number.
            aug_seed: (S + Q,), see `EpisodeDataSample`; zeros if nothing is drawn for it.
        """
        if aug_seed is None:
            aug_seed = torch.zeros(len(episode.videos), dtype=torch.int64)
        return EpisodeDataSample(
            metainfo=dict(episode_id=index, sample_id=index, classes=self.classes),
            support_label=torch.from_numpy(episode.support_label),
            query_label=torch.from_numpy(episode.query_label),
            way_class=torch.from_numpy(episode.way_class),
            support_class=torch.from_numpy(episode.way_class[episode.support_label]),
            query_class=torch.from_numpy(episode.way_class[episode.query_label]),
            support_video=torch.from_numpy(episode.support),
            query_video=torch.from_numpy(episode.query),
            aug_seed=aug_seed,
        )

    def _read(self, key: EpisodeKey, training: bool) -> dict[str, Any]:
        clips: dict[int, Tensor | None] = {}
        while True:
            episode = self._draw(key)
            wanted = [video for video in episode.videos if video not in clips]
            if not wanted:
                break
            for video in wanted:
                clips[video] = self._clip(video, key if training else None)
        frames = [clip for video in episode.videos if (clip := clips[video]) is not None]
        inputs = torch.stack(self.same_size(frames, episode.videos))
        seeds = [_aug_seed(key, video) if training else 0 for video in episode.videos]
        sample = self.describe(episode, key.index, torch.tensor(seeds, dtype=torch.int64))
        return {"inputs": inputs, "data_samples": sample}

    def clip(self, video: int) -> Tensor | None:
        """Frames of a video as evaluation sees them, uint8 (T, 3, H, W); None if it cannot be read and is passed over.

        Raises:
            RuntimeError: too many unreadable videos.
        """
        return self._clip(video, None)

    def _clip(self, video: int, key: EpisodeKey | None) -> Tensor | None:
        if key is None:
            seed_all(self.seed, "evaluation", 0, video)
        else:
            seed_all(key.seed, "sample", key.epoch, key.index, video)
        try:
            return frames_of(self.dataset[video])
        # decord's own errors are bare `Exception`s of a class that only decord knows.
        except Exception as error:
            if not is_unreadable(error):
                raise
            if self.on_bad_video == "raise":
                raise ValueError(
                    f"video '{self.name_of(video)}' cannot be read: {error}; mend it, or set on_bad_video='skip'"
                ) from error
            self._note_bad(video, error)
            return None

    def name_of(self, video: int) -> str:
        """Path or key of a video."""
        info = self.dataset.get_data_info(video)
        return str(info.get("filename") or info.get("frame_dir") or info.get("key") or video)

    def same_size(self, frames: list[Tensor], videos: list[int]) -> list[Tensor]:
        """The clips as they are, which must be stackable.

        Raises:
            ValueError: sizes differ; names two videos.
        """
        shapes = [tuple(clip.shape) for clip in frames]
        odd = next((i for i, shape in enumerate(shapes) if shape != shapes[0]), None)
        if odd is not None:
            raise ValueError(
                f"clips of an episode differ in size: '{self.name_of(videos[0])}' is {shapes[0]}, "
                f"'{self.name_of(videos[odd])}' is {shapes[odd]} (T, 3, H, W): add "
                "dict(type='Resize', scale=(256, 256), keep_ratio=False) to the pipeline"
            )
        return frames

    def _note_bad(self, video: int, error: Exception) -> None:
        """Mark a video, add it to the list the first time, stop when there are too many."""
        if not self._bad[video]:
            self._bad[video] = 1
            name = self.name_of(video)
            print_log(f"video '{name}' cannot be read and is passed over: {error}", "current", logging.WARNING)
            self._list_skipped({"video": name, "error": str(error)})
        bad, allowed = int(self._bad.count_nonzero()), int(self.max_bad_fraction * len(self._bad))
        if bad > allowed:
            raise RuntimeError(
                f"{bad} of {len(self._bad)} videos of {self._where()} cannot be read, allowed are {allowed} "
                f"(max_bad_fraction={self.max_bad_fraction}); the last one is '{self.name_of(video)}': {error}"
            ) from error

    def _list_skipped(self, record: dict[str, str]) -> None:
        if self.skipped_list is None:
            return
        self.skipped_list.parent.mkdir(parents=True, exist_ok=True)
        line = (json.dumps(record, ensure_ascii=False) + "\n").encode()
        if self.skipped_list.is_file() and line in self.skipped_list.read_bytes():
            return
        # One write for one line: workers and ranks share the file.
        descriptor = os.open(self.skipped_list, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)


def video_classes(dataset: Any) -> np.ndarray:
    """The class id of every video of a data set, (V,) int64.

    Raises:
        ValueError: a video without a single whole-numbered `label`.
    """
    # Asking for every record of a long list would take seconds.
    labels = getattr(dataset, "labels", None)
    if labels is None or len(labels) != len(dataset):
        labels = [dataset.get_data_info(video).get("label") for video in range(len(dataset))]
    bad = next((i for i, label in enumerate(labels) if not isinstance(label, int | np.integer)), None)
    if bad is not None:
        raise ValueError(f"{type(dataset).__name__}: video {bad} needs one class id as 'label', got {labels[bad]!r}")
    return np.array(labels, dtype=np.int64)


def _by_class(classes: np.ndarray, where: str) -> list[np.ndarray]:
    """Videos of every class.

    Raises:
        ValueError: no videos, or ids that are not 0..C-1.
    """
    if len(classes) == 0:
        raise ValueError(f"{where} lists no videos")
    order = np.argsort(classes, kind="stable")
    counts = np.bincount(classes) if classes.min() >= 0 else np.zeros(1, dtype=np.int64)
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        raise ValueError(
            f"{where}: class ids must be 0..C-1 without gaps; smallest {classes.min()}, largest {classes.max()}, "
            f"no video of class {empty[0]}"
        )
    return np.split(order, np.cumsum(counts)[:-1])


def frames_of(packed: Any) -> Tensor:
    """The clip (T, 3, H, W) of a packed sample.

    Raises:
        TypeError: it is something else; says how a pipeline ends.
    """
    clip = packed.get("inputs") if isinstance(packed, dict) else None
    if not isinstance(clip, Tensor) or clip.ndim != 4 or clip.shape[1] != 3 or len(clip) == 0:
        found = tuple(clip.shape) if isinstance(clip, Tensor) else type(clip).__name__
        raise TypeError(
            f"a clip must be (T, 3, H, W), got {found}: end the pipeline with dict(type='FormatShape', "
            "input_format='NCHW'), dict(type='PackActionInputs')"
        )
    return clip


def is_unreadable(error: Exception) -> bool:
    """Whether an error tells of a bad video, not of a bad program."""
    return isinstance(error, BAD_SAMPLE_ERRORS) or type(error).__name__ == "DECORDError"


def _aug_seed(key: EpisodeKey, video: int) -> int:
    """What the device draws for a clip; 63 bits, since tensors are signed."""
    return mix(key.seed, "sample", key.epoch, key.index, video, 1) >> 1
