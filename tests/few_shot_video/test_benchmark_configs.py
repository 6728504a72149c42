"""Configs of the five benchmarks: they find videos where the page puts them, and train at the published rates."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, MODELS, PARAM_SCHEDULERS, init_default_scope
from torch import nn

from clipplus.few_shot_video.video_writing import write_video

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "configs" / "few_shot_video"
# Extension of the videos, and their folder.
PLACES = {
    "ssv2-full": (".webm", "data/sthv2/videos"),
    "ssv2-small": (".webm", "data/sthv2/videos"),
    "kinetics100": (".mp4", "data/kinetics400"),
    "ucf101": (".avi", "data/ucf101/videos"),
    "hmdb51": (".avi", "data/hmdb51/videos"),
}
# Published, in iterations of one episode: rate, where it warms up from, iterations of the warm-up, drops, length.
PUBLISHED = {
    "ssv2-full": (5e-5, 1e-5, 4000, (8000, 12000), 30000),
    "ssv2-small": (5e-5, 2e-5, 2000, (4000, 6000), 30000),
    "kinetics100": (1e-5, 5e-6, 250, (750, 1250), 5000),
    "ucf101": (2e-6, 1e-7, 600, (1200, 1800), 3000),
    "hmdb51": (1e-5, 1e-6, 700, (1400, 2100), 5000),
}


def config_of(data: str, method: str = "otam_rn50") -> Config:
    config = Config.fromfile(next(FOLDER.glob(f"{method}_*_{data}.py")))
    init_default_scope(config.default_scope)
    return config


def episodes_of(config: Config) -> dict[str, Any]:
    """Data sets of training, validation and all tests."""
    test = {name: part.dataset for name, part in config.test_dataloader.sets.items()}
    val = next(iter(config.val_dataloader.sets.values())).dataset
    parts = {"train": config.train_dataloader.dataset.dataset, "val": val, **test}
    return {name: DATASETS.build(part) for name, part in parts.items()}


@pytest.fixture(scope="module")
def one_video(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A video of 12 frames, by extension."""
    folder = tmp_path_factory.mktemp("videos")
    frames = np.random.default_rng(0).integers(0, 256, (12, 24, 32, 3), dtype=np.uint8)
    for extension in (".webm", ".mp4", ".avi"):
        write_video(folder / f"one{extension}", frames, 12)
    return {path.suffix: path for path in folder.iterdir()}


@pytest.mark.parametrize("data", PLACES)
def test_episodes_are_read_from_where_the_page_puts_the_videos(
    data: str, one_video: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extension, folder = PLACES[data]
    monkeypatch.chdir(tmp_path)
    Path(folder).mkdir(parents=True)
    found = episodes_of(config_of(data))
    key = data.replace("-", "_")
    assert list(found) == ["train", "val", *(f"{key}_{shots}shot" for shots in range(1, 6))]
    for name in ("train", "val", f"{key}_2shot"):
        for video in found[name].draw(0).videos:
            place = Path(found[name].name_of(video))
            assert place.suffix == extension
            assert place.is_relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.exists():
                place.hardlink_to(one_video[extension])
    assert found["train"][0]["inputs"].shape == (30, 8, 3, 256, 256)
    assert found["val"][0]["inputs"].shape == (10, 8, 3, 256, 256)
    assert found[f"{key}_2shot"][0]["inputs"].shape == (15, 8, 3, 256, 256)


def test_a_missing_folder_of_videos_is_named_with_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = config_of("ucf101", "frozen-clip_rn50")
    part = config.test_dataloader.sets.ucf101_1shot.dataset
    with pytest.raises(FileNotFoundError, match=r"folder of videos data/ucf101/videos .*docs/few_shot_data.md"):
        DATASETS.build(part)


def published_rate(data: str, iteration: int) -> float:
    base, start, warm_up, drops, _ = PUBLISHED[data]
    if iteration < warm_up:
        return start + (base - start) * iteration / warm_up
    return base * 0.1 ** sum(iteration >= drop for drop in drops)


@pytest.mark.parametrize("data", PUBLISHED)
def test_an_update_has_the_published_rate_of_its_four_iterations(data: str) -> None:
    config = config_of(data)
    settings = config.optim_wrapper.optimizer
    assert config.train_cfg.max_iters * config.optim_wrapper.accumulative_counts == PUBLISHED[data][-1]
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=settings.lr)
    schedulers = [
        PARAM_SCHEDULERS.build(part, default_args=dict(optimizer=optimizer)) for part in config.param_scheduler
    ]
    for update in range(config.train_cfg.max_iters):
        rates = [published_rate(data, 4 * update + part) for part in range(4)]
        # Where four iterations do not divide the warm-up, it ends within half an update.
        slack = 0.015 * max(rates)
        assert min(rates) - slack <= optimizer.param_groups[0]["lr"] <= max(rates) + slack, update
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()


@pytest.mark.parametrize("tower", ["rn50", "vit-base-p16"])
def test_all_is_decayed_but_what_is_called_bn_or_norm(tower: str) -> None:
    config = config_of("ssv2-small", f"trx_{tower}")
    config.model.backbone.pop("pretrained")
    with torch.device("meta"):
        model = MODELS.build(config.model)
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    decay = {id(group["params"][0]): group["weight_decay"] for group in wrapper.optimizer.param_groups}
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    found = {name: decay[id(parameter)] for name, parameter in trained}
    assert found == {name: 0.0 if "bn" in name or "norm" in name else 1e-3 for name in found}
    assert {0.0, 1e-3} == set(found.values())
