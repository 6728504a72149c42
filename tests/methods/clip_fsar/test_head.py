"""What must hold for the head whatever its weights, and what the published code got wrong."""

from collections.abc import Sequence

import pytest
import torch
from mmengine.registry import MODELS
from torch import Tensor

import clipplus.methods.clip_fsar  # noqa: F401 - registers the parts
from clipplus.few_shot_video import EpisodeDataSample
from clipplus.methods.clip_fsar import CLIPFSARHead, TemporalTransformer

WIDTH, CLASSES = 16, 6
LABELS = [2, 0, 1, 0, 2, 2]


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


TEXT = draw(9, CLASSES, WIDTH)


def build(**options) -> CLIPFSARHead:
    torch.manual_seed(0)
    settings = dict(type="CLIPFSARHead", in_channels=WIDTH, heads=4, hidden=24) | options
    return MODELS.build(settings).double().eval()


def episode(labels: Sequence[int] = LABELS, query_labels: Sequence[int] = (1, 0, 2), frames: int = 5):
    """Query, support, samples; class ids are 5 minus the labels."""
    support_label, query_label = torch.tensor(labels), torch.tensor(query_labels)
    sample = EpisodeDataSample(metainfo=dict(episode_id=0, sample_id=0))
    sample.set_data(
        dict(
            support_label=support_label, query_label=query_label, support_class=5 - support_label,
            query_class=5 - query_label,
        )
    )  # fmt: skip
    return draw(1, 1, len(query_labels), frames, WIDTH), draw(2, 1, len(labels), frames, WIDTH), [sample]


def predicted(head: CLIPFSARHead, *given) -> EpisodeDataSample:
    return head.predict(*given, class_text=TEXT)[0]


def close(one: Tensor, other: Tensor, atol: float = 1e-9) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=atol)


def test_tokens_may_come_in_any_order_and_batch() -> None:
    transformer = TemporalTransformer(WIDTH, depth=2, heads=4, hidden=24).double().eval()
    tokens, order = draw(3, 4, 6, WIDTH), torch.tensor([3, 0, 5, 1, 4, 2])
    close(transformer(tokens[:, order]), transformer(tokens)[:, order])
    close(transformer(tokens[1:2]), transformer(tokens)[1:2])


def test_dropout_is_active_in_training_only() -> None:
    transformer = TemporalTransformer(WIDTH, heads=4, hidden=24).double()
    tokens = draw(3, 2, 6, WIDTH)
    assert not torch.equal(transformer.train()(tokens), transformer(tokens))
    assert torch.equal(transformer.eval()(tokens), transformer(tokens))


def test_channels_that_heads_cannot_share_are_refused() -> None:
    with pytest.raises(ValueError, match="15 channels cannot be shared by 4 heads: state dim_head"):
        TemporalTransformer(15, heads=4)


@pytest.mark.parametrize("shot_merge", ["after", "before"])
def test_order_and_names_of_supports_do_not_matter(shot_merge: str) -> None:
    head = build(shot_merge=shot_merge)
    query, support, [sample] = episode()
    expected = predicted(head, query, support, [sample]).pred_score
    order, way = torch.tensor([4, 1, 0, 5, 3, 2]), torch.tensor([1, 2, 0])  # old label -> new label
    moved = EpisodeDataSample(metainfo=dict(sample.metainfo))
    moved.set_data(dict(support_label=way[sample.support_label[order]], support_class=sample.support_class[order]))
    close(predicted(head, query, support[:, order], [moved]).pred_score, expected[:, way.argsort()], atol=1e-6)


def test_shots_may_be_merged_before_or_after_where_there_is_one() -> None:
    given = episode(labels=[2, 0, 1])
    close(predicted(build(shot_merge="before"), *given).pred_score, predicted(build(), *given).pred_score)
    given = episode()
    before, after = (predicted(build(shot_merge=merge), *given).pred_score for merge in ("before", "after"))
    assert (before - after).abs().max() > 1e-4


@pytest.mark.parametrize("shot_merge", ["after", "before"])
def test_doubling_all_shots_of_a_class_changes_nothing(shot_merge: str) -> None:
    head, (query, support, [sample]) = build(shot_merge=shot_merge), episode()
    expected = predicted(head, query, support, [sample])
    twice = torch.tensor([0, 1, 2, 3, 4, 5, 0, 4, 5])
    more = EpisodeDataSample(metainfo=dict(sample.metainfo))
    more.set_data(dict(support_label=sample.support_label[twice], support_class=sample.support_class[twice]))
    found = predicted(head, query, support[:, twice], [more])
    for name in ("pred_score", "text_score", "fused_score"):
        close(found.get(name), expected.get(name), atol=1e-6)


@pytest.mark.parametrize(("coefficient", "like"), [(0.0, "pred_score"), (1.0, "text_score")])
def test_a_weight_of_0_or_1_is_one_of_the_pure_answers(coefficient: float, like: str) -> None:
    """The published code ignores a weight of 0."""
    sample = predicted(build(text_coefficient=coefficient), *episode(query_labels=[0, 1, 2] * 5))
    assert torch.equal(sample.fused_score.argsort(-1), sample.get(like).argsort(-1))
    if coefficient == 1:
        close(sample.fused_score, sample.text_score)


def test_texts_reach_prototypes_unless_they_are_switched_off() -> None:
    given = episode()
    other_texts = TEXT.flip(0)
    for options, changes in ((dict(), True), (dict(text_token=False), False), (dict(depth=0), False)):
        head = build(**options)
        query, support, samples = given
        one, other = (head.predict(query, support, samples, class_text=t)[0].pred_score for t in (TEXT, other_texts))
        assert bool((one - other).abs().max() > 1e-4) is changes


def test_depth_0_compares_features_as_they_are() -> None:
    query, support, samples = episode()
    baseline = MODELS.build(dict(type="FewShotHead", matcher=dict(type="OTAMMatcher", smoothing=0.5))).eval()
    expected = baseline.predict(query, support, samples)[0].pred_score
    assert torch.equal(predicted(build(depth=0), query, support, samples).pred_score, expected)


def test_only_the_video_text_loss_moves_the_scale() -> None:
    query, support, samples = episode()
    head = build()
    terms = head.loss(query, support, samples, class_text=TEXT)
    assert torch.autograd.grad(terms["loss_few_shot"], head.scale, retain_graph=True, allow_unused=True) == (None,)
    assert float(torch.autograd.grad(terms["loss_video_text"], head.scale)[0].abs()) > 0
    assert set(build(class_loss_weight=0.0).loss(query, support, samples, class_text=TEXT)) == {"loss_few_shot"}


def test_the_video_text_loss_looks_at_all_classes_of_the_split_and_starts_near_their_logarithm() -> None:
    query, support, samples = episode()
    loss = build(class_loss_weight=2.0).loss(query, support, samples, class_text=TEXT)["loss_video_text"]
    assert float(loss.detach()) / 2 == pytest.approx(torch.tensor(CLASSES).log().item(), abs=0.3)
    with_more = torch.cat([TEXT, draw(5, 30, WIDTH)])
    more = build(class_loss_weight=2.0).loss(query, support, samples, class_text=with_more)["loss_video_text"]
    assert float(more.detach()) / 2 == pytest.approx(torch.tensor(CLASSES + 30.0).log().item(), abs=0.3)


def test_a_batch_of_episodes_is_the_mean_of_each() -> None:
    """The published code drops all episodes of a batch but the first."""
    head = build()
    one, other = episode(), episode(labels=[0, 1, 2, 2, 1, 0], query_labels=(2, 2, 1))
    other = (draw(7, *other[0].shape), draw(8, *other[1].shape), other[2])
    apart = [head.loss(*given, class_text=TEXT) for given in (one, other)]
    joint = head.loss(torch.cat([one[0], other[0]]), torch.cat([one[1], other[1]]), one[2] + other[2], class_text=TEXT)
    for name, value in joint.items():
        close(value, (apart[0][name] + apart[1][name]) / 2)


@pytest.mark.parametrize("frames", [1, 4, 8, 16])
@pytest.mark.parametrize("query_labels", [(0,), (1, 0, 2)])
def test_any_number_of_frames_and_queries_will_do(frames: int, query_labels: tuple) -> None:
    """The published code squeezes single frames away and is written for eight."""
    sample = predicted(build(), *episode(query_labels=query_labels, frames=frames))
    assert sample.fused_score.shape == (len(query_labels), 3)
    assert bool(sample.fused_score.isfinite().all())


def test_features_that_are_equal_or_zero_are_uniform_and_finite() -> None:
    query, support, samples = episode()
    for value in (0.0, 1.0):
        sample = predicted(
            build(text_token=False), torch.full_like(query, value), torch.full_like(support, value), samples
        )
        close(sample.pred_score, torch.full((3, 3), 1 / 3), atol=1e-6)


def nan(query: Tensor) -> Tensor:
    query = query.clone()
    query[0, 1, 2, 3] = torch.nan
    return query


def test_bad_input_gives_its_error() -> None:
    query, support, samples = episode()
    head = build()
    with pytest.raises(ValueError, match="not finite"):
        head.predict(nan(query), support, samples, class_text=TEXT)
    with pytest.raises(ValueError, match="support_class 5 has no text: there are texts for 4 classes"):
        head.loss(query, support, samples, class_text=TEXT[:4])
    foreign = changed(samples[0], query_label=torch.tensor([7, 0, 1]))
    with pytest.raises(ValueError, match="query 0 of episode 0 in the batch has label 7"):
        head.loss(query, support, foreign, class_text=TEXT)
    broken = changed(samples[0], support_label=samples[0].support_label.double())
    with pytest.raises(TypeError, match="must be integers"):
        head.predict(query, support, broken, class_text=TEXT)
    with pytest.raises(ValueError, match="no queries, supports or frames"):
        head.predict(query[:, :0], support, samples, class_text=TEXT)


def changed(sample: EpisodeDataSample, **fields: Tensor) -> list[EpisodeDataSample]:
    other = sample.clone()
    other.set_data(fields)
    return [other]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(shot_merge="bevore"), "did you mean 'before'"),
        (dict(text_coefficient=1.5), r"text_coefficient must lie in \[0, 1\], got 1.5"),
        (dict(class_loss_weight=-1.0), "class_loss_weight must not be negative"),
    ],
)
def test_options_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**options)
