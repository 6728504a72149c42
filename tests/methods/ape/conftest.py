"""Fits on synthetic features, which take a second: no picture, no tower."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS, MODELS
from mmpretrain.structures import DataSample
from torch import Tensor
from torch.nn.functional import normalize
from torch.utils.data import Dataset

import clipplus.methods.ape  # noqa: F401 - registers the parts
from clipplus.engine.launch import build_runner

CLASSES, WIDTH = 7, 32
NAMES = tuple(f"thing {label}" for label in range(CLASSES))
SPLITS = {"train": 1, "val": 2, "test": 3}


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def class_means() -> Tensor:
    """Classes lie close together, as CLIP's do; half of the channels say nothing about them."""
    means = draw(0, CLASSES, WIDTH)
    means[:, WIDTH // 2 :] = 0
    return means + 3 * draw(10, WIDTH)


@DATASETS.register_module(force=True)
class ToyFeatures(Dataset):
    """Features of a split: the means of their classes, and noise.

    Args:
        split: 'train', 'val' or 'test'.
        per_class: samples of each class.
        noise: of the features.
        broken: numbers of samples that are not finite.
    """

    def __init__(
        self,
        split: str,
        per_class: int = 20,
        noise: float = 1.0,
        broken: list[int] = (),
        names: tuple[str, ...] = NAMES,
    ) -> None:
        self.split, self.metainfo = split, dict(classes=tuple(names))
        self.labels = torch.arange(CLASSES).repeat(per_class)
        self.features = class_means()[self.labels] + noise * draw(SPLITS[split], len(self.labels), WIDTH)
        self.features[list(broken)] = float("nan")

    def full_init(self) -> None:
        pass

    def sample_key(self, index: int) -> str:
        return f"{self.split}-{index}"

    def get_cat_ids(self, index: int) -> list[int]:
        return [int(self.labels[index])]

    def get_data_info(self, index: int) -> dict[str, Any]:
        return dict(
            feature=self.features[index], gt_label=int(self.labels[index]), key=self.sample_key(index), sample_idx=index
        )

    def pipeline(self, info: dict[str, Any]) -> dict[str, Any]:
        """With a little augmentation in training."""
        shift = 0.1 * torch.randn(WIDTH) if self.split == "train" else 0.0
        sample = DataSample(metainfo=dict(sample_idx=info["sample_idx"])).set_gt_label(info["gt_label"])
        return dict(inputs=info["feature"] + shift, data_samples=sample)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Any:
        return self.pipeline(self.get_data_info(index))


@MODELS.register_module(force=True)
class ToyTexts:
    """Class texts that are noisier than images."""

    tower = None

    def __init__(self, noise: float = 1.6, classes: list[str] | None = None, width: int = WIDTH) -> None:
        self.noise, self.classes, self.width = noise, classes, width

    def class_prompts(self, names: list[str]) -> list[list[str]]:
        return [[name, str(self.noise)] for name in names]

    def embeddings(self, tower: Any, names: list[str], cache: bool) -> Tensor:
        texts = class_means() + self.noise * draw(4, CLASSES, WIDTH)
        return normalize(texts, dim=1)[: len(names), : self.width]


def loader(**options: Any) -> dict[str, Any]:
    return dict(
        batch_size=16, num_workers=0, persistent_workers=False, collate_fn=dict(type="pseudo_collate"), **options
    )


def evaluation(split: str, **options: Any) -> dict[str, Any]:
    dataset = dict(type="ToyFeatures", split=split, **options)
    return loader(sets=dict(toy=dict(collate_fn=dict(type="pseudo_collate"), dataset=dataset)))


HEADS: dict[str, dict[str, Any]] = {
    "ape": dict(type="APEHead", num_channels=0.5, weights=(0.5, 0.5), gamma=0.1),
    "ape-t": dict(type="APETHead", num_channels=0.5),
    "tip-adapter": dict(type="TipAdapterHead"),
    "tip-adapter-f": dict(type="TipAdapterHead", train_keys=True),
    "zero-shot": dict(type="ZeroShotCacheHead"),
}


@pytest.fixture
def fit_config(tmp_path: Path) -> Callable[..., Any]:
    """`fit_config(method, **keys)`: config of a fit of 4 shots per class; keys are set as `--cfg-options` would."""
    from mmengine.config import Config

    def configure(method: str = "ape", **keys: Any) -> Config:
        trains = method in ("ape-t", "tip-adapter-f")
        scale, steps = ((7, 7, 1), (8, 6, 3)) if method == "ape" else ((7, 7), (8, 6))
        shots = dict(type="FewShotSubset", num_shots=4, seed=1, dataset=dict(type="ToyFeatures", split="train"))
        config = Config(
            dict(
                default_scope="mmpretrain",
                model=dict(type="FewShotClassifier", head=dict(HEADS[method]), text_bank=dict(type="ToyTexts")),
                train_dataloader=loader(
                    sampler=dict(type="EpochOrder"), batch_sampler=dict(type="ReplicatedBatches"),
                    dataset=dict(type="KeyedDataset", dataset=shots),
                ),
                val_dataloader=evaluation("val"),
                test_dataloader=evaluation("test"),
                val_evaluator=dict(sets=dict(toy=dict(type="ZeroShotAccuracy", topk=(1,)))),
                test_evaluator=dict(sets=dict(toy=dict(type="ZeroShotAccuracy", topk=(1,)))),
                val_cfg=dict(type="MultiDatasetValLoop"),
                test_cfg=dict(type="MultiDatasetTestLoop"),
                train_cfg=dict(
                    type="FewShotFitLoop", max_epochs=10 * trains, num_views=3,
                    feature_cache=str(tmp_path / "features"), search=dict(scale=scale, steps=steps),
                ),
                optim_wrapper=dict(
                    type="OptimWrapper", constructor="FewShotOptimWrapperConstructor",
                    optimizer=dict(type="AdamW", lr=1e-2, eps=1e-3, weight_decay=0.1) if trains else None,
                ),
                default_hooks=dict(
                    logger=dict(type="LoggerHook", interval=1000), contract=dict(type="CheckpointContractHook"),
                    checkpoint=dict(type="RunCheckpointHook", signals=[], save_best="toy/top1" if trains else None),
                    fit_record=dict(type="FitRecordHook"), towers=dict(type="TowerReferencesHook"),
                ),
                work_dir=str(tmp_path / "work"), randomness=dict(seed=0), log_level="WARNING",
            )
        )  # fmt: skip
        config.merge_from_dict(keys)
        return config

    return configure


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Runner]:
    """`build(config)`: its Runner, without what costs more than the run."""
    # mmengine lays the config out with yapf for the log and every checkpoint.
    monkeypatch.setattr("mmengine.config.config.FormatCode", lambda text, **style: (text, True))

    def run(config: Any) -> Runner:
        from mmengine.utils import ManagerMixin

        for kind in ManagerMixin.__subclasses__():
            kind._instance_dict.clear()
        return build_runner(config.copy())

    return run


@pytest.fixture
def tested(build: Callable[[Any], Runner]) -> Callable[..., dict[str, float]]:
    """`tested(config, file)`: metrics of a test from a file alone, in a Runner without anything of a training."""

    def run(config: Any, file: Path) -> dict[str, float]:
        config = config.copy()
        for part in ("cfg", "dataloader", "evaluator"):
            config.pop(f"val_{part}", None)
            config.pop(f"train_{part}", None)
        config.optim_wrapper = None
        config.load_from, config.work_dir = str(file), f"{config.work_dir}.test"
        return build(config).test()

    return run
