"""Logits, loss and predictions of the head."""

import math

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS

from clipplus.few_shot_video.episode_sample import EpisodeDataSample


def build(**matcher):
    return MODELS.build(dict(type="FewShotHead", matcher=matcher or dict(type="OTAMMatcher")))


def sample(support_label, query_label, number=0):
    return EpisodeDataSample(
        metainfo=dict(episode_id=number, sample_id=number),
        support_label=torch.tensor(support_label),
        query_label=torch.tensor(query_label),
    )


def features(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


SAMPLES = [sample([1, 0, 2], [2, 0], 5), sample([0, 2, 1], [1, 1], 8)]


def test_logits_are_minus_the_distances_of_the_matcher():
    head, labels = build(), torch.tensor([[1, 0, 2]])
    query, support = features(1, 2, 4, 6), features(1, 3, 4, 6, seed=1)
    torch.testing.assert_close(head(query, support, labels), -head.matcher(query, support, labels))


def test_the_loss_is_the_mean_cross_entropy_over_all_queries():
    head = build()
    query, support = features(2, 2, 4, 6), features(2, 3, 4, 6, seed=1)
    logits = head(query, support, torch.stack([s.support_label for s in SAMPLES]))
    expected = sum(F.cross_entropy(logits[e], SAMPLES[e].query_label) for e in range(2)) / 2
    losses = head.loss(query, support, SAMPLES)
    assert list(losses) == ["loss_few_shot"]
    torch.testing.assert_close(losses["loss_few_shot"], expected)


def test_labels_may_be_any_numbers_of_the_episode():
    head = build()
    query, support = features(1, 2, 4, 6), features(1, 3, 4, 6, seed=1)
    plain = head.loss(query, support, [sample([1, 0, 2], [2, 0])])
    other = head.loss(query, support, [sample([7, 3, 40], [40, 3])])
    torch.testing.assert_close(plain, other)


def test_equal_clips_cost_log_ways_and_are_predicted_evenly():
    head, episode = build(), [sample([0, 1, 2, 3], [2])]
    clips = features(1, 1, 4, 6).expand(1, 4, 4, 6)
    loss = head.loss(clips[:, :1], clips, episode)["loss_few_shot"]
    assert float(loss) == pytest.approx(math.log(4))
    assert head.predict(clips[:, :1], clips, episode)[0].pred_score.tolist() == [[0.25] * 4]


def test_predictions_are_probabilities_in_the_samples():
    head = build()
    query, support = features(2, 2, 4, 6), features(2, 3, 4, 6, seed=1)
    predicted = head.predict(query, support, SAMPLES)
    logits = head(query, support, torch.stack([s.support_label for s in SAMPLES]))
    for result, expected, given in zip(predicted, logits, SAMPLES, strict=True):
        assert result is given
        torch.testing.assert_close(result.pred_score, expected.softmax(1).float())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_features_that_are_not_finite_are_refused_with_their_episode(value):
    query, support = features(2, 2, 4, 6), features(2, 3, 4, 6, seed=1)
    support[1, 0, 0, 0] = value
    with pytest.raises(ValueError, match=r"features of 1 of 2 episodes are not finite \(episodes 8\)"):
        build().predict(query, support, SAMPLES)


def test_a_query_of_a_class_without_support_is_refused_in_training():
    query, support = features(1, 1, 4, 6), features(1, 2, 4, 6)
    with pytest.raises(
        ValueError, match=r"query 0 of episode 0 in the batch has label 4, but its supports have \[0, 1\]"
    ):
        build().loss(query, support, [sample([0, 1], [4])])


def test_training_the_matcher_lowers_the_loss():
    torch.manual_seed(0)
    head = build(type="TRXMatcher", in_channels=6, out_channels=8, dropout=0.0)
    optimiser = torch.optim.Adam(head.parameters(), lr=1e-2)
    query, support = features(2, 2, 4, 6).float(), features(2, 3, 4, 6, seed=1).float()
    losses = []
    for _ in range(30):
        loss = head.loss(query, support, SAMPLES)["loss_few_shot"]
        losses.append(float(loss.detach()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < 0.5 * losses[0]
