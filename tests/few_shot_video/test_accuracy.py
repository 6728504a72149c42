"""Accuracy over episodes, its interval, and classes."""

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.registry import METRICS

from clipplus.few_shot_video import mean_and_interval
from clipplus.few_shot_video.episode_sample import EpisodeDataSample


def episode(number, label, predicted, ways=3, classes=None, **scores):
    """As mmengine's evaluator hands it on: a dict."""
    way_class = torch.tensor(classes or list(range(ways)))
    return EpisodeDataSample(
        metainfo=dict(episode_id=number, sample_id=number),
        query_label=torch.tensor(label),
        way_class=way_class,
        query_class=way_class[torch.tensor(label)],
        support_video=torch.arange(ways),
        query_video=torch.arange(len(label)) + 10,
        pred_score=torch.nn.functional.one_hot(torch.tensor(predicted), ways).float(),
        **{name: torch.nn.functional.one_hot(torch.tensor(rows), ways).float() for name, rows in scores.items()},
    ).to_dict()


def evaluated(episodes, classes=None, size=None, **options):
    metric = METRICS.build(dict(type="FewShotAccuracy", **options))
    metric.dataset_meta = {"classes": classes} if classes else {}
    for start in range(0, len(episodes), 3):
        metric.process(None, episodes[start : start + 3])
    return metric, metric.evaluate(len(episodes) if size is None else size)


# Three queries each: 3, 1 and 2 are right.
EPISODES = [
    episode(0, [0, 1, 2], [0, 1, 2], classes=[4, 0, 2]),
    episode(1, [0, 1, 2], [1, 1, 0], classes=[0, 2, 3]),
    episode(2, [2, 2, 0], [2, 2, 1], classes=[4, 3, 0]),
]


def test_known_accuracies_interval_and_classes():
    _, values = evaluated(EPISODES)
    shares = [100.0, 100 / 3, 200 / 3]
    deviation = math.sqrt(sum((share - 200 / 3) ** 2 for share in shares) / 3)
    assert values["accuracy"] == pytest.approx(200 / 3)
    assert values["ci95"] == pytest.approx(1.96 * deviation / math.sqrt(3))
    assert values["episodes"] == 3
    # By class: 4 has one of two; 0 has one, none and both rows of episode 2's; 2 both; 3 none.
    assert values["mean_class"] == pytest.approx((50 + 75 + 100 + 0) / 4)


def test_accuracy_of_every_class_is_reported_by_name():
    _, values = evaluated(EPISODES, classes=list("abcde"), per_class=True)
    by_class = {name: value for name, value in values.items() if name.startswith("class/")}
    assert by_class == {"class/a": 75.0, "class/c": 100.0, "class/d": 0.0, "class/e": 50.0}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_the_interval_is_that_of_the_population(shares):
    mean, half_width = mean_and_interval(torch.tensor(shares, dtype=torch.float64))
    expected = sum(shares) / len(shares)
    variance = sum((share - expected) ** 2 for share in shares) / len(shares)
    assert mean == pytest.approx(expected, abs=1e-12)
    assert half_width == pytest.approx(1.96 * math.sqrt(variance / len(shares)), abs=1e-9)


def test_all_right_is_100_with_an_interval_of_no_width():
    _, values = evaluated([episode(i, [0, 1], [0, 1]) for i in range(4)])
    assert (values["accuracy"], values["ci95"]) == (100.0, 0.0)


def test_neither_order_nor_repetition_of_episodes_matters():
    _, expected = evaluated(EPISODES)
    _, shuffled = evaluated([EPISODES[i] for i in (2, 0, 1, 2, 0)], size=3)
    assert shuffled == expected


def test_a_missing_episode_is_an_error():
    with pytest.raises(RuntimeError, match="the set has 4 samples, but 3 different sample ids arrived"):
        evaluated(EPISODES, size=4)


def test_every_mode_is_counted_by_its_own_scores():
    rows = [episode(i, [0, 1], [0, 1], text_score=[0, 0], fused_score=[1, 0]) for i in range(2)]
    metric, values = evaluated(rows, modes=("few_shot", "text", "combine"))
    assert (values["accuracy"], values["text_accuracy"], values["combine_accuracy"]) == (100.0, 50.0, 0.0)
    assert metric.predictions[0]["predicted"] == {"few_shot": [0, 1], "text": [0, 0], "combine": [1, 0]}


def test_the_dump_says_what_each_episode_was_made_of():
    metric, _ = evaluated(EPISODES, classes=list("abcde"))
    assert [record["sample_id"] for record in metric.predictions] == [0, 1, 2]
    assert json.loads(json.dumps(metric.predictions[1])) == {
        "sample_id": 1,
        "label": [0, 1, 2],
        "predicted": {"few_shot": [1, 1, 0]},
        "score": {"few_shot": [[0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]},
        "way_class": [0, 2, 3],
        "way_name": ["a", "c", "d"],
        "query_class": [0, 2, 3],
        "support_video": [0, 1, 2],
        "query_video": [10, 11, 12],
    }


def test_a_tie_goes_to_the_first_way():
    tied = episode(0, [1, 0], [0, 0])
    tied["pred_score"] = torch.full((2, 3), 1 / 3)
    _, values = evaluated([tied])
    assert values["accuracy"] == 50.0


def test_a_mode_that_the_head_does_not_predict_is_an_error():
    with pytest.raises(ValueError, match="modes has 'text', but the head predicts no 'text_score'"):
        evaluated(EPISODES, modes=("few_shot", "text"))


def test_a_label_that_is_no_way_is_an_error():
    wrong = episode(3, [0, 1], [0, 1])
    wrong["query_label"] = torch.tensor([0, 7])
    with pytest.raises(ValueError, match=r"episode 3: query labels must be 0\.\.2, got \[0, 7\]"):
        evaluated([wrong])


@pytest.mark.parametrize(
    ("modes", "message"),
    [((), "modes is empty"), (("fewshot",), r"unknown mode 'fewshot'.*did you mean 'few_shot'")],
)
def test_bad_modes_are_refused_when_the_config_is_built(modes, message):
    with pytest.raises(ValueError, match=message):
        METRICS.build(dict(type="FewShotAccuracy", modes=modes))
