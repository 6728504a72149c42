"""Promise 11: checkpoints and result files say where they come from."""

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

import clipplus
from clipplus.checkpoints import load_restricted
from clipplus.version import __version__

ROOT = Path(__file__).parents[2]
PARTS = {"versions", "git", "machine", "seed", "data", "prompts"}


def require_provenance(record: dict[str, Any], config: Config) -> None:
    assert record.keys() == PARTS
    assert record["versions"]["clipplus"] == __version__
    assert {"python", "torch", "mmengine", "open_clip_torch"} <= record["versions"].keys()
    assert record["git"].keys() == {"revision", "dirty"}
    assert record["machine"]["cores"] >= 1
    assert record["seed"] == config.randomness.seed
    # Scenes are drawn: their options are the data.
    drawn = record["data"]["drawn"]
    assert any(of["type"].startswith("Shapes") and of.get("split", "train") == "train" for of in drawn)
    assert len(record["data"]["fingerprint"]) == 64
    named = json.dumps([config.get("val_evaluator"), config.get("model")], default=str)
    assert bool(record["prompts"]) == ("ClassTextBank" in named)
    for prompt in record["prompts"]:
        assert prompt["templates_version"]
        assert (prompt["classes_version"] is None) == (prompt["classes"] is None)


@pytest.fixture(scope="module")
def trained(
    shapes_path: Path, shrunk: Callable[..., Config], train: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Config:  # fmt: skip
    """The config of a training that has ended."""
    config = shrunk(shapes_path, tmp_path_factory.mktemp("trained") / "work")
    train(config)
    return config


def newest_checkpoint(config: Config) -> Path:
    return Path((Path(config.work_dir) / "last_checkpoint").read_text())


def test_checkpoints_say_where_they_come_from(trained: Config) -> None:
    meta = load_restricted(newest_checkpoint(trained))["meta"]
    require_provenance(meta["clipplus"]["provenance"], trained)
    assert "train_dataloader" in meta["cfg"]


def test_results_of_a_training_say_where_they_come_from(trained: Config) -> None:
    if not any(hook["type"] == "ResultTableHook" for hook in trained.get("custom_hooks", [])):
        pytest.skip("the config writes no results")
    results = json.loads((Path(trained.work_dir) / "results.json").read_text())
    newest = newest_checkpoint(trained)
    # A fit that ends in a file of its own names that.
    named = Path(trained.work_dir) / results["checkpoint"]
    assert named == newest or named.name == "best.pth"
    assert results["provenance"] == load_restricted(newest)["meta"]["clipplus"]["provenance"]
    assert Config.fromstring(results["config_text"], ".py").train_dataloader == trained.train_dataloader


def test_what_clipplus_load_reads_is_still_there(trained: Config) -> None:
    record = load_restricted(newest_checkpoint(trained))["meta"]["clipplus"]
    assert record["model"] == trained.model.to_dict()
    if trained.model.type == "CLIPModel":
        assert clipplus.load(newest_checkpoint(trained)).embed_texts(["a circle"]).shape[0] == 1


def test_results_of_a_test_say_where_they_come_from(trained: Config, run_ranks: Callable[..., None]) -> None:
    out = Path(f"{trained.work_dir}.metrics.json")
    path = Path(f"{trained.work_dir}.py")
    trained.dump(path)
    checkpoint = str(newest_checkpoint(trained))
    tool = runpy.run_path(str(ROOT / "tools" / "test.py"))["main"]
    arguments = [str(path), checkpoint, "--out", str(out), "--work-dir", f"{trained.work_dir}.test"]
    run_ranks(lambda _: tool(arguments), trained)
    record = json.loads(out.read_text())
    assert record["checkpoint"] == checkpoint
    require_provenance(record["provenance"], trained)
    assert "test_dataloader" in record["config_text"]
