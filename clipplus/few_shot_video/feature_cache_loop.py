"""Evaluation of episodes from features of videos instead of pixels of clips: equal results, far fewer encodings."""

import functools
import json
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.registry import LOOPS

from clipplus.evaluation import (
    FeatureCache,
    ImageFeatures,
    MultiDatasetTestLoop,
    MultiDatasetValLoop,
    cached_in_stretches,
)
from clipplus.evaluation.loaders import dataset_of
from clipplus.few_shot_video.episode_dataset import EpisodeDataset
from clipplus.few_shot_video.recognizer import FewShotRecognizer
from clipplus.few_shot_video.video_feature_parts import video_feature_parts
from clipplus.few_shot_video.video_features import VideoFeatures


class _FromFeatures:
    """What makes a loop over sets of episodes one over features; goes before such a loop's class.

    10,000 episodes show every video of a test split dozens of times. In evaluation a clip depends on its video alone
    (see `EpisodeDataset`), so its features are computed once and episodes are put together from them. Sets with the
    same videos, such as those for 1 to 5 shots, share the features; ranks share the work.

    `batch_size` of a set counts episodes, `clips_per_batch` of the loop clips.
    """

    mode: ClassVar[Literal["val", "test"]]
    loaders: dict[str, Any]
    runner: Any
    dataloader: Any
    evaluator: Any

    def __init__(self, runner: Any, dataloader: dict, evaluator: dict, clips_per_batch: int = 16) -> None:
        if clips_per_batch < 1:
            raise ValueError(f"{type(self).__name__}: clips_per_batch must be at least 1, got {clips_per_batch}")
        super().__init__(runner, dataloader, evaluator)  # type: ignore[call-arg]
        self.clips_per_batch = clips_per_batch
        self.cache: FeatureCache | None = None
        self._features: dict[str, VideoFeatures] = {}
        self._configs = {name: loader["dataset"] for name, loader in dataloader["sets"].items()}
        self._videos_of = {name: _describe_videos(config) for name, config in self._configs.items()}
        for name, loader in self.loaders.items():
            if not isinstance(dataset_of(loader).dataset, EpisodeDataset):
                raise TypeError(
                    f"{type(self).__name__} needs an EpisodeDataset in {self.mode}_dataloader.sets.{name}, got "
                    f"{type(dataset_of(loader).dataset).__name__}"
                )

    def run(self) -> dict[str, float]:
        """Evaluate all sets; `<set>/<metric>` -> value."""
        self._features.clear()
        results: dict[str, float] = super().run()  # type: ignore[misc]
        self._features.clear()
        return results

    def _show_batches(self, name: str) -> None:
        model = self.runner.model.module if is_model_wrapper(self.runner.model) else self.runner.model
        if not isinstance(model, FewShotRecognizer):
            raise TypeError(f"{type(self).__name__} needs a FewShotRecognizer, got {type(model).__name__}")
        episodes: EpisodeDataset = dataset_of(self.dataloader).dataset
        features = self._features.get(self._videos_of[name])
        if features is None:
            workers, stored = self.dataloader.num_workers, self._stored(name, model, episodes)
            features = VideoFeatures(model, self.clips_per_batch, workers, stored)
            self._features[self._videos_of[name]] = features
        before = features.frames_encoded
        features.provide(episodes, range(len(episodes)))
        for index, numbers in enumerate(self.dataloader.batch_sampler):
            self._run_episodes(index, numbers, episodes, features, model)
        print_log(
            f"{name}: {features.frames_encoded - before} frames encoded for {len(episodes)} episodes of "
            f"{sum(episodes.shape.shots_of_way) + episodes.shape.way * episodes.shape.queries} clips",
            logger="current",
        )

    def _stored(
        self, name: str, model: FewShotRecognizer, episodes: EpisodeDataset
    ) -> Callable[..., ImageFeatures] | None:
        """What reads or makes the file of a set's videos; None where nothing is stored."""
        if self.cache is None:
            return None
        videos = _videos_config(self._configs[name])
        backbone = (self.runner.cfg.get("model") or {}).get("backbone") or {}
        parts = video_feature_parts(model, backbone, episodes, videos)
        return functools.partial(
            cached_in_stretches, self.cache, f"videos-{episodes.split}", parts, len(episodes.class_of_video)
        )

    @torch.no_grad()
    def _run_episodes(
        self, idx: int, numbers: list[int], episodes: EpisodeDataset, features: VideoFeatures, model: FewShotRecognizer
    ) -> None:
        """Recognise some episodes, and hand them to the metrics."""
        samples = [episodes.describe(episodes.draw(number), number) for number in numbers]
        batch = {"data_samples": samples}
        self.runner.call_hook(f"before_{self.mode}_iter", batch_idx=idx, data_batch=batch)
        query = features.clips(torch.stack([sample.query_video for sample in samples]), support=False)
        support = features.clips(torch.stack([sample.support_video for sample in samples]), support=True)
        outputs = model.predict_features(query, support, samples)
        self.evaluator.process(data_samples=outputs, data_batch=batch)
        self.runner.call_hook(f"after_{self.mode}_iter", batch_idx=idx, data_batch=batch, outputs=outputs)


@LOOPS.register_module()
class FeatureCacheValLoop(_FromFeatures, MultiDatasetValLoop):
    """Validation of sets of episodes with every video encoded once; see `MultiDatasetValLoop` for the form."""


@LOOPS.register_module()
class FeatureCacheTestLoop(_FromFeatures, MultiDatasetTestLoop):
    """Test of sets of episodes with every video encoded once; see `MultiDatasetTestLoop` for the form.

    Args:
        runner, dataloader, evaluator: see there.
        clips_per_batch: clips encoded at a time.
        feature_cache: folder of a `FeatureCache`, which ranks share; later tests with equal weights, videos and pixels
            read the features from there, whatever their episodes, matcher or head, and a test that was killed goes on.
            All videos of the list are encoded then, not only those that episodes show. None stores nothing.

    Raises:
        ValueError: `clips_per_batch` below 1, or a `feature_cache` with data sets that are not given as configs.
        TypeError: another data set than `EpisodeDataset`; when running, another model than `FewShotRecognizer`.
    """

    def __init__(
        self,
        runner: Any,
        dataloader: dict,
        evaluator: dict,
        clips_per_batch: int = 16,
        feature_cache: str | None = None,
    ) -> None:
        super().__init__(runner, dataloader, evaluator, clips_per_batch)
        if feature_cache is not None:
            self.cache = FeatureCache(feature_cache)
            for config in self._configs.values():
                _videos_config(config)


def _videos_config(dataset: Any) -> dict[str, Any]:
    """The config of the videos that an evaluation set's episodes are made of."""
    while isinstance(dataset, dict) and dataset.get("type") in ("KeyedDataset", "EpisodeDataset"):
        dataset = dataset["dataset"]
    if not isinstance(dataset, dict):
        raise ValueError(
            f"FeatureCacheTestLoop.feature_cache needs data sets given as configs, got {type(dataset).__name__}"
        )
    return dataset


def _describe_videos(dataset: Any) -> str:
    """What two sets must agree in to have the same clips: the videos, and the seed of what their pipeline draws."""
    if not isinstance(dataset, dict):
        return str(id(dataset))
    if dataset.get("type") == "KeyedDataset":
        return _describe_videos(dataset["dataset"])
    shown = [dataset.get("dataset"), dataset.get("seed", 0), dataset.get("shuffle_classes", False)]
    return json.dumps(shown, sort_keys=True, default=repr)
