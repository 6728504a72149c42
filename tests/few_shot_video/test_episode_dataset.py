"""Reading episodes: what a clip looks like, what becomes of videos that cannot be read, bad input."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from clipplus.data import KeyedDataset
from clipplus.few_shot_video import EpisodeDataset
from clipplus.few_shot_video.episode_dataset import video_classes


class Videos(Dataset[dict[str, Any]]):
    """Clips of four frames whose pixels tell the video, plus a draw of the global generator.

    Attributes:
        broken: videos that cannot be read.
    """

    def __init__(self, per_class: int = 6, classes: int = 4, names: tuple[str, ...] | None = None) -> None:
        self.labels = [number % classes for number in range(per_class * classes)]
        self.broken: set[int] = set()
        self.reads: list[int] = []
        self.metainfo = {} if names is None else {"classes": names}

    def __len__(self) -> int:
        return len(self.labels)

    def get_data_info(self, index: int) -> dict[str, Any]:
        return {"label": self.labels[index], "filename": f"video_{index}.mp4"}

    def __getitem__(self, index: int) -> dict[str, Any]:
        self.reads.append(index)
        if index in self.broken:
            raise OSError("moov atom not found")
        clip = torch.full((4, 3, 2, 2), index, dtype=torch.uint8)
        clip[:, 1] = int(np.random.randint(256))
        return {"inputs": clip}


def episodes(videos: Videos | None = None, **options: Any) -> EpisodeDataset:
    return EpisodeDataset(
        Videos() if videos is None else videos, **{**dict(way=3, shots=2, queries=1, num_episodes=50), **options}
    )


def videos_in(sample: dict[str, Any]) -> list[int]:
    return sample["inputs"][:, 0, 0, 0, 0].tolist()


def test_clips_are_those_that_the_data_sample_names_supports_first() -> None:
    sample = episodes()[7]
    about = sample["data_samples"]
    assert sample["inputs"].shape == (9, 4, 3, 2, 2)
    assert videos_in(sample) == [*about.support_video.tolist(), *about.query_video.tolist()]
    assert (about.sample_id, about.episode_id) == (7, 7)
    labels = Videos().labels
    assert [labels[video] for video in about.support_video] == about.support_class.tolist()
    assert about.way_class[about.query_label].tolist() == about.query_class.tolist()


def test_evaluation_shows_a_video_alike_in_all_its_episodes() -> None:
    data = episodes()
    seen: dict[int, torch.Tensor] = {}
    for index in range(20):
        sample = data[index]
        for video, clip in zip(videos_in(sample), sample["inputs"], strict=True):
            assert torch.equal(seen.setdefault(video, clip), clip)
            assert torch.equal(data.clip(video), clip)


def test_training_draws_anew_for_every_episode_and_epoch() -> None:
    keyed = KeyedDataset(episodes())
    keyed.seed = 3
    first, again, later = keyed[0, 4], keyed[0, 4], keyed[1, 4]
    assert torch.equal(first["inputs"], again["inputs"])
    assert first["data_samples"].aug_seed.tolist() == again["data_samples"].aug_seed.tolist()
    assert len(set(first["data_samples"].aug_seed.tolist())) == 9
    assert videos_in(first) != videos_in(later)
    keyed.seed = 4
    assert videos_in(keyed[0, 4]) != videos_in(first)


def test_the_runs_seed_does_not_change_the_episodes_of_an_evaluation() -> None:
    keyed = KeyedDataset(episodes())
    keyed.seed = 3
    other = KeyedDataset(episodes())
    other.seed = 4
    assert torch.equal(keyed[5]["inputs"], other[5]["inputs"])


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(workers: int) -> None:
    keyed = KeyedDataset(episodes())
    places = [(0, 1), (0, 2), (1, 3)]
    alone = [keyed[place]["inputs"] for place in places]
    for found, expected in zip(DataLoader(keyed, None, sampler=places, num_workers=workers), alone, strict=True):
        assert torch.equal(found["inputs"], expected)


def test_shuffled_classes_keep_their_sizes_and_lose_their_meaning() -> None:
    plain, shuffled = episodes(), episodes(shuffle_classes=True)
    assert sorted(plain.class_of_video) == sorted(shuffled.class_of_video)
    assert plain.class_of_video.tolist() != shuffled.class_of_video.tolist()


# ------------------------------------------------------------------------------------------------- unreadable videos


def with_broken(videos: set[int], **options: Any) -> EpisodeDataset:
    content = Videos()
    content.broken = videos
    return episodes(content, **options)


def read_all(data: EpisodeDataset) -> None:
    for index in range(len(data)):
        data[index]


def test_unreadable_video_stops_by_default_and_is_named() -> None:
    data = with_broken({8})
    index = next(i for i in range(50) if 8 in data.draw(i).videos)
    message = r"video 'video_8.mp4' cannot be read: moov atom not found; mend it, or set on_bad_video='skip'"
    with pytest.raises(ValueError, match=message):
        data[index]


def test_skipped_video_is_replaced_by_one_of_its_class_and_listed_once(tmp_path: Path) -> None:
    options = dict(on_bad_video="skip", skipped_list=str(tmp_path / "lists" / "skipped.jsonl"), max_bad_fraction=0.1)
    data, whole = with_broken({8, 9}, **options), episodes()
    for index in range(50):
        sample, expected = data[index], whole[index]
        assert sample["inputs"].shape == expected["inputs"].shape
        for found, wanted in zip(videos_in(sample), videos_in(expected), strict=True):
            assert found == wanted or wanted in (8, 9) or found % 4 in (0, 1)
        assert not {8, 9} & set(videos_in(sample))
        labels = sample["data_samples"].support_class.tolist()
        assert [video % 4 for video in videos_in(sample)[:6]] == labels
    records = [json.loads(line) for line in (tmp_path / "lists" / "skipped.jsonl").read_text().splitlines()]
    assert sorted(record["video"] for record in records) == ["video_8.mp4", "video_9.mp4"]
    assert records[0]["error"] == "moov atom not found"


def test_skipping_does_not_depend_on_what_was_read_before(tmp_path: Path) -> None:
    options = dict(on_bad_video="skip", skipped_list=str(tmp_path / "skipped.jsonl"), max_bad_fraction=0.1)
    forward = [
        videos_in(sample) for data in [with_broken({8, 9}, **options)] for sample in map(data.__getitem__, range(20))
    ]
    fresh = [videos_in(with_broken({8, 9}, **options)[index]) for index in range(20)]
    assert forward == fresh


def test_too_many_unreadable_videos_stop_the_run(tmp_path: Path) -> None:
    data = with_broken({0, 4, 8}, on_bad_video="skip", skipped_list=str(tmp_path / "list"), max_bad_fraction=0.1)
    message = r"3 of 24 videos of Videos 'train' cannot be read, allowed are 2 \(max_bad_fraction=0.1\)"
    with pytest.raises(RuntimeError, match=message):
        read_all(data)


def test_an_episode_is_never_shorter(tmp_path: Path) -> None:
    """A class of six, four of them unreadable, has too few for two shots and a query."""
    data = with_broken({0, 4, 8, 12}, on_bad_video="skip", skipped_list=str(tmp_path / "list"), max_bad_fraction=0.5)
    with pytest.raises(ValueError, match="class 0 of split 'train' has 2 readable videos, too few for shots=2"):
        read_all(data)


def test_other_errors_are_no_bad_videos(tmp_path: Path) -> None:
    class Buggy(Videos):
        def __getitem__(self, index: int) -> dict[str, Any]:
            raise KeyError("frame_inds")

    data = episodes(Buggy(), on_bad_video="skip", skipped_list=str(tmp_path / "list"))
    with pytest.raises(KeyError, match="frame_inds"):
        data[0]


# ----------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(way=5), "Videos 'train' has 4 classes, too few for way=5"),
        (dict(shots=6), "class 0 '0' has 6 videos, but shots=6 and queries=1 take 7"),
        (dict(num_episodes=0), "num_episodes must be at least 1, got 0"),
        (dict(on_bad_video="replace"), "on_bad_video must be 'raise' or 'skip', got 'replace'"),
        (dict(on_bad_video="skip"), "on_bad_video='skip' needs skipped_list"),
    ],
)
def test_bad_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        episodes(**options)


@pytest.mark.parametrize("number", [2, 5])
def test_classes_and_names_of_different_number_are_refused(number: int) -> None:
    message = f"Videos 'train' has videos of 4 classes, but there are {number} class names"
    with pytest.raises(ValueError, match=message):
        episodes(Videos(names=("run", "walk", "jump", "sit", "stand")[:number]))


def test_class_ids_with_gaps_are_refused() -> None:
    videos = Videos()
    videos.labels = [label if label < 2 else label + 3 for label in videos.labels]
    with pytest.raises(ValueError, match=r"class ids must be 0..C-1 without gaps; .* no video of class 2"):
        episodes(videos)


@pytest.mark.parametrize("label", [1.0, "walk", None, [0, 1]])
def test_labels_that_are_no_class_ids_are_refused(label: Any) -> None:
    videos = Videos()
    videos.labels[5] = label
    with pytest.raises(ValueError, match="Videos: video 5 needs one class id as 'label', got"):
        video_classes(videos)


def test_no_videos_are_refused() -> None:
    videos = Videos()
    videos.labels = []
    with pytest.raises(ValueError, match="lists no videos"):
        episodes(videos)


def test_clips_of_different_sizes_are_named() -> None:
    class Mixed(Videos):
        def __getitem__(self, index: int) -> dict[str, Any]:
            return {"inputs": torch.zeros(4, 3, 2, 2 + index % 3, dtype=torch.uint8)}

    with pytest.raises(
        ValueError, match=r"clips of an episode differ in size: 'video_\d+.mp4' is .* add\s+dict\(type='Re"
    ):
        episodes(Mixed())[0]


def test_a_pipeline_without_packing_is_explained() -> None:
    class Unpacked(Videos):
        def __getitem__(self, index: int) -> dict[str, Any]:
            return {"imgs": []}

    with pytest.raises(TypeError, match=r"a clip must be \(T, 3, H, W\), got NoneType: end the pipeline with"):
        episodes(Unpacked())[0]
