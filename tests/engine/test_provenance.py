"""Where a run's results come from, read from its config."""

from pathlib import Path
from types import SimpleNamespace

from mmengine.config import Config

import clipplus.data.shapes  # noqa: F401 - brings its class names
from clipplus.engine.provenance import data_provenance, prompt_provenance, run_provenance


def bank(**options: object) -> dict:
    return dict(sets=dict(a=dict(type="ZeroShotAccuracy", texts=dict(type="ClassTextBank", **options))))


def test_sets_are_named_with_the_version_of_their_content() -> None:
    named = prompt_provenance(dict(val_evaluator=bank(classes="shapes", templates="openai-7")))
    assert len(named) == 1
    assert (named[0]["classes"], named[0]["templates"]) == ("shapes", "openai-7")
    other = prompt_provenance(dict(val_evaluator=bank(classes="shapes", templates="openai")))
    assert named[0]["classes_version"] == other[0]["classes_version"]
    assert named[0]["templates_version"] != other[0]["templates_version"]


def test_equal_banks_are_listed_once_and_those_of_the_model_too() -> None:
    config = dict(val_evaluator=bank(classes=["a", "b"]), test_evaluator=bank(classes=("a", "b")),
                  model=dict(text=dict(type="clipplus.ClassTextBank", classes=["c"])))  # fmt: skip
    found = prompt_provenance(config)
    assert sorted(record["classes"] for record in found) == [["a", "b"], ["c"]]
    assert {record["templates"] for record in found} == {"photo"}


def test_what_this_run_cannot_read_has_no_version(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text("{}")
    config = dict(test_evaluator=bank(classes=str(tmp_path / "none.txt"), prompts=str(tmp_path / "p.json")))
    record = prompt_provenance(config)[0]
    assert record["classes_version"] is None
    assert record["prompts"][str(tmp_path / "p.json")].startswith("44136fa355b3678a")


def test_the_data_fingerprint_follows_the_content_of_files_and_the_options_of_drawn_data(tmp_path: Path) -> None:
    def fingerprint(**options: object) -> str:
        return data_provenance(dict(train_dataloader=dict(dataset=options)))["fingerprint"]

    (tmp_path / "a.jsonl").write_text("{}")
    before = fingerprint(type="Files", ann_file="a.jsonl", data_root=str(tmp_path))
    assert before == fingerprint(type="Files", ann_file="a.jsonl", data_root=str(tmp_path))
    (tmp_path / "a.jsonl").write_text("{}\n{}")
    assert fingerprint(type="Files", ann_file="a.jsonl", data_root=str(tmp_path)) != before
    assert fingerprint(type="Scenes", num=3) != fingerprint(type="Scenes", num=4)
    assert fingerprint(type="Scenes", size=(3, 3)) == fingerprint(type="Scenes", size=[3, 3])


def test_a_run_without_data_and_prompts_still_says_code_machine_and_seed() -> None:
    record = run_provenance(SimpleNamespace(cfg=Config(dict(model=dict(type="Net"))), seed=5))
    assert record["seed"] == 5
    assert record["data"]["files"] == {}
    assert record["prompts"] == []
    assert record["versions"]["torch"]
    assert record["git"].keys() == {"revision", "dirty"}
