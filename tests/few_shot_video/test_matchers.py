"""What must be true of every matcher, whatever it computes."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.registry import MODELS

from clipplus.few_shot_video import bimhm_distance, frame_distances

WIDTH = 6
MATCHERS = {
    "otam": dict(type="OTAMMatcher"),
    "otam, distances averaged": dict(type="OTAMMatcher", smoothing=0.1, shots="distance_mean"),
    "otam, one direction": dict(type="OTAMMatcher", bidirectional=False),
    "bimhm": dict(type="BiMHMMatcher"),
    "bimhm, hyrsm": dict(type="BiMHMMatcher", similarity="l2", reduction="mean", shots="distance_mean"),
    "mean pool": dict(type="MeanPoolMatcher"),
    "protonet": dict(type="MeanPoolMatcher", measure="squared_euclidean"),
    "trx": dict(type="TRXMatcher", in_channels=WIDTH, out_channels=8),
}
QUERY_DEPENDENT = [name for name in MATCHERS if name != "trx"]
EVERY = pytest.mark.parametrize("name", MATCHERS)


def build(name):
    torch.manual_seed(0)
    return MODELS.build(dict(MATCHERS[name])).double().eval()


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ragged(seed=0, episodes=2, frames=5):
    """Three ways with 2, 1 and 3 shots in mixed order, 4 queries."""
    labels = torch.tensor([[2, 0, 1, 0, 2, 2], [1, 2, 1, 0, 1, 2]][:episodes])
    return draw(episodes, 4, frames, WIDTH, seed=seed), draw(episodes, 6, frames, WIDTH, seed=seed + 1), labels


@EVERY
def test_the_order_of_supports_does_not_matter_and_that_of_queries_is_kept(name):
    matcher, (query, support, labels) = build(name), ragged()
    expected = matcher(query, support, labels)
    supports, queries = torch.tensor([3, 1, 5, 0, 4, 2]), torch.tensor([2, 0, 3, 1])
    shuffled = matcher(query[:, queries], support[:, supports], labels[:, supports])
    torch.testing.assert_close(shuffled, expected[:, queries])


@EVERY
def test_other_labels_permute_the_columns(name):
    matcher, (query, support, labels) = build(name), ragged()
    expected = matcher(query, support, labels)
    # 0 -> 40, 1 -> -7, 2 -> 2: ascending is 1, 2, 0.
    renamed = torch.tensor([40, -7, 2])[labels]
    torch.testing.assert_close(matcher(query, support, renamed), expected[:, :, [1, 2, 0]])


@EVERY
def test_a_batch_of_episodes_equals_a_loop_over_them(name):
    matcher, (query, support, labels) = build(name), ragged()
    loop = [matcher(query[e : e + 1], support[e : e + 1], labels[e : e + 1]) for e in range(2)]
    torch.testing.assert_close(matcher(query, support, labels), torch.cat(loop))


@EVERY
@pytest.mark.parametrize("shots", [1, 2, 5])
@pytest.mark.parametrize(("ways", "queries", "frames"), [(2, 1, 4), (5, 3, 8), (10, 1, 5), (3, 1, 16), (3, 2, 1)])
def test_ways_shots_and_frames_of_any_number(name, shots, ways, queries, frames):
    if name == "trx" and frames == 1:
        pytest.skip("it needs a triple of frames, and says so")
    labels = torch.arange(ways).repeat_interleave(shots)[None]
    query = draw(1, queries, frames, WIDTH).requires_grad_()
    support = draw(1, ways * shots, frames, WIDTH, seed=1).requires_grad_()
    distance = build(name)(query, support, labels)
    assert distance.shape == (1, queries, ways)
    distance.sum().backward()
    assert bool(query.grad.isfinite().all())
    assert bool(support.grad.isfinite().all())


@EVERY
def test_shots_given_twice_change_nothing(name):
    matcher, (query, support, labels) = build(name), ragged()
    twice = matcher(query, torch.cat([support, support], 1), torch.cat([labels, labels], 1))
    torch.testing.assert_close(twice, matcher(query, support, labels))


@EVERY
def test_equal_clips_are_equally_far_from_all_ways(name):
    clip = draw(1, 1, 5, WIDTH)
    distance = build(name)(clip.expand(1, 3, 5, WIDTH), clip.expand(1, 4, 5, WIDTH), torch.tensor([[0, 1, 2, 2]]))
    torch.testing.assert_close(distance, distance[:, :1, :1].expand_as(distance))


@EVERY
def test_features_of_zeros_give_finite_values_and_gradients(name):
    query = torch.zeros(1, 2, 5, WIDTH, dtype=torch.float64, requires_grad=True)
    support = torch.zeros(1, 3, 5, WIDTH, dtype=torch.float64, requires_grad=True)
    distance = build(name)(query, support, torch.tensor([[0, 1, 1]]))
    distance.sum().backward()
    assert bool(distance.isfinite().all())
    assert bool(query.grad.isfinite().all())
    assert bool(support.grad.isfinite().all())


@EVERY
def test_gradients_equal_finite_differences(name):
    query, support = draw(1, 1, 3, WIDTH).requires_grad_(), draw(1, 3, 3, WIDTH, seed=1).requires_grad_()
    matcher, labels = build(name), torch.tensor([[1, 0, 1]])
    assert torch.autograd.gradcheck(lambda q, s: matcher(q, s, labels), (query, support))


@EVERY
def test_half_precision_and_autocast_do_not_reach_the_distances(name):
    matcher = build(name).float()
    query, support, labels = ragged()
    query, support = query.bfloat16(), support.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        distance = matcher(query, support, labels)
    assert distance.dtype == torch.float32
    torch.testing.assert_close(distance, matcher(query.float(), support.float(), labels))


@pytest.mark.parametrize("name", QUERY_DEPENDENT)
def test_supports_given_per_query_equal_one_support_for_all(name):
    matcher, (query, support, labels) = build(name), ragged()
    per_query = support[:, None].expand(-1, query.shape[1], -1, -1, -1)
    torch.testing.assert_close(matcher(query, per_query, labels), matcher(query, support, labels))


@pytest.mark.parametrize("name", ["otam", "bimhm", "mean pool", "protonet"])
def test_a_clip_is_nearest_to_itself(name):
    clips = draw(1, 4, 6, WIDTH)
    distance = build(name)(clips, clips, torch.arange(4)[None])
    assert distance[0].argmin(dim=1).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["bimhm", "mean pool", "protonet"])
def test_matching_without_order_does_not_see_it(name):
    matcher, (query, support, labels) = build(name), ragged()
    torch.testing.assert_close(matcher(query.flip(2), support, labels), matcher(query, support, labels))


@pytest.mark.parametrize("name", ["otam", "trx"])
def test_matching_with_order_sees_it(name):
    matcher, (query, support, labels) = build(name), ragged()
    assert not torch.allclose(matcher(query.flip(2), support, labels), matcher(query, support, labels), atol=1e-3)


@given(rows=st.integers(1, 5), columns=st.integers(1, 5), seed=st.integers(0, 99))
def test_bimhm_equals_its_definition(rows, columns, seed):
    dist = draw(rows, columns, seed=seed)
    there = sum(min(float(dist[i, j]) for j in range(columns)) for i in range(rows))
    back = sum(min(float(dist[i, j]) for i in range(rows)) for j in range(columns))
    assert float(bimhm_distance(dist)) == pytest.approx(there + back)
    assert float(bimhm_distance(dist, bidirectional=False)) == pytest.approx(there)
    assert float(bimhm_distance(dist, "mean")) == pytest.approx(there / rows + back / columns)


def test_frame_distances_equal_their_definition():
    query, support = draw(2, 3, 4, WIDTH), draw(2, 2, 5, WIDTH, seed=1)
    dist = frame_distances(query, support, eps=0.3)
    for e, q, s, t, u in itertools.product(*map(range, dist.shape)):
        a, b = query[e, q, t], support[e, s, u]
        assert float(dist[e, q, s, t, u]) == pytest.approx(float(1 - a @ b / (a.norm() * b.norm() + 0.3)))


def test_trx_equals_its_definition():
    """Tuples written out, class by class, one query at a time."""
    matcher, (query, support, labels) = build("trx"), ragged(episodes=1)
    distance = matcher(query, support, labels)[0].detach()
    for q, way in itertools.product(range(4), range(3)):
        expected = []
        for part in matcher.transformers:
            tuples = list(itertools.combinations(range(5), part.cardinality))

            def embedded(clip, part=part, tuples=tuples):
                angles = [[t / 10000 ** (2 * (d // 2) / WIDTH) for d in range(WIDTH)] for t in range(5)]
                waves = torch.tensor(angles, dtype=torch.float64)
                waves[:, 0::2], waves[:, 1::2] = waves[:, 0::2].sin(), waves[:, 1::2].cos()
                rows = torch.stack([torch.cat([(clip + 0.1 * waves)[t] for t in chosen]) for chosen in tuples])
                return part.norm_k(part.k_linear(rows)), part.v_linear(rows)

            keys, values = embedded(query[0, q])
            shots = [embedded(support[0, s]) for s in range(6) if labels[0, s] == way]
            class_keys, class_values = (torch.cat(rows) for rows in zip(*shots, strict=True))
            rebuilt = (keys @ class_keys.T / keys.shape[1] ** 0.5).softmax(1) @ class_values
            expected.append((values - rebuilt).square().sum().item() / len(tuples))
        assert float(distance[q, way]) == pytest.approx(sum(expected) / len(expected))


def test_trx_drops_frames_in_training_only():
    matcher, (query, support, labels) = build("trx").train(), ragged()
    assert not torch.equal(matcher(query, support, labels), matcher(query, support, labels))
    matcher.eval()
    torch.testing.assert_close(matcher(query, support, labels), matcher(query, support, labels), rtol=0, atol=0)


def test_every_trained_weight_of_trx_gets_a_gradient():
    matcher, (query, support, labels) = build("trx"), ragged()
    matcher(query, support, labels).square().sum().backward()
    without = [name for name, weight in matcher.named_parameters() if weight.requires_grad and weight.grad is None]
    assert without == []


# Bad input.


@EVERY
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(query=(1, 0, 5, WIDTH)), "an episode has no queries, supports or frames"),
        (dict(query=(1, 2, 5, WIDTH + 1)), "features of different widths"),
        (dict(query=(2, 5, WIDTH)), "expected query"),
        (dict(query=(2, 2, 5, WIDTH)), "numbers of episodes or supports differ"),
        (dict(support=(1, 4, 5, WIDTH)), "numbers of episodes or supports differ"),
    ],
)
def test_shapes_that_do_not_fit_are_named(name, change, message):
    shapes = dict(query=(1, 2, 5, WIDTH), support=(1, 3, 5, WIDTH)) | change
    query, support = torch.zeros(shapes["query"]).double(), torch.zeros(shapes["support"]).double()
    with pytest.raises(ValueError, match=message):
        build(name)(query, support, torch.tensor([[0, 1, 2]]))


@EVERY
@pytest.mark.parametrize("labels", [torch.tensor([[0.0, 1.0]]), torch.tensor([[True, False]])])
def test_labels_that_are_no_integers_are_refused(name, labels):
    with pytest.raises(TypeError, match="support_label must be integers"):
        build(name)(draw(1, 1, 3, WIDTH), draw(1, 2, 3, WIDTH), labels)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (dict(type="OTAMMatcher", shots="prototype"), r"unknown shots 'prototype'.*did you mean 'prototype_mean'"),
        (dict(type="OTAMMatcher", eps=-1.0), "eps must not be negative, got -1"),
        (dict(type="BiMHMMatcher", reduction="max"), "unknown reduction 'max'; known: sum, mean"),
        (dict(type="BiMHMMatcher", similarity="cosine"), "unknown similarity 'cosine'; known: eps_product, l2"),
        (dict(type="MeanPoolMatcher", measure="cos"), r"unknown measure 'cos'.*did you mean 'cosine'"),
        (dict(type="TRXMatcher", in_channels=4, cardinalities=()), "cardinalities must be different numbers"),
        (dict(type="TRXMatcher", in_channels=4, cardinalities=(2, 2)), "cardinalities must be different numbers"),
    ],
)
def test_bad_options_are_refused_when_the_config_is_built(config, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(config)


def test_clips_shorter_than_a_tuple_are_refused():
    with pytest.raises(ValueError, match="TRX compares tuples of 3 frames, but the clips have 2"):
        build("trx")(draw(1, 1, 2, WIDTH), draw(1, 2, 2, WIDTH), torch.tensor([[0, 1]]))


def test_features_of_another_width_than_trx_was_built_for_are_refused():
    with pytest.raises(ValueError, match=r"features have 4 channels, but TRXMatcher\.in_channels=6"):
        build("trx")(draw(1, 1, 3, 4), draw(1, 2, 3, 4), torch.tensor([[0, 1]]))


@pytest.mark.gpu
@EVERY
def test_a_gpu_gives_the_distances_and_gradients_of_the_cpu(name):
    matcher, (query, support, labels) = build(name), ragged()
    query.requires_grad_()
    expected = matcher(query, support, labels)
    expected.square().sum().backward()
    moved = query.detach().cuda().requires_grad_()
    # Labels stay on the CPU.
    found = matcher.cuda()(moved, support.cuda(), labels)
    found.square().sum().backward()
    torch.testing.assert_close(found.cpu(), expected)
    torch.testing.assert_close(moved.grad.cpu(), query.grad)
