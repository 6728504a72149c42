"""Every config of the tree: it loads, its name can be decoded, its model builds, its metafile knows it."""

import importlib.util
import re
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

ROOT = Path(__file__).parents[2]
CONFIGS = sorted(path for path in (ROOT / "configs").glob("*/*.py") if path.parent.name != "_base_")
METAFILES = sorted((ROOT / "configs").glob("*/metafile.yml"))
# {method}_{tower}[_{start}-pre][_{gpus}xb{batch}[-options]-{schedule}]_{data}[-size].py, words joined by dashes.
# Few-shot methods have their shots in the place of batch and schedule, tests of episodes their ways.
NAME = re.compile(
    r"[a-z0-9-]+_[a-z0-9-]+(_[a-z0-9-]+-pre)?"
    r"_(\d+xb\d+(-[a-z0-9-]+)*-\d+(e|k|iters)|(zeroshot|probe|\d+shot|\d+way)[a-z-]*)_[a-z0-9-]+"
)


def name_of(path: Path) -> str:
    return path.stem


def shots_of(settings: object) -> set[int]:
    """The K of every few-shot data set in a part of a config."""
    if isinstance(settings, dict):
        own = {settings["num_shots"]} if settings.get("type") == "FewShotSubset" else set()
        return own.union(*map(shots_of, settings.values()))
    return set().union(*map(shots_of, settings)) if isinstance(settings, list | tuple) else set()


@pytest.mark.parametrize("path", CONFIGS, ids=name_of)
def test_name_follows_the_scheme_and_states_batch_and_shots(path: Path) -> None:
    assert NAME.fullmatch(path.stem)
    config = Config.fromfile(path)
    batch = re.search(r"_(\d+)xb(\d+)-", path.stem)
    epochs = re.search(r"-(\d+)e_", path.stem)
    updates = re.search(r"-(\d+)iters_", path.stem)
    accumulated = re.search(r"-accum(\d+)-", path.stem)
    shots = re.search(r"_(\d+)shot", path.stem)
    episodes = re.search(r"-(\d+)w(\d+)s-", path.stem)
    if batch:
        assert config.train_dataloader.batch_size == int(batch[2])
    if epochs:
        assert config.train_cfg.max_epochs == int(epochs[1])
    if updates:
        assert config.train_cfg.max_iters == int(updates[1])
    if episodes:
        trained = config.train_dataloader.dataset.dataset
        assert (trained.way, trained.shots) == (int(episodes[1]), int(episodes[2]))
    if batch:
        assert config.optim_wrapper.get("accumulative_counts", 1) == (int(accumulated[1]) if accumulated else 1)
    assert shots_of(config.get("train_dataloader")) == ({int(shots[1])} if shots else set())
    # What is held out is held out of the same draw.
    assert shots_of(config.get("val_dataloader")) <= shots_of(config.get("train_dataloader"))


def forget_weights(part: object) -> None:
    """Weights are not part of the tree."""
    if isinstance(part, dict):
        part.pop("pretrained", None)
        for child in part.values():
            forget_weights(child)


@pytest.mark.parametrize("path", CONFIGS, ids=name_of)
def test_model_builds(path: Path) -> None:
    config = Config.fromfile(path)
    init_default_scope(config.default_scope)
    forget_weights(config.model)
    with torch.device("meta"):
        model = MODELS.build(config.model)
    assert sum(p.numel() for p in model.parameters()) > 0


@pytest.mark.parametrize("path", CONFIGS, ids=name_of)
def test_loaders_state_what_hosts_tools_would_fill_in(path: Path) -> None:
    """mmpretrain's tools write another collate function and persistent workers where these are missing."""
    config = Config.fromfile(path)
    for loader in (config.get(f"{mode}_dataloader") for mode in ("train", "val", "test")):
        for part in [loader, *(loader.get("sets") or {}).values()] if loader else []:
            assert "collate_fn" in part
        if loader:
            assert loader.persistent_workers is (loader.num_workers > 0 and loader.persistent_workers)


@pytest.mark.parametrize("path", METAFILES, ids=lambda path: path.parent.name)
def test_metafile_and_folder_agree(path: Path) -> None:
    content = yaml.safe_load(path.read_text())
    collections = {entry["Name"] for entry in content["Collections"]}
    assert all((ROOT / entry["README"]).is_file() for entry in content["Collections"])
    listed = {entry["Config"] for entry in content["Models"]}
    assert listed == {config.relative_to(ROOT).as_posix() for config in CONFIGS if config.parent == path.parent}
    for entry in content["Models"]:
        assert entry["Name"] == Path(entry["Config"]).stem
        assert entry["In Collection"] in collections


def test_every_folder_has_readme_and_metafile() -> None:
    folders = {path.parent for path in CONFIGS}
    assert {path.parent for path in METAFILES} == folders
    assert all((folder / "README.md").is_file() for folder in folders)


def test_model_index_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("model_index", ROOT / "tools" / "model_index.py")
    tool = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(tool)  # type: ignore[union-attr]
    assert (ROOT / "model-index.yml").read_text() == tool.model_index(), "run python tools/model_index.py"


@pytest.mark.slow
def test_baselines_in_the_shapes_config_are_what_the_tool_measures() -> None:
    spec = importlib.util.spec_from_file_location("baselines", ROOT / "tools" / "analysis" / "shapes_baselines.py")
    tool = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(tool)  # type: ignore[union-attr]
    config = Config.fromfile(ROOT / "configs" / "clip" / "clip_resnet-tiny_1xb128-8e_shapes.py")
    stated = next(hook.baselines for hook in config.custom_hooks if hook.type == "ResultTableHook")
    assert dict(stated["chance"]) == pytest.approx(tool.chance(80, 500))
    assert dict(stated["colour histogram"]) == pytest.approx(tool.histogram_baseline(8192, 1000, 500), abs=0.21)
