"""Promise 14: what is chosen by looking at results is chosen on a validation split, never on the test split."""

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

CONFIGS = [path for path in sorted(Path(__file__).parents[2].glob("configs/*/*.py")) if path.parent.name != "_base_"]
SHAPES = [path for path in CONFIGS if path.stem.endswith("_shapes")]
SELECTING_TYPES = ("EarlyStoppingHook", "ReduceOnPlateauLR", "ReduceOnPlateauMomentum", "ReduceOnPlateauParamScheduler")
#: What makes one data set another; how its samples are read does not.
HOW = ("pipeline", "test_mode", "serialize_data", "lazy_init", "max_refetch", "metainfo")


@functools.cache
def load(path: Path) -> Config:
    """A config of the tree; not to be changed."""
    return Config.fromfile(path, import_custom_modules=False)


def parts(config: Any) -> Iterator[dict]:
    """Every dict in a config."""
    if isinstance(config, dict):
        yield config
    for child in config.values() if isinstance(config, dict) else config if isinstance(config, list | tuple) else ():
        yield from parts(child)


def datasets(loader: dict | None) -> Iterator[dict]:
    """The innermost data sets of a loader, or of each of its sets."""
    for part in parts(loader or {}):
        if isinstance(part.get("dataset"), dict) and "dataset" not in part["dataset"]:
            yield part["dataset"]


def identities(loader: dict | None) -> set[str]:
    """The data that a loader shows."""
    return {identity(dataset) for dataset in datasets(loader)}


def identity(dataset: dict) -> str:
    """What makes a data set, or a selection of one, what it is."""
    return json.dumps(_what(dataset), sort_keys=True, default=str)


def _what(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _what(value) for key, value in part.items() if key not in HOW}
    return part


def held_out(config: Config) -> set[str]:
    """Data that are trained on as well, but of which training and validation select different samples.

    `FewShotSubset` with `part='holdout'` draws from what the same one without it leaves.
    """
    shots = {identity(part): part for part in selections(config.get("train_dataloader"))}
    rests = [part for part in selections(config.get("val_dataloader")) if part.get("part") == "holdout"]
    own = ("part", "holdout")
    return {
        inner
        for rest in rests
        if identity({key: value for key, value in rest.items() if key not in own}) in shots
        for inner in identities(dict(dataset=rest))
    }


def selections(loader: dict | None) -> Iterator[dict]:
    """The few-shot selections of a loader."""
    yield from (part for part in parts(loader or {}) if part.get("type") == "FewShotSubset")


def selects(config: Config) -> list[str]:
    """What of a training looks at validation results to decide something."""
    found = [part["type"] for part in parts(config._cfg_dict) if part.get("type") in SELECTING_TYPES]
    return found + ["save_best" for part in parts(config._cfg_dict) if part.get("save_best")]


def selected_on_test(config: Config) -> set[str]:
    """Data sets that choose and test at the same time."""
    shared = identities(config.get("val_dataloader")) & identities(config.get("test_dataloader"))
    return shared if selects(config) else set()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_nothing_is_chosen_on_the_data_that_are_tested(path: Path) -> None:
    config = load(path)
    assert not selected_on_test(config), f"{selects(config)} of {path.name}"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_nothing_is_trained_on_the_data_that_are_evaluated(path: Path) -> None:
    config = load(path)
    trained = identities(config.get("train_dataloader"))
    # Classifiers that a metric fits to a training set of its own.
    for evaluator in ("val_evaluator", "test_evaluator"):
        trained |= {name for part in parts(config.get(evaluator) or {}) for name in identities(part.get("train"))}
    validated = identities(config.get("val_dataloader")) - held_out(config)
    assert not trained & (validated | identities(config.get("test_dataloader")))


@pytest.mark.parametrize("path", SHAPES, ids=lambda path: path.stem)
def test_shapes_are_trained_validated_and_tested_on_the_splits_of_that_name(path: Path) -> None:
    config = load(path)
    for split in ("train", "val", "test"):
        found = {dataset.split for dataset in datasets(config.get(f"{split}_dataloader")) if "split" in dataset}
        assert found <= {split}
    assert config.get("test_dataloader")


@pytest.mark.parametrize(
    "addition",
    [
        dict(default_hooks=dict(checkpoint=dict(save_best="auto"))),
        dict(custom_hooks=[dict(type="EarlyStoppingHook", monitor="top1")]),
        dict(param_scheduler=[dict(type="ReduceOnPlateauLR", monitor="top1")]),
    ],
    ids=["best checkpoint", "early stopping", "plateau"],
)
def test_choosing_on_the_tested_data_would_be_seen(addition: dict) -> None:
    plain = next(path for path in SHAPES if path.parent.name == "clip")
    config = Config.fromfile(plain, import_custom_modules=False)
    config.merge_from_dict(addition)
    assert selects(config)
    assert not selected_on_test(config)
    config.test_dataloader = config.val_dataloader
    assert len(selected_on_test(config)) == 2
