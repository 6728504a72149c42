"""The probe config through the test tool."""

import json
from collections import Counter
from pathlib import Path
from types import ModuleType

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

CONFIG = Path(__file__).parents[2] / "configs" / "clip" / "clip_resnet-tiny_probe_shapes.py"


def test_probe_config_puts_three_classifiers_of_one_checkpoint_side_by_side(
    test_tool: ModuleType, tmp_path: Path
) -> None:
    config = Config.fromfile(CONFIG)
    init_default_scope(config.default_scope)
    torch.manual_seed(0)
    torch.save(dict(state_dict=MODELS.build(config.model).state_dict(), meta={}), tmp_path / "untrained.pth")
    values = test_tool.main([
        str(CONFIG), str(tmp_path / "untrained.pth"), "--work-dir", str(tmp_path / "run"),
        "--dump", str(tmp_path / "predictions.jsonl"), "--cfg-options",
        *(f"test_evaluator.sets.shapes_classes.{index}.train.dataset.num_scenes=160" for index in (1, 2)),
        "test_evaluator.sets.shapes_classes.1.C=1.0",
        "test_dataloader.sets.shapes_classes.dataset.num_scenes=40",
    ])  # fmt: skip
    assert [key.removeprefix("shapes_classes/") for key in values] == [
        f"{prefix}{name}" for prefix in ("", "linear/", "knn/") for name in ("top1", "top5", "mean_class")
    ]
    records = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    assert Counter(record.get("metric") for record in records) == {None: 40, "linear": 40, "knn": 40}
    assert "shapes_classes/linear/top1" in (tmp_path / "run" / "results.md").read_text()
