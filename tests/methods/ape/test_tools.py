"""tools/train.py and tools/test.py on features, where there is no image tower."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import normalize

CLASSES, WIDTH = 4, 16
TOOLS = Path(__file__).parents[3] / "tools"


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tools_{name}", TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


@pytest.fixture
def config(fit_config: Callable[..., Any], tmp_path: Path) -> Path:
    """A config on files of features and of class texts."""
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(CLASSES, WIDTH, generator=generator)
    labels = torch.arange(CLASSES).repeat(8)
    for split in ("train", "val", "test"):
        rows = means[labels] + 0.7 * torch.randn(len(labels), WIDTH, generator=generator)
        save_file({"features": rows, "labels": labels}, tmp_path / f"{split}.safetensors")
    texts = normalize(means + torch.randn(CLASSES, WIDTH, generator=generator), dim=1)
    save_file({"text_weight": texts}, tmp_path / "texts.safetensors")
    config = fit_config("ape", **{"train_cfg.num_views": 1})
    config.model.image_tower = None
    config.model.text_bank = dict(type="StoredClassTexts", path=str(tmp_path / "texts.safetensors"))
    names = dict(type="FeatureDataset", classes=[f"thing {label}" for label in range(CLASSES)])
    config.train_dataloader.dataset.dataset.dataset = dict(names, path=str(tmp_path / "train.safetensors"))
    for split in ("val", "test"):
        config[f"{split}_dataloader"].sets.toy.dataset = dict(names, path=str(tmp_path / f"{split}.safetensors"))
    config.custom_imports = dict(imports=["clipplus.methods.ape"], allow_failed_imports=False)
    config.dump(tmp_path / "features.py")
    return tmp_path / "features.py"


@pytest.mark.usefixtures("plain_configs")
def test_the_tools_fit_and_test_features_without_a_tower(config: Path, tmp_path: Path) -> None:
    work, best = tmp_path / "work", tmp_path / "work" / "best.pth"
    tool("train").main([str(config), "--work-dir", str(work)])
    for name in ("train", "val", "texts"):
        (tmp_path / f"{name}.safetensors").rename(tmp_path / f"{name}.gone")
    metrics = tool("test").main([
        str(config), str(best), "--work-dir", str(work / "test"), "--out", str(tmp_path / "metrics.json"),
        "--dump", str(tmp_path / "predictions.jsonl"),
    ])  # fmt: skip
    assert metrics["toy/top1"] > 80
    assert json.loads((tmp_path / "metrics.json").read_text())["metrics"] == metrics
    assert len((tmp_path / "predictions.jsonl").read_text().splitlines()) == 8 * CLASSES


@pytest.mark.usefixtures("plain_configs")
def test_features_without_a_fitted_head_say_what_to_run(config: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"APEHead is not fitted: run tools/train\.py"):
        tool("test").main([str(config), "--work-dir", str(tmp_path / "test")])
