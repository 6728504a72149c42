"""The table of results and its baselines."""

import json
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.runner import BaseLoop

from clipplus.visualization import ResultTableHook, format_results

METRICS = {"shapes/top1": 82.456, "shapes/top5": 97.0, "captions/image_to_text_R@1": 41.25}
BASELINES = {
    "chance": {"shapes/top1": 1.25, "captions/image_to_text_R@1": 0.2},
    "colour histogram": {"shapes/top1": 9.0},
}


class AfterUpdates(BaseLoop):
    iter = 500

    def __init__(self):
        pass

    def run(self):
        raise AssertionError


def runner(tmp_path, train_loop=None, **config):
    return SimpleNamespace(
        cfg=Config(config),
        work_dir=str(tmp_path),
        _train_loop=train_loop or AfterUpdates(),
        seed=3,
        _load_from="epoch_5.pth",
    )


def test_the_table_has_a_row_per_metric_and_a_column_per_baseline():
    assert format_results(METRICS, BASELINES).splitlines() == [
        "| metric (%)                 | this run | chance | colour histogram |",
        "| -------------------------- | -------: | -----: | ---------------: |",
        "| shapes/top1                |    82.46 |   1.25 |             9.00 |",
        "| shapes/top5                |    97.00 |        |                  |",
        "| captions/image_to_text_R@1 |    41.25 |   0.20 |                  |",
    ]


def test_a_run_without_baselines_has_its_own_column_alone():
    assert format_results({"a/b": 1.0}, {}).splitlines()[-1] == "| a/b        |     1.00 |"


def test_a_training_reports_its_last_validation_once(tmp_path):
    hook, run = ResultTableHook(BASELINES), runner(tmp_path)
    hook.after_val_epoch(run, dict.fromkeys(METRICS, 0.0))
    assert list(tmp_path.iterdir()) == []
    hook.after_val_epoch(run, METRICS)
    hook.after_train(run)
    assert (tmp_path / "results.md").read_text() == format_results(METRICS, BASELINES) + "\n"
    record = json.loads((tmp_path / "results.json").read_text())
    assert record["metrics"] == METRICS
    assert record["baselines"] == BASELINES
    assert (record["source"], record["iteration"], record["provenance"]["seed"]) == ("val", 500, 3)
    assert record["checkpoint"] is None


def test_a_training_names_the_checkpoint_that_it_validated(tmp_path):
    hook, loop = ResultTableHook(), AfterUpdates()
    run = runner(tmp_path, loop)
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "epoch_5.pth"))
    hook.after_val_epoch(run, METRICS)
    hook.after_train(run)
    assert json.loads((tmp_path / "results.json").read_text())["checkpoint"] == "epoch_5.pth"
    loop.iter = 600
    hook.after_train(run)
    assert json.loads((tmp_path / "results.json").read_text())["checkpoint"] is None


def test_a_test_reports_what_it_tested(tmp_path):
    ResultTableHook(BASELINES).after_test_epoch(runner(tmp_path), METRICS)
    record = json.loads((tmp_path / "results.json").read_text())
    assert (record["source"], record["checkpoint"]) == ("test", "epoch_5.pth")


def test_a_test_does_not_build_the_training_whose_data_may_be_missing(tmp_path):
    ResultTableHook(BASELINES).after_test_epoch(runner(tmp_path, train_loop={"type": "StepLoop"}), METRICS)
    assert json.loads((tmp_path / "results.json").read_text())["iteration"] == 0


def test_a_training_without_validation_writes_nothing(tmp_path):
    ResultTableHook(BASELINES).after_train(runner(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", ["shapes/top2", "other/top1"])
def test_a_baseline_for_an_unknown_metric_is_refused_at_the_first_validation(tmp_path, key):
    hook = ResultTableHook({"chance": {"shapes/top1": 1.0, key: 2.0}})
    run = runner(tmp_path, test_evaluator=dict(sets=dict(shapes=dict(type="ZeroShotAccuracy"))))
    with pytest.raises(ValueError, match=f"'chance' has '{key}'; metrics of this run: shapes/top1, shapes/top5"):
        hook.after_val_epoch(run, METRICS)


def test_a_baseline_of_a_set_that_only_the_test_runs_is_accepted(tmp_path):
    hook = ResultTableHook({"chance": {"unseen/top1": 2.0}})
    hook.after_val_epoch(runner(tmp_path, test_evaluator=dict(sets=dict(unseen=dict()))), METRICS)


@pytest.mark.parametrize("values", [1.25, {"shapes/top1": "1.25"}])
def test_baselines_that_are_no_numbers_are_refused_when_the_config_is_built(values):
    with pytest.raises(TypeError, match="baseline 'chance' must be a table like"):
        ResultTableHook({"chance": values})
