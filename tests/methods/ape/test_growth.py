"""A warning where added keys move classes against each other, and none where they do not."""

import logging

import pytest
import torch
from mmengine.logging import MMLogger
from mmpretrain.registry import MODELS
from torch.nn.functional import normalize

import clipplus.methods.ape
from clipplus.methods.ape.growth import class_shifts, sample_rows, warn_of_lean

CLASSES, WIDTH, SHOTS = 5, 16, 4
LABELS = torch.arange(CLASSES).repeat(SHOTS)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.WARNING)
    yield caplog
    logger.removeHandler(caplog.handler)


def rows(count: int, seed: int) -> torch.Tensor:
    return normalize(torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed)), dim=1)


def fitted(beta: float, kind: str = "TipAdapterHead"):
    assert clipplus.methods.ape  # registers the heads
    options = {} if kind == "TipAdapterHead" else dict(num_channels=0.5, weights=(0.5, 0.5))
    head = MODELS.build(dict(type=f"mmpretrain.{kind}", alpha=20.0, beta=beta, **options))
    head.fit(rows(CLASSES, 1), rows(len(LABELS), 2), LABELS)
    return head


@pytest.mark.parametrize("kind", ["TipAdapterHead", "APEHead", "APETHead"])
def test_many_keys_of_one_class_that_all_queries_hear_are_warned_of(kind: str, log) -> None:
    fitted(0.1, kind).extend(rows(6, 3), torch.full((6,), 2))
    assert "6 keys were added, 0 to 6 per class" in log.text
    assert "lean towards class 2 and away" in log.text
    assert "clipplus ape extend --search FILE" in log.text


@pytest.mark.parametrize(
    ("beta", "labels"), [(0.0, list(range(CLASSES))), (30.0, [2] * 6)], ids=["equal additions", "only near keys count"]
)
def test_additions_that_keep_the_balance_are_not(beta: float, labels: list[int], log) -> None:
    fitted(beta).extend(rows(len(labels), 3), torch.tensor(labels))
    assert log.text == ""


def test_a_new_class_with_few_keys_is_warned_of(log) -> None:
    fitted(0.0).extend(rows(1, 3), torch.tensor([CLASSES]), rows(1, 4))
    assert f"away from class {CLASSES}" in log.text


def test_shifts_of_new_classes_are_against_the_mean_class() -> None:
    found = class_shifts(torch.tensor([1.0, 3.0]), torch.tensor([1.5, 3.0, 5.0]))
    assert found.tolist() == [0.5, 0, 3]


def test_the_bound_is_the_usual_gap_of_the_two_likeliest_classes() -> None:
    zero_shot = torch.tensor([[5.0, 3.0, 0.0], [1.0, 0.0, 3.0], [2.0, 2.0, 0.0]])
    for spread, warned in ((1.9, False), (2.1, True)):
        after = torch.tensor([spread, 0.0, 1.0])
        assert warn_of_lean(torch.tensor([0.0, 0.0, 1.0]), after, zero_shot, torch.tensor([0])) == warned


def test_large_caches_are_sampled_evenly() -> None:
    assert sample_rows(torch.arange(5000.0)[:, None])[:, 0].tolist() == list(range(0, 5000, 5))
    assert len(sample_rows(torch.zeros(7, 2))) == 7
