"""The logistic regression at its optimum, and the choice of its regularisation."""

import math

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from clipplus.evaluation import LinearProbeAccuracy, choose_regularisation, fit_logistic
from clipplus.evaluation.frozen_features import LabelledFeatures
from clipplus.evaluation.linear_probe import hold_out, logistic_objective

TRAIN = dict(dataset={}, batch_size=1)


def noisy_classes(samples: int, noise: float, seed: int, classes: int = 4, width: int = 6) -> LabelledFeatures:
    """Points around the first axes, shifted away from zero as CLIP's embeddings are."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(samples) % classes
    features = torch.eye(classes, width)[labels] + noise * torch.randn(samples, width, generator=generator) + 3.0
    return LabelledFeatures(features, labels)


def objective_by_definition(weight: Tensor, bias: Tensor, features: Tensor, labels: Tensor, C: float) -> float:
    total = 0.0
    for row, label in zip(features.tolist(), labels.tolist(), strict=True):
        logits = [sum(w * x for w, x in zip(ws, row, strict=True)) + b for ws, b in zip(weight.tolist(), bias.tolist(),
                                                                                        strict=True)]  # fmt: skip
        total += math.log(sum(math.exp(value) for value in logits)) - logits[label]
    penalty = sum(w * w for ws in weight.tolist() for w in ws) / (2 * C)
    return (total + penalty) / len(labels)


def test_objective_equals_its_definition() -> None:
    features, labels = noisy_classes(9, 0.5, seed=0)
    generator = torch.Generator().manual_seed(1)
    weight, bias = (torch.randn(*size, generator=generator, dtype=torch.float64) for size in ((4, 6), (4,)))
    expected = objective_by_definition(weight, bias, features.double(), labels, 0.3)
    assert float(logistic_objective(weight, bias, features.double(), labels, 0.3)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("C", [1e-6, 1e-2, 1.0, 1e3, 1e6])
def test_a_fit_ends_where_the_gradient_vanishes(C: float) -> None:
    features, labels = noisy_classes(60, 0.7, seed=0)
    fit = fit_logistic(features, labels, 4, C)
    weight, bias = fit.weight.clone().requires_grad_(), fit.bias.clone().requires_grad_()
    # The gradient in terms of the centred features, whose bias is free of the weights.
    mean = features.double().mean(dim=0)
    centred = bias.detach() + fit.weight @ mean
    centred.requires_grad_()
    logistic_objective(weight, centred, features.double() - mean, labels, C).backward()
    assert weight.grad is not None
    assert centred.grad is not None
    assert max(float(weight.grad.abs().max()), float(centred.grad.abs().max())) <= 1.0001e-5
    assert fit.gradient <= 1e-5


@pytest.mark.parametrize("C", [1e-2, 1.0, 1e2])
def test_a_fit_equals_scikit_learn(C: float) -> None:
    features, labels = noisy_classes(80, 0.7, seed=3)
    fit = fit_logistic(features, labels, 4, C)
    reference = LogisticRegression(C=C, tol=1e-8, max_iter=5000).fit(features.double().numpy(), labels.numpy())
    expected = torch.from_numpy(reference.predict_log_proba(features.double().numpy()))
    # Both searches end within their gradient's tolerance of the one optimum.
    torch.testing.assert_close(fit.logits(features).log_softmax(dim=1), expected, rtol=0, atol=5e-3)


def test_shifting_the_features_changes_the_bias_alone() -> None:
    features, labels = noisy_classes(60, 0.7, seed=0)
    plain, shifted = (fit_logistic(features.double() + by, labels, 4, 1.0) for by in (0.0, 5.0))
    torch.testing.assert_close(shifted.weight, plain.weight, rtol=0, atol=1e-6)
    torch.testing.assert_close(shifted.bias, plain.bias - 5.0 * plain.weight.sum(dim=1), rtol=0, atol=1e-5)


def test_every_class_gives_its_share_for_validation_and_keeps_one_sample() -> None:
    labels = torch.tensor([0] * 10 + [1] * 3 + [2])
    held = hold_out(labels, 0.2, seed=0)
    assert torch.bincount(labels[held], minlength=3).tolist() == [2, 1, 0]
    assert torch.equal(held, hold_out(labels, 0.2, seed=0))
    assert not torch.equal(held, hold_out(labels, 0.2, seed=1))
    assert torch.bincount(labels[hold_out(labels, 0.99, seed=0)], minlength=3).tolist() == [9, 2, 0]


def test_the_chosen_value_is_at_least_as_good_as_every_decade() -> None:
    fitting, validation = noisy_classes(40, 1.0, seed=0, width=20), noisy_classes(200, 1.0, seed=1, width=20)
    C, accuracy = choose_regularisation(fitting, validation, 4)
    scores = {
        exponent: (fit_logistic(*fitting, 4, 10.0**exponent).logits(validation.features).argmax(dim=1)
                   == validation.labels).double().mean().item() * 100
        for exponent in range(-6, 7, 2)
    }  # fmt: skip
    assert accuracy >= max(scores.values()) > min(scores.values())
    # Few samples and much noise: neither end of the range.
    assert 1e-6 < C < 1e6


def test_equal_accuracies_are_decided_by_the_cross_entropy() -> None:
    fitting, validation = noisy_classes(40, 0.05, seed=0), noisy_classes(40, 0.05, seed=1)
    C, accuracy = choose_regularisation(fitting, validation, 4)
    assert accuracy == 100.0
    # Separable: hardly regularised fits are surest, though weak ones are right as well.
    assert C > 1e3


def test_a_stated_value_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipplus.evaluation.linear_probe.choose_regularisation", None)
    metric = LinearProbeAccuracy(C=0.5, train=TRAIN)
    scores = metric.fit(noisy_classes(12, 0.1, seed=0), 4)(noisy_classes(8, 0.1, seed=1).features)
    assert metric.chosen_C == 0.5
    assert scores.exp().sum(dim=1).tolist() == pytest.approx([1.0] * 8)


def test_a_fit_that_did_not_converge_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr("clipplus.evaluation.linear_probe.print_log", lambda message, **_: lines.append(message))
    LinearProbeAccuracy(C=1e4, max_iter=2, train=TRAIN).fit(noisy_classes(40, 0.7, seed=0), 4)
    assert "raise max_iter=2" in lines[-1]


def test_a_search_without_samples_to_hold_out_names_the_option() -> None:
    with pytest.raises(ValueError, match=r"no class has two training samples.*state C"):
        LinearProbeAccuracy(train=TRAIN).fit(noisy_classes(4, 0.1, seed=0), 4)


@pytest.mark.parametrize("options", [dict(C=0.0), dict(val_fraction=1.0), dict(max_iter=0)])
def test_bad_options_are_refused(options: dict) -> None:
    with pytest.raises(ValueError, match=f"LinearProbeAccuracy: {next(iter(options))} must"):
        LinearProbeAccuracy(train=TRAIN, **options)
