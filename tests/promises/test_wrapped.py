"""A distributed run trains a wrapped model: unwrapped, every rank would train alone, without a word."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.config import Config


def test_two_ranks_train_one_wrapped_model(
    shapes_path: Path, shrunk: Callable[..., Config], without_learning: Callable[[Config], Config],
    train: Callable[..., Any], tmp_path: Path,
) -> None:  # fmt: skip
    config = shrunk(shapes_path, tmp_path / "work", bare=True)
    # It is the Runner that wraps, by the config's own model_wrapper_cfg.
    without_learning(config)
    records = train(config, world_size=2)
    assert {record["model"] for record in records} == {config.model_wrapper_cfg.type}
    assert config.model_wrapper_cfg.type in ("MMDistributedDataParallel", "ReplicatedModel")
