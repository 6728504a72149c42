"""Both classifiers through the test loop: what they are fitted to, what they may not see, and what they refuse."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from mmengine.registry import METRICS

WORKER = Path(__file__).with_name("probe_worker.py")


def test_separable_classes_are_all_recognised(points: ModuleType, tmp_path: Path) -> None:
    metrics = points.both(points.loader(seed=0, count=60, noise=0.05))
    values = points.build_runner(tmp_path, metrics, points.loader(seed=1, count=30, noise=0.05)).test()
    names = [f"points/{of}/{name}" for of in ("linear", "knn") for name in ("top1", "top2", "mean_class")]
    assert values == dict.fromkeys(names, 100.0)


def test_metrics_of_a_set_share_embeddings_but_not_with_the_next_evaluation(points: ModuleType, tmp_path: Path) -> None:
    train = points.loader(seed=0, count=30, noise=0.3)
    runner = points.build_runner(tmp_path, points.both(train), points.loader(seed=1, count=20, noise=0.3))
    first = runner.test()
    assert runner.model.embedded == 30 + 20
    # Only the last coordinate, which says nothing about the class, is left.
    runner.model.scale.data[:3] = 0
    assert runner.test()["points/linear/top1"] < first["points/linear/top1"]
    assert runner.model.embedded == 2 * (30 + 20)


def test_two_metrics_of_one_name_are_refused_before_anything_runs(points: ModuleType, tmp_path: Path) -> None:
    train = points.loader(seed=0, count=30, noise=0.3)
    first, second = (dict(type="NearestNeighbourAccuracy", train=train, k=k) for k in (1, 5))
    runner = points.build_runner(tmp_path, [first, second], points.loader(seed=1, count=20, noise=0.3))
    with pytest.raises(ValueError, match=r"test_evaluator\.sets\.points has 2 metrics .* with prefix 'knn'"):
        runner.test()
    assert runner.model.embedded == 0


def test_a_prefix_of_its_own_tells_metrics_apart(points: ModuleType, tmp_path: Path) -> None:
    train = points.loader(seed=0, count=30, noise=0.3)
    metrics = [dict(type="NearestNeighbourAccuracy", train=train, topk=(1,), k=k, prefix=f"knn{k}") for k in (1, 5)]
    values = points.build_runner(tmp_path, metrics, points.loader(seed=1, count=20, noise=0.3)).test()
    assert list(values) == ["points/knn1/top1", "points/knn1/mean_class", "points/knn5/top1", "points/knn5/mean_class"]


def test_predictions_say_which_classifier_made_them(points: ModuleType, tmp_path: Path) -> None:
    metrics = points.both(points.loader(seed=0, count=60, noise=0.05))
    runner = points.build_runner(tmp_path, metrics, points.loader(seed=1, count=5, noise=0.05))
    runner.test()
    linear, knn = runner.test_loop.set_metrics["points"]
    assert [record["metric"] for record in (linear.predictions[0], knn.predictions[0])] == ["linear", "knn"]
    assert [record["label_name"] for record in linear.predictions] == ["a", "b", "c", "a", "b"]
    assert knn.predictions[1]["top"][0] == ["b", 1.0]
    # Log-probabilities of all three classes.
    assert sum(torch.tensor([score for _, score in linear.predictions[2]["top"]]).exp()) == pytest.approx(1, abs=1e-4)


def test_labels_of_the_evaluated_set_have_no_part_in_choosing_c(points: ModuleType, tmp_path: Path) -> None:
    train = points.loader(seed=0, count=60, noise=0.6)
    labels = [index % 3 for index in range(40)]
    shuffled = random.Random(0).sample(labels, len(labels))
    chosen, values, tops = [], [], []
    for name, given in (("true", labels), ("shuffled", shuffled)):
        test = points.loader(seed=1, count=40, noise=0.6, labels=given)
        runner = points.build_runner(tmp_path / name, points.both(train), test)
        values.append(runner.test())
        metric = runner.test_loop.set_metrics["points"][0]
        chosen.append(metric.chosen_C)
        tops.append([record["top"] for record in metric.predictions])
    assert chosen[0] == chosen[1]
    assert tops[0] == tops[1]
    assert values[0]["points/linear/top1"] > 60 > values[1]["points/linear/top1"]


def run_ranks(world: int, batch_size: int, folder: Path) -> list[dict[str, float]]:
    """The results of every rank."""
    folder.mkdir()
    arguments = [str(world), str(folder / "store"), str(folder / "out"), str(batch_size)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen([sys.executable, str(WORKER), str(rank), *arguments], env=environment) for rank in range(world)
    ]
    assert [rank.wait(timeout=100) for rank in ranks] == [0] * world
    return [json.loads((folder / f"out.{rank}").read_text()) for rank in range(world)]


def test_ranks_and_batch_size_change_no_result(points: ModuleType, tmp_path: Path) -> None:
    metrics = points.both(points.loader(batch_size=61, seed=0, count=61, noise=0.6))
    one = points.build_runner(tmp_path / "one", metrics, points.loader(seed=1, count=50, noise=0.6)).test()
    assert 50 < one["points/linear/top1"] < 100
    assert run_ranks(2, 4, tmp_path / "two") == [one, one]


@pytest.mark.parametrize("missing", ["dataset", "batch_size"])
@pytest.mark.parametrize("name", ["LinearProbeAccuracy", "NearestNeighbourAccuracy"])
def test_incomplete_training_loader_is_refused_when_the_config_is_built(name: str, missing: str) -> None:
    train = {key: value for key, value in dict(dataset={}, batch_size=1).items() if key != missing}
    with pytest.raises(ValueError, match=f"{name}: train must be the loader config .* missing: {missing}"):
        METRICS.build(dict(type=name, train=train))


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (dict(labels=[0, 1, 3]), {}, "label 3 in train.dataset is outside of the 3 classes"),
        (dict(labels=[0, 1, None]), {}, "train needs gt_label and sample_idx in every sample"),
        (dict(metainfo=dict(classes=("a", "c", "b"))), {}, "classes of train.dataset and of the evaluated set differ"),
        ({}, dict(labels=[0, 1, -1]), "label -1 in the evaluated set is outside of the 3 classes"),
        ({}, dict(labels=[0, 1, None]), "NearestNeighbourAccuracy needs gt_label and sample_idx in every sample"),
    ],
)
def test_bad_labels_are_refused(train: dict, test: dict, message: str, points: ModuleType, tmp_path: Path) -> None:
    fixed = dict(count=3, noise=0.1)
    metric = dict(type="NearestNeighbourAccuracy", k=1, train=points.loader(seed=0, **fixed, **train))
    runner = points.build_runner(tmp_path, [metric], points.loader(seed=1, **fixed, **test))
    with pytest.raises(ValueError, match=message):
        runner.test()


def test_more_neighbours_than_training_samples_are_refused(points: ModuleType, tmp_path: Path) -> None:
    metric = dict(type="NearestNeighbourAccuracy", train=points.loader(seed=0, count=6, noise=0.1))
    runner = points.build_runner(tmp_path, [metric], points.loader(seed=1, count=6, noise=0.1))
    with pytest.raises(ValueError, match=r"k=20, but train\.dataset has 6 samples: lower k"):
        runner.test()


def test_a_plain_loop_is_told_which_one_to_use() -> None:
    metric = METRICS.build(dict(type="LinearProbeAccuracy", train=dict(dataset={}, batch_size=1)))
    with pytest.raises(RuntimeError, match=r"LinearProbeAccuracy .* test_cfg=dict\(type='MultiDatasetTestLoop'\)"):
        metric.process({}, [dict(image_embedding=torch.zeros(2))])


def test_classes_without_training_sample_are_warned_of(
    points: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(
        "clipplus.evaluation.frozen_classifier.print_log", lambda message, **_: warnings.append(message)
    )
    train = points.loader(seed=0, count=12, noise=0.1, labels=[0, 1] * 6)
    values = points.build_runner(
        tmp_path, points.both(train, C=1.0), points.loader(seed=1, count=12, noise=0.1, labels=[2] * 12)
    ).test()
    assert values["points/linear/top1"] == values["points/knn/top1"] == 0
    assert "1 of 3 classes have no training sample" in warnings[0]
