"""Linear probe: regularised logistic regression on frozen features (Radford et al. 2021, appendix A.3).

Shape letters of this file: S samples, C classes, E feature width.
"""

import logging
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from mmengine.logging import print_log
from mmengine.registry import METRICS
from torch import Tensor
from tqdm import tqdm

from clipplus.evaluation.frozen_classifier import FrozenClassifierAccuracy
from clipplus.evaluation.frozen_features import LabelledFeatures

# The search's grid: 10^-6 to 10^6 with 8 values a decade, entered at every sixteenth.
_STEPS_PER_DECADE = 8
_LARGEST = 6 * _STEPS_PER_DECADE
_FIRST_STEP = 16
_GRADIENT_TOLERANCE = 1e-5


class LogisticFit(NamedTuple):
    """A fitted logistic regression: logits are `features @ weight.T + bias`.

    Attributes:
        weight: (C, E) float64.
        bias: (C,) float64.
        iterations: of L-BFGS.
        gradient: largest absolute entry of the objective's gradient where the fit ended.
    """

    weight: Tensor
    bias: Tensor
    iterations: int
    gradient: float

    def logits(self, features: Float[Tensor, "S E"]) -> Float[Tensor, "S C"]:
        """Logits in float64."""
        return F.linear(features.double(), self.weight, self.bias)


def logistic_objective(
    weight: Float[Tensor, "C E"],
    bias: Float[Tensor, " C"],
    features: Float[Tensor, "S E"],
    labels: Int[Tensor, " S"],
    C: float,
) -> Float[Tensor, ""]:
    """What a fit minimises; scikit-learn's objective divided by C times the number of samples.

        1/S * sum_i -log softmax(weight x_i + bias)_label_i + |weight|^2 / (2 C S)

    Args:
        weight: (C, E).
        bias: (C,), not regularised.
        features: (S, E).
        labels: (S,), in 0..C-1.
        C: inverse strength of the regularisation, as in scikit-learn.
    """
    loss = F.cross_entropy(F.linear(features, weight, bias), labels)
    return loss + weight.square().sum() / (2 * C * len(labels))


def fit_logistic(
    features: Float[Tensor, "S E"], labels: Int[Tensor, " S"], classes: int, C: float, max_iter: int = 1000
) -> LogisticFit:
    """Minimise `logistic_objective` by L-BFGS in float64, from zero.

    Args:
        features: (S, E).
        labels: (S,), in 0..classes-1.
        classes: number of classes.
        C: inverse strength of the regularisation.
        max_iter: the search ends there, converged or not; compare the result's `gradient`.
    """
    # Shifted features only change the bias, and the mean that CLIP's embeddings share slows the descent down.
    mean = features.double().mean(dim=0)
    centred = features.double() - mean
    weight = centred.new_zeros(classes, features.shape[1]).requires_grad_()
    bias = centred.new_zeros(classes).requires_grad_()
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=max_iter, max_eval=2 * max_iter, tolerance_grad=_GRADIENT_TOLERANCE,
        tolerance_change=1e-14, history_size=10, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> float:
        optimizer.zero_grad()
        objective = logistic_objective(weight, bias, centred, labels, C)
        torch.autograd.backward([objective], inputs=[weight, bias])
        return float(objective.detach())

    with torch.enable_grad():
        optimizer.step(closure)
        closure()
    gradient = max(float(part.grad.abs().max()) for part in (weight, bias) if part.grad is not None)
    iterations = optimizer.state[weight]["n_iter"]
    weight, bias = weight.detach(), bias.detach()
    return LogisticFit(weight, bias - weight @ mean, iterations, gradient)


def hold_out(labels: Int[Tensor, " S"], fraction: float, seed: int) -> Tensor:
    """Draw validation samples from every class: True where a sample is held out.

    Of a class with n samples, `fraction` times n rounded up are held out, but never the last one.

    Args:
        labels: (S,), not negative.
        fraction: in (0, 1).
        seed: of the draw; equal labels and seeds give equal splits.

    Returns:
        (S,) bool, on the device of `labels`.
    """
    generator = torch.Generator().manual_seed(seed)
    held = torch.zeros(len(labels), dtype=torch.bool)
    shuffled = torch.randperm(len(labels), generator=generator)
    shuffled_labels = labels.cpu()[shuffled]
    for label in shuffled_labels.unique():
        own = shuffled[shuffled_labels == label]
        held[own[: min(math.ceil(fraction * len(own)), len(own) - 1)]] = True
    return held.to(labels.device)


def choose_regularisation(
    fitting: LabelledFeatures, validation: LabelledFeatures, classes: int, max_iter: int = 1000
) -> tuple[float, float]:
    """Search the best C between 1e-6 and 1e6 on a grid of 8 values a decade.

    Every sixteenth value first, then both neighbours of the best one at half the distance, until they are neighbours
    on the grid: at most 15 fits. Best is the larger validation accuracy, then the smaller cross entropy.

    Args:
        fitting: samples that the candidates are fitted to.
        validation: samples that judge them.
        classes: number of classes.
        max_iter: of each fit.

    Returns:
        C, and its validation accuracy in percent.
    """
    scores: dict[int, tuple[float, float]] = {}
    step = _FIRST_STEP
    candidates: list[int] = list(range(-_LARGEST, _LARGEST + 1, step))
    # Quick searches show no bar.
    with tqdm(desc="linear probe: search of C", unit="fit", delay=10) as bar:
        while step >= 1:
            for index in candidates:
                fit = fit_logistic(*fitting, classes, _grid(index), max_iter)
                logits = fit.logits(validation.features)
                hits = (logits.argmax(dim=1) == validation.labels).double().mean()
                scores[index] = (float(hits) * 100, -float(F.cross_entropy(logits, validation.labels)))
                bar.update()
            best = max(scores, key=lambda index: scores[index])
            step //= 2
            candidates = [
                index for index in (best - step, best + step) if abs(index) <= _LARGEST and index not in scores
            ]
    return _grid(best), scores[best][0]


def _grid(index: int) -> float:
    return float(10 ** (index / _STEPS_PER_DECADE))


@METRICS.register_module()
class LinearProbeAccuracy(FrozenClassifierAccuracy):
    """Accuracy of a logistic regression on frozen features; C is chosen on held-out training samples.

    Then the regression is fitted to all training samples. The evaluated set has no part in it.

    Results: `linear/top<k>`, `linear/mean_class`.

    Args:
        C: inverse strength of the L2 regularisation, as in scikit-learn; None searches it, see `choose_regularisation`.
        val_fraction: of the training samples, held out of each class for the search.
        max_iter: of L-BFGS; a final fit that has not converged by then is warned of.
        **shared: see `FrozenClassifierAccuracy`; `train` is required.

    Attributes:
        chosen_C: of the last fit (main process only).

    Raises:
        ValueError: C not positive, a fraction outside of (0, 1); a search without two samples of any class.
    """

    default_prefix = "linear"

    def __init__(self, C: float | None = None, val_fraction: float = 0.2, max_iter: int = 1000, **shared: Any) -> None:
        super().__init__(**shared)
        if C is not None and C <= 0:
            raise ValueError(f"LinearProbeAccuracy: C must be positive or None, got {C}")
        if not 0.0 < val_fraction < 1.0:
            raise ValueError(f"LinearProbeAccuracy: val_fraction must lie in (0, 1), got {val_fraction}")
        if max_iter < 1:
            raise ValueError(f"LinearProbeAccuracy: max_iter must be at least 1, got {max_iter}")
        self.C, self.val_fraction, self.max_iter = C, val_fraction, max_iter
        self.chosen_C: float | None = None

    def fit(self, training: LabelledFeatures, classes: int) -> Callable[[Tensor], Tensor]:
        """Choose C, then fit to all; scores are log-probabilities."""
        if self.C is None:
            self.chosen_C, origin = self._search(training, classes)
        else:
            self.chosen_C, origin = self.C, "stated in the config"
        fit = fit_logistic(*training, classes, self.chosen_C, self.max_iter)
        print_log(
            f"linear probe: C = {self.chosen_C:.4g} ({origin}); fitted to {len(training.labels)} samples in "
            f"{fit.iterations} iterations",
            logger="current",
        )
        if fit.gradient > _GRADIENT_TOLERANCE:
            print_log(
                f"linear probe: not converged, the largest gradient is {fit.gradient:.1e} (wanted: "
                f"{_GRADIENT_TOLERANCE:.0e}); raise max_iter={self.max_iter}",
                logger="current",
                level=logging.WARNING,
            )
        return lambda features: fit.logits(features).log_softmax(dim=1)

    def _search(self, training: LabelledFeatures, classes: int) -> tuple[float, str]:
        held = hold_out(training.labels, self.val_fraction, self.seed)
        if not held.any():
            raise ValueError(
                "LinearProbeAccuracy: no class has two training samples, one of which could be held out to choose C: "
                "state C"
            )
        fitting, validation = (
            LabelledFeatures(training.features[rows], training.labels[rows]) for rows in (~held, held)
        )
        C, accuracy = choose_regularisation(fitting, validation, classes, self.max_iter)
        return C, f"top-1 {accuracy:.2f} % on {int(held.sum())} held-out training samples"
