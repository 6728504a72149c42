"""A distributed run trains a wrapped model: unwrapped, every rank would train alone, without a word."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.config import Config


def test_two_ranks_train_one_wrapped_model(
    shapes_path: Path, shrunk: Callable[..., Config], train: Callable[..., Any], tmp_path: Path
) -> None:
    config = shrunk(shapes_path, tmp_path / "work", bare=True)
    # It is the Runner that wraps, by the config's own model_wrapper_cfg.
    config.model = dict(type="LearnsNothing", data_preprocessor=config.model.get("data_preprocessor"))
    config.train_dataloader.batch_size = config.train_dataloader.dataset.dataset.num_scenes // 2
    records = train(config, world_size=2)
    assert {record["model"] for record in records} == {"MMDistributedDataParallel"}
