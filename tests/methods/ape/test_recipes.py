"""The published settings, written down once more, against what the configs say."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mmengine.config import Config

from clipplus.text.templates import resolve_templates

CONFIGS = Path(__file__).parents[3] / "configs" / "ape"


class Recipe(NamedTuple):
    """Of a data set; scales are (beta, alpha, gamma)."""

    scale: tuple[float, float, float]
    alpha: float
    weights: tuple[float, float]
    channels: int
    trained_channels: int
    lr: float
    eps: float
    epochs: int
    template: str
    tip_scale: tuple[float, float]
    tip_alpha: float
    sizes: tuple[int, int, int] | None


RECIPES = {
    "imagenet": Recipe((7, 7, 0.5), 2, (0.7, 0.3), 500, 500, 1e-4, 1e-3, 20, "", (7, 3), 1.17, None),
    "caltech101": Recipe(
        (7, 7, 1), 1, (0.5, 0.5), 800, 900, 1e-3, 1e-3, 30, "a photo of a {}.", (12, 5), 3, (4128, 1649, 2465)
    ),
    "dtd": Recipe((7, 7, 1), 3, (0.5, 0.5), 400, 700, 1e-3, 1e-3, 20, "{} texture.", (13, 13), 2, (2820, 1128, 1692)),
    "eurosat": Recipe(
        (30, 5, 1.5), 1, (0.9, 0.1), 700, 900, 1e-3, 1e-3, 200, "a centered satellite photo of {}.", (12, 10), 2,
        (13500, 5400, 8100),
    ),
    "fgvc": Recipe(
        (20, 10, 1), 5, (0.1, 0.9), 800, 900, 1e-3, 1e-3, 30, "a photo of a {}, a type of aircraft.", (30, 30), 5,
        (3334, 3333, 3333),
    ),
    "food101": Recipe(
        (7, 7, 1), 0.8, (0.3, 0.7), 700, 900, 1e-4, 1e-3, 30, "a photo of {}, a type of food.", (10, 10), 1.17,
        (50500, 20200, 30300),
    ),
    "flowers": Recipe(
        (7, 7, 1), 3, (0.4, 0.6), 700, 800, 1e-3, 1e-3, 60, "a photo of a {}, a type of flower.", (50, 50), 10,
        (4093, 1633, 2463),
    ),
    "pets": Recipe(
        (7, 7, 1), 2, (0.7, 0.3), 800, 800, 1e-4, 2e-3, 30, "a photo of a {}, a type of pet.", (7, 3), 1.17,
        (2944, 736, 3669),
    ),
    "cars": Recipe(
        (10, 7, 1), 1, (0.6, 0.4), 500, 800, 1e-3, 5e-3, 30, "a photo of a {}.", (20, 10), 3, (6509, 1635, 8041)
    ),
    "sun397": Recipe(
        (10, 7, 1), 1, (0.7, 0.3), 800, 800, 1e-4, 1e-3, 30, "a photo of a {}.", (12, 10), 1.17, (15880, 3970, 19850)
    ),
    "ucf101": Recipe(
        (10, 7, 1.5), 2, (0.3, 0.7), 700, 800, 1e-3, 2e-3, 30, "a photo of a person doing {}.", (7, 3), 3,
        (7639, 1898, 3783),
    ),
}  # fmt: skip
#: "openai-7"; published for ImageNet.
IMAGENET_TEMPLATES = [
    "itap of a {}.", "a bad photo of the {}.", "a origami {}.", "a photo of the large {}.", "a {} in a video game.",
    "art of the {}.", "a photo of the small {}.",
]  # fmt: skip

datasets = pytest.mark.parametrize("data", RECIPES)


def load(name: str) -> Config:
    return Config.fromfile(CONFIGS / f"{name}.py", import_custom_modules=False)


def plain(values: Any) -> tuple:
    return tuple(values)


def search(config: Config) -> tuple[str, tuple, tuple]:
    plan = config.train_cfg.search
    return plan.on, plain(plan.scale), plain(plan.steps)


def require_common(config: Config, data: str, prompts: bool) -> None:
    """What all methods share."""
    recipe, bank = RECIPES[data], config.model.text_bank
    assert resolve_templates(bank.templates) == ([recipe.template] if recipe.template else IMAGENET_TEMPLATES)
    assert bank.get("prompts") == (f"data/gpt3_prompts/{data}.json" if prompts else None)
    assert bool(bank.get("add_templates")) == prompts
    assert bank.get("average", "unit") == "unit"
    assert (config.model.image_tower.model, config.model.image_tower.pretrained) == ("RN50-quickgelu", "openai")
    assert (bank.tower.model, bank.tower.pretrained) == ("RN50-quickgelu", "openai")
    shots = config.train_dataloader.dataset.dataset
    assert (shots.type, shots.num_shots, shots.seed) == ("FewShotSubset", 16, 1)
    assert (config.train_dataloader.batch_size, config.train_cfg.num_views, config.randomness.seed) == (256, 10, 3407)
    assert config.model.head.beta == 1


def require_schedule(config: Config, lr: float, eps: float, decay: float, epochs: int) -> None:
    optimizer, schedule = config.optim_wrapper.optimizer, config.param_scheduler
    assert (optimizer.type, optimizer.lr, optimizer.eps, optimizer.weight_decay) == ("AdamW", lr, eps, decay)
    assert "betas" not in optimizer
    assert config.train_cfg.max_epochs == epochs
    assert (schedule.type, schedule.T_max, schedule.end) == ("CosineAnnealingLR", epochs, epochs)
    assert schedule.by_epoch
    assert schedule.convert_to_iter_based
    assert not schedule.get("eta_min")


@datasets
def test_ape_is_set_as_published(data: str) -> None:
    config, recipe = load(f"ape_rn50_openai-pre_16shot_{data}"), RECIPES[data]
    require_common(config, data, prompts=True)
    head = config.model.head
    assert (head.type, head.num_channels, plain(head.weights)) == ("APEHead", recipe.channels, recipe.weights)
    assert (head.alpha, head.gamma, head.get("criterion_source", "all")) == (recipe.alpha, 0.1, "all")
    assert search(config) == ("val", recipe.scale, (200, 20, 5 if data == "imagenet" else 20))
    assert config.train_cfg.max_epochs == 0


@datasets
def test_ape_t_is_set_as_published(data: str) -> None:
    config, recipe = load(f"ape-t_rn50_openai-pre_16shot_{data}"), RECIPES[data]
    require_common(config, data, prompts=True)
    head = config.model.head
    assert (head.type, head.num_channels, plain(head.weights)) == ("APETHead", recipe.trained_channels, (0.2, 0.8))
    assert (head.alpha, head.get("criterion_source", "text")) == (recipe.alpha, "text")
    assert search(config) == ("val", recipe.scale[:2], (200, 20))
    require_schedule(config, recipe.lr, recipe.eps, 0.1, recipe.epochs)


@datasets
@pytest.mark.parametrize("texts", ["", "-cupl"])
def test_tip_adapter_is_set_as_published_and_with_the_texts_of_ape(data: str, texts: str) -> None:
    recipe = RECIPES[data]
    for name, trains in (("tip-adapter", False), ("tip-adapter-f", True)):
        config = load(f"{name}_rn50_openai-pre_16shot{texts}_{data}")
        require_common(config, data, prompts=bool(texts))
        head = config.model.head
        assert (head.type, bool(head.get("train_keys")), head.alpha) == ("TipAdapterHead", trains, recipe.tip_alpha)
        assert search(config) == ("val", recipe.tip_scale, (200, 20))
        if trains:
            require_schedule(config, 1e-3, 1e-4, 0.01, 100 if data == "eurosat" else 20)


@datasets
def test_choices_are_made_on_validation_and_tested_on_test(data: str) -> None:
    config, recipe = load(f"ape-t_rn50_openai-pre_16shot_{data}"), RECIPES[data]
    chosen = next(iter(config.val_dataloader.sets))
    assert config.default_hooks.checkpoint.save_best == f"{chosen}/top1"
    if recipe.sizes is None:
        held_out = config.val_dataloader.sets.held_out.dataset
        assert (held_out.part, held_out.holdout, held_out.dataset.dataset.split) == ("holdout", 10, "train")
        assert list(config.test_dataloader.sets) == ["imagenet", "imagenet_v2", "imagenet_sketch"]
        return
    parts = [
        config.train_dataloader.dataset.dataset.dataset,
        config.val_dataloader.sets[data].dataset,
        config.test_dataloader.sets[data].dataset,
    ]
    assert [(part.split, part.expected) for part in parts] == list(
        zip(("train", "val", "test"), recipe.sizes, strict=True)
    )


def test_pictures_are_cut_as_published() -> None:
    config = load("ape_rn50_openai-pre_16shot_dtd")
    crop, flip = config.train_dataloader.dataset.dataset.dataset.pipeline[1:3]
    assert (crop.type, crop.scale, plain(crop.crop_ratio_range)) == ("RandomResizedCrop", 224, (0.5, 1.0))
    assert (crop.backend, crop.interpolation, flip.prob) == ("pillow", "bicubic", 0.5)
    for split in ("val", "test"):
        resize, centre = config[f"{split}_dataloader"].sets.dtd.dataset.pipeline[1:3]
        assert (resize.type, resize.scale, resize.edge) == ("ResizeEdge", 224, "short")
        assert (resize.backend, resize.interpolation) == ("pillow", "bicubic")
        assert (centre.type, centre.crop_size) == ("CenterCrop", 224)


@pytest.mark.parametrize("method", ["ape", "ape-t"])
@pytest.mark.parametrize("tower", ["rn101", "vit-base-p16", "vit-base-p32"])
def test_other_towers_keep_the_share_of_channels(method: str, tower: str) -> None:
    """Published for 1,024 channels only; these have 512."""
    config = load(f"{method}_{tower}_openai-pre_16shot_imagenet")
    assert round(config.model.head.num_channels * 512) == round(500 / 1024 * 512)
    assert config.model.image_tower.model == config.model.text_bank.tower.model


def test_food_trains_one_and_two_shots_with_a_larger_eps() -> None:
    by_shots = load("ape-t_rn50_openai-pre_16shot_food101").options_by_shots
    assert by_shots == {k: {"optim_wrapper.optimizer.eps": 1e-2} for k in ("1", "2")}
