"""Episodes from features of videos: the results of encoding every episode, with far fewer encodings."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.registry import DATASETS, MODELS
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import Dataset

import clipplus.few_shot_video
from clipplus.few_shot_video import ShapesVideoDataset
from clipplus.few_shot_video.video_writing import write_video

Configure = Callable[..., dict[str, Any]]
SETS = dict(one_shot=dict(shots=1), two_shot=dict(shots=2))
# Episodes that do not show all of the 56 videos.
FEW = 5


@MODELS.register_module(force=True)
class TextsMatter(nn.Module):
    """A support's features are those of a tower plus its class's text."""

    needs_text = True

    def __init__(self, tower: dict) -> None:
        super().__init__()
        self.tower = MODELS.build(tower)
        self.frames = 0

    def forward(self, clips: Tensor, text: Tensor | None) -> Tensor:
        self.frames += clips.shape[0] * clips.shape[1]
        features = self.tower(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])
        return features if text is None else features + 100 * text[:, None]


@pytest.fixture
def evaluate(model_config: Configure, episodes_config: Configure, tmp_path: Path) -> Callable[..., tuple[Any, ...]]:
    """`evaluate(loop, **model options)`: metrics, predictions by set, the model."""

    def run(
        loop: str | dict, sets: dict[str, dict] | None = None, batch_size: int = 2, seed: int = 0, **options: Any
    ) -> tuple[Any, ...]:
        loop = dict(type=loop) if isinstance(loop, str) else loop
        episodes = sets or {
            name: episodes_config("test", test_mode=True, num_episodes=5, **shape) for name, shape in SETS.items()
        }
        collate = dict(type="pseudo_collate")
        runner = Runner(
            model=model_config(**options), work_dir=str(tmp_path / "work"), test_cfg=loop,
            test_dataloader=dict(
                batch_size=batch_size, num_workers=0, collate_fn=collate,
                sets={name: dict(dataset=copy.deepcopy(dataset)) for name, dataset in episodes.items()},
            ),
            test_evaluator=dict(sets={name: dict(type="FewShotAccuracy") for name in episodes}),
            default_scope="mmaction", randomness=dict(seed=seed), log_level="WARNING",
            experiment_name=f"{tmp_path.name}-{len(list(tmp_path.glob('work/*')))}",
        )  # fmt: skip
        metrics = runner.test()
        predictions = {name: metric.predictions for name, [metric] in runner.test_loop.set_metrics.items()}
        return metrics, predictions, runner.model

    return run


def assert_equal_results(found: tuple[Any, ...], expected: tuple[Any, ...]) -> None:
    assert found[0] == expected[0]
    for name, records in expected[1].items():
        for ours, theirs in zip(found[1][name], records, strict=True):
            scores = [torch.tensor(record["score"]["few_shot"]) for record in (ours, theirs)]
            torch.testing.assert_close(*scores, rtol=0, atol=1e-5)
            assert {**ours, "score": None} == {**theirs, "score": None}


def test_cached_results_are_those_of_encoding_every_episode(evaluate: Callable[..., tuple[Any, ...]]) -> None:
    assert_equal_results(evaluate("FeatureCacheTestLoop"), evaluate("MultiDatasetTestLoop", batch_size=3))


def test_sets_share_features_and_every_video_is_encoded_once_and_once_with_its_text(
    evaluate: Callable[..., tuple[Any, ...]], text_config: dict[str, Any], model_config: Configure,
    episodes_config: Configure,
) -> None:  # fmt: skip
    options = dict(
        backbone=dict(type="TextsMatter", tower=model_config()["backbone"]), text=text_config,
    )  # fmt: skip
    cached, direct = evaluate("FeatureCacheTestLoop", **options), evaluate("MultiDatasetTestLoop", **options)
    assert_equal_results(cached, direct)
    videos: set[int] = set()
    for shape in SETS.values():
        data = DATASETS.build(episodes_config("test", test_mode=True, num_episodes=5, **shape))
        videos |= {video for index in range(5) for video in data.draw(index).videos}
    assert cached[2].backbone.frames == 2 * 4 * len(videos)
    assert direct[2].backbone.frames == 5 * 4 * (3 * 2 + 3 * 3)


def test_random_frames_are_drawn_once_per_video(
    evaluate: Callable[..., tuple[Any, ...]], episodes_config: Configure
) -> None:
    """`test_mode=False` samples frames at random: the same ones for a video in all of its episodes."""
    sets = {"random": episodes_config("test", test_mode=False, num_episodes=5)}
    assert_equal_results(evaluate("FeatureCacheTestLoop", sets), evaluate("MultiDatasetTestLoop", sets))


def test_unreadable_videos_are_passed_over_alike(
    evaluate: Callable[..., tuple[Any, ...]], episodes_config: Configure, tmp_path: Path
) -> None:
    shapes = ShapesVideoDataset("test", videos_per_class=4, num_frames=8, size=16)
    lines = []
    for index in range(len(shapes)):
        info = shapes.get_data_info(index)
        write_video(tmp_path / f"{index}.mp4", info["array"], 12)
        lines.append(f"{index}.mp4 {info['label']}\n")
    (tmp_path / "test.txt").write_text("".join(lines))
    asked = DATASETS.build(episodes_config("test", test_mode=True, num_episodes=FEW, shots=2))
    drawn = sorted({video for index in range(FEW) for video in asked.draw(index).videos})
    shown = [drawn[0], next(video for video in drawn if video % 14 != drawn[0] % 14)]
    # Of another class, so that it does not stand in for them either.
    taken = {video % 14 for video in shown}
    hidden = next(video for video in range(56) if video not in drawn and video % 14 not in taken)
    for index in (*shown, hidden):
        (tmp_path / f"{index}.mp4").write_bytes(b"")

    def sets(name: str) -> dict[str, dict]:
        config = episodes_config("test", test_mode=True, num_episodes=FEW, shots=2)
        pipeline = [dict(type="ClipInit"), config["dataset"]["pipeline"][0], dict(type="ClipDecode")]
        config["dataset"] = dict(
            type="FewShotVideoDataset", ann_file=str(tmp_path / "test.txt"), data_prefix=dict(video=str(tmp_path)),
            pipeline=[*pipeline, *config["dataset"]["pipeline"][2:]], test_mode=True,
        )  # fmt: skip
        options = dict(on_bad_video="skip", skipped_list=str(tmp_path / f"{name}.jsonl"), max_bad_fraction=0.1)
        return {"real": config | options}

    def listed(name: str) -> set[str]:
        found = [json.loads(line)["video"] for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        assert len(set(found)) == len(found)
        return {Path(video).stem for video in found}

    direct = evaluate("MultiDatasetTestLoop", sets("direct"))
    loops = dict(cached="FeatureCacheTestLoop", stored=stored_in(tmp_path / "f"), again=stored_in(tmp_path / "f"))
    for name, loop in loops.items():
        assert_equal_results(evaluate(loop, sets(name)), direct)
    assert listed("direct") == listed("cached") == listed("again") == set(map(str, shown))
    # What is stored is of all videos, and so is the list then.
    assert listed("stored") == set(map(str, (*shown, hidden)))
    with pytest.raises(ValueError, match=r"video '.*\d+\.mp4' cannot be read: .*set on_bad_video='skip'"):
        evaluate(loops["again"], {"real": sets("again")["real"] | dict(on_bad_video="raise", skipped_list=None)})


def test_other_data_sets_and_models_are_refused(
    evaluate: Callable[..., tuple[Any, ...]], episodes_config: Configure
) -> None:
    plain = {"plain": episodes_config("test", test_mode=True)["dataset"]}
    with pytest.raises(TypeError, match=r"needs an EpisodeDataset in test_dataloader.sets.plain, got ShapesVideoData"):
        evaluate("FeatureCacheTestLoop", plain)
    assert clipplus.few_shot_video.FeatureCacheValLoop.mode == "val"


@DATASETS.register_module(force=True)
class ReadyClips(Dataset[dict[str, Any]]):
    """60 clips of two frames in memory."""

    def __init__(self) -> None:
        self.labels = [video % 6 for video in range(60)]
        self.clips = torch.randint(0, 256, (60, 2, 3, 8, 8), generator=torch.Generator().manual_seed(0)).byte()

    def __len__(self) -> int:
        return len(self.labels)

    def get_data_info(self, index: int) -> dict[str, Any]:
        return {"label": self.labels[index], "key": str(index)}

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"inputs": self.clips[index]}


@MODELS.register_module(force=True)
class Projects(nn.Module):
    """A tower of one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(192, 16)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images.flatten(1))


def assert_equally_recognised(evaluate: Callable[..., tuple[Any, ...]], episodes: int) -> None:
    data = dict(type="EpisodeDataset", dataset=dict(type="ReadyClips"), split="test", num_episodes=episodes)
    backbone = dict(type="Projects")
    cached = evaluate("FeatureCacheTestLoop", {"ready": data}, batch_size=64, backbone=backbone)
    direct = evaluate("MultiDatasetTestLoop", {"ready": data}, batch_size=1, backbone=backbone)
    assert_equal_results(cached, direct)
    assert cached[0]["ready/episodes"] == episodes


def test_batches_of_episodes_from_features_are_those_of_encoding_each(evaluate: Callable[..., tuple[Any, ...]]) -> None:
    assert_equally_recognised(evaluate, 300)


@pytest.mark.slow
def test_ten_thousand_episodes_from_features_are_those_of_encoding_each(
    evaluate: Callable[..., tuple[Any, ...]],
) -> None:
    assert_equally_recognised(evaluate, 10_000)


# ------------------------------------------------------------------------------------------------- features on the disk


class CountsFrames(nn.Module):
    """A tower that knows how many frames it saw."""

    takes_clips = True

    def __init__(self, tower: dict) -> None:
        super().__init__()
        self.tower = MODELS.build(tower)
        self.frames = 0

    def forward(self, clips: Tensor) -> Tensor:
        self.frames += clips.shape[0] * clips.shape[1]
        return self.tower(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])


MODELS.register_module(module=CountsFrames, force=True)


def stored_in(folder: Path) -> dict[str, Any]:
    """A loop that keeps features."""
    return dict(type="FeatureCacheTestLoop", feature_cache=str(folder))


@pytest.mark.parametrize("texts", [False, True], ids=["plain", "with texts"])
def test_a_second_test_reads_stored_features_and_gives_the_same(
    evaluate: Callable[..., tuple[Any, ...]], model_config: Configure, text_config: dict[str, Any],
    episodes_config: Configure, tmp_path: Path, texts: bool,
) -> None:  # fmt: skip
    tower = model_config()["backbone"]
    options: dict[str, Any] = (
        dict(backbone=dict(type="TextsMatter", tower=tower), text=text_config)
        if texts
        else dict(backbone=dict(type="CountsFrames", tower=tower))
    )
    plain = evaluate("FeatureCacheTestLoop", **options)
    first = evaluate(stored_in(tmp_path / "features"), **options)
    second = evaluate(stored_in(tmp_path / "features"), **options)
    other = {"other": episodes_config("test", test_mode=True, num_episodes=9, way=4, shots=3)}
    third = evaluate(stored_in(tmp_path / "features"), other, **options)
    assert_equal_results(first, plain)
    assert_equal_results(second, first)
    videos = 14 * 4
    assert first[2].backbone.frames == videos * 4 * (2 if texts else 1)
    assert (second[2].backbone.frames, third[2].backbone.frames) == (0, 0)
    assert len(list((tmp_path / "features").iterdir())) == 1


def test_other_weights_or_pixels_are_not_read_from_the_disk(
    evaluate: Callable[..., tuple[Any, ...]], model_config: Configure, tmp_path: Path
) -> None:
    backbone = dict(type="CountsFrames", tower=model_config()["backbone"])
    evaluate(stored_in(tmp_path), backbone=backbone)
    for seed, pixels in ((1, {}), (0, dict(mean=(0.0, 0.0, 0.0)))):
        options = dict(backbone=backbone, data_preprocessor=dict(type="FewShotDataPreprocessor", **pixels))
        found = evaluate(stored_in(tmp_path), seed=seed, **options)
        assert found[2].backbone.frames == 14 * 4 * 4
        assert_equal_results(found, evaluate("FeatureCacheTestLoop", seed=seed, **options))


def test_stored_features_need_data_sets_that_can_be_described(
    evaluate: Callable[..., tuple[Any, ...]], episodes_config: Configure, tmp_path: Path
) -> None:
    config = episodes_config("test", test_mode=True)
    config["dataset"] = DATASETS.build(config["dataset"])
    with pytest.raises(ValueError, match=r"feature_cache needs data sets given as configs, got ShapesVideoDataset"):
        evaluate(stored_in(tmp_path), {"real": config})
