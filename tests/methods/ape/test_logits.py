"""Logits of the cache against their definitions as loops, and against each other."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clipplus.methods.ape import logits as module
from clipplus.methods.ape.logits import (
    adapted_logits,
    cache_logits,
    divergence_weights,
    key_divergence,
    residual_logits,
    segment_sum,
    unit,
    zero_shot_logits,
)

CHANNELS = torch.tensor([6, 1, 4])


def draw(counts: list[int], queries: int = 4, width: int = 8, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Features, text, keys (unit, float64), labels in mixed order."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=generator)]
    rows = [
        unit(torch.randn(number, width, generator=generator, dtype=torch.float64))
        for number in (queries, len(counts), len(labels))
    ]
    return (*rows, labels)


@settings(max_examples=20, deadline=None)
@given(counts=st.lists(st.integers(0, 4), min_size=1, max_size=5), seed=st.integers(0, 1000))
def test_segment_sum_adds_the_columns_of_each_class(counts, seed) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=generator)]
    values = torch.randn(3, len(labels), generator=generator, dtype=torch.float64)
    expected = [[float(row[labels == c].sum()) for c in range(len(counts))] for row in values]
    found = segment_sum(values, labels, len(counts))
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-12)


def test_adapted_logits_equal_their_definition() -> None:
    features, text, keys, labels = draw([2, 1, 3])
    weights = torch.rand(len(keys), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    alpha, beta = 1.7, 2.3
    found = adapted_logits(zero_shot_logits(features, text), features @ keys.T, labels, alpha, beta, weights)
    for n, query in enumerate(features):
        for c, class_text in enumerate(text):
            expected = 100 * float(query @ class_text)
            for key, label, weight in zip(keys, labels, weights, strict=True):
                if label == c:
                    expected += alpha * float(weight) * math.exp(-beta * (1 - float(query @ key)))
            assert float(found[n, c]) == pytest.approx(expected, rel=1e-12)


def test_no_weights_are_weights_of_one() -> None:
    features, text, keys, labels = draw([2, 1, 3])
    similarity = features @ keys.T
    plain = cache_logits(similarity, labels, len(text), 1.5)
    assert torch.equal(plain, cache_logits(similarity, labels, len(text), 1.5, torch.ones(len(keys)).double()))


def test_beta_0_counts_the_keys_of_each_class() -> None:
    features, text, keys, labels = draw([2, 1, 3])
    counts = cache_logits(features @ keys.T, labels, len(text), beta=0.0)
    assert torch.equal(counts, torch.tensor([2.0, 1.0, 3.0]).double().expand(4, 3))


def test_divergence_equals_its_definition() -> None:
    _, text, keys, labels = draw([2, 1, 3])
    found = key_divergence(keys, text, labels)
    for key, label, divergence in zip(keys, labels, found, strict=True):
        scores = [math.exp(float(key @ row)) for row in text]
        share = scores[label] / sum(scores)
        assert float(divergence) == pytest.approx(math.log2((1 + 1e-6) / (share + 1e-6)), rel=1e-12)


def test_divergence_of_keys_that_no_text_attracts_is_log2_of_the_classes() -> None:
    keys, text = torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]] * 8)
    assert float(key_divergence(keys, text, torch.tensor([3]))) == pytest.approx(3, abs=1e-4)


def test_divergence_does_not_depend_on_its_blocks(monkeypatch) -> None:
    _, text, keys, labels = draw([2, 1, 3])
    whole = key_divergence(keys, text, labels)
    monkeypatch.setattr(module, "_COSINES_PER_BLOCK", 4)
    torch.testing.assert_close(key_divergence(keys, text, labels), whole, rtol=1e-15, atol=0)


def test_weights_of_several_gammas_are_those_of_each() -> None:
    divergence = torch.tensor([3.0, 0.5, 2.0], dtype=torch.float64)
    weights = divergence_weights(divergence, torch.tensor([0.0, 0.7]))
    assert weights[0].tolist() == [1, 1, 1]
    assert weights[1].tolist() == pytest.approx([math.exp(0.7 * d) for d in divergence.tolist()], rel=1e-7)


def plain_residual_logits(features, text, keys, labels, residual, value_weights, alpha, beta) -> torch.Tensor:
    """Texts and keys are copied and moved, as published."""
    moved_text = text.index_add(1, CHANNELS, residual)
    moved_keys = keys.index_add(1, CHANNELS, residual[labels])
    one_hot = torch.nn.functional.one_hot(labels, len(text)).to(features)
    affinity = torch.exp(-beta * (1 - features @ moved_keys.T))
    return 100 * features @ moved_text.T + alpha * affinity @ (one_hot * value_weights[:, None])


def test_factorised_residual_logits_equal_the_published_form_with_their_gradients() -> None:
    features, text, keys, labels = draw([2, 1, 3])
    generator = torch.Generator().manual_seed(5)
    residual = 0.1 * torch.randn(3, 3, generator=generator, dtype=torch.float64)
    value_weights = torch.rand(6, generator=generator, dtype=torch.float64)
    results = []
    for factorised in (True, False):
        trained = [residual.clone().requires_grad_(), value_weights.clone().requires_grad_()]
        if factorised:
            terms = zero_shot_logits(features, text), features @ keys.T
            logits = residual_logits(*terms, labels, features[:, CHANNELS], *trained, alpha=1.3, beta=2.0)
        else:
            logits = plain_residual_logits(features, text, keys, labels, *trained, 1.3, 2.0)
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 2]))
        results.append((logits.detach(), *torch.autograd.grad(loss, trained)))
    for ours, plain in zip(*results, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-11, atol=1e-12)


def test_residual_logits_pass_gradcheck() -> None:
    features, text, keys, labels = draw([2, 1])
    terms = zero_shot_logits(features, text), features @ keys.T
    residual = torch.full((2, 3), 0.05, dtype=torch.float64, requires_grad=True)
    value_weights = torch.tensor([0.9, 1.0, 1.1], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda r, v: residual_logits(*terms, labels, features[:, CHANNELS], r, v, 1.3, 2.0), (residual, value_weights)
    )


def test_a_row_of_zeros_becomes_nan_and_not_a_number_that_looks_right() -> None:
    assert unit(torch.zeros(1, 3)).isnan().all()
