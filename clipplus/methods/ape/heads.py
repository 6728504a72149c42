"""The classifiers: zero-shot CLIP, Tip-Adapter(-F), APE and APE-T.

Tip-Adapter: Zhang et al. 2022, arXiv 2207.09519; APE and APE-T: Zhu et al. 2023, arXiv 2304.01195.
Shape letters of this file: N queries, M keys, C classes, D channels of a feature, Q selected ones, G gammas.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from clipplus.methods.ape.cache_head import CacheHead
from clipplus.methods.ape.logits import (
    adapted_logits,
    divergence_weights,
    key_divergence,
    residual_logits,
    unit,
    zero_shot_logits,
)
from clipplus.methods.ape.refinement import (
    Balance,
    ClassTotals,
    Refinement,
    Source,
    add_keys,
    class_totals,
    refine,
    select_channels,
)


@MODELS.register_module()
class ZeroShotCacheHead(CacheHead):
    """CLIP's own classifier in the place of the others; keeps no keys.

    Args:
        **options: as `CacheHead`; alpha, beta and gamma mean nothing here.
    """

    searched = ()

    def forward(self, features: Tensor) -> Tensor:
        """Logits (N, C) of unit features (N, D)."""
        return self.terms(features)[0]

    def terms(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Zero-shot logits (N, C), and similarities (N, 0)."""
        features = self._checked(features)
        return zero_shot_logits(features, self.text_weight, self.scale), features[:, :0]

    def extend(self, keys: Tensor, labels: Tensor, text: Tensor | None = None) -> None:
        """Add the new classes' texts; keys are not kept.

        Raises:
            ValueError: see `CacheHead.extend`.
        """
        self._require_fitted()
        if text is not None:
            self._put("text_weight", self._with_new_texts(self._as_stored(text, keys, labels)[0]))

    def _put_keys(self, keys: Tensor, labels: Tensor, *names: Sequence[str] | None) -> None:
        """None are kept."""


@MODELS.register_module()
class TipAdapterHead(CacheHead):
    """Tip-Adapter, and with trained keys Tip-Adapter-F.

        logits = 100 f W^T + alpha * sum over the keys m of class c of exp(-beta (1 - <f, F_m>))

    Args:
        train_keys: make the keys the parameter of a training (Tip-Adapter-F). They start as the cache and are not
            normalised again (as the published code).
        **options: as `CacheHead`.
    """

    def __init__(self, train_keys: bool = False, **options: Any) -> None:
        super().__init__(**options)
        if train_keys:
            del self.cache_keys
            self.cache_keys = nn.Parameter(torch.empty(0, 0))

    def forward(self, features: Tensor) -> Tensor:
        """Logits (N, C) of unit features (N, D)."""
        zero_shot, similarity = self.terms(features)
        return adapted_logits(zero_shot, similarity, self.cache_labels, float(self.alpha), float(self.beta))


class RefinedHead(CacheHead):
    """A head that selects channels by prior refinement when it is fitted (`refinement.prior_refinement`).

    Args:
        weights: of similarity and variance, both published per data set.
        num_channels: Q as a whole number, or as a fraction of D in (0, 1], rounded.
        criterion_source: 'all' takes texts and keys, 'text' the class texts alone.
        balance: 'class' or 'pairs'; differ for unequal shots only, which were not published.
        **options: as `CacheHead`.

    Raises:
        ValueError: options outside of these.
    """

    sized = (*CacheHead.sized, "channels", "class_sum", "class_count")

    channels: Tensor
    class_sum: Tensor
    class_count: Tensor

    def __init__(
        self,
        weights: Sequence[float],
        num_channels: int | float,
        criterion_source: Source,
        balance: Balance = "class",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.weights = tuple(weights)
        # A nan is no number of at least 0 either.
        if len(self.weights) != 2 or not all(weight >= 0 for weight in self.weights):
            raise ValueError(f"weights must be two numbers (similarity, variance) of at least 0, got {self.weights}")
        fraction = isinstance(num_channels, float)
        if isinstance(num_channels, bool) or not (0 < num_channels <= 1 if fraction else num_channels >= 1):
            raise ValueError(
                f"num_channels must be a whole number of at least 1 or a fraction in (0, 1], got {num_channels!r}"
            )
        if criterion_source not in ("all", "text"):
            raise ValueError(f"criterion_source must be 'all' or 'text', got {criterion_source!r}")
        if balance not in ("class", "pairs"):
            raise ValueError(f"balance must be 'class' or 'pairs', got {balance!r}")
        self.num_channels, self.criterion_source, self.balance = num_channels, criterion_source, balance
        self.register_buffer("channels", torch.empty(0, dtype=torch.int64))
        # Float64, so that an extended cache selects what a fresh one would.
        self.register_buffer("class_sum", torch.empty(0, 0, dtype=torch.float64))
        self.register_buffer("class_count", torch.empty(0, dtype=torch.int64))

    @property
    def refinement(self) -> Refinement:
        """Criterion of all channels, and what it is made of."""
        return refine(self.text_weight, ClassTotals(self.class_sum, self.class_count), self.weights, self.balance)

    def describe_channels(self) -> str:
        """What the criterion says, and whether the keys have a say in it."""
        criterion = self.refinement.criterion
        texts = class_totals(self.text_weight, self.cache_keys, self.cache_labels, "text")
        alone = refine(self.text_weight, texts, self.weights, self.balance).criterion
        kept = set(self.channels.tolist())
        shared = kept & set(select_channels(alone, len(kept)).tolist())
        return (
            f"{len(kept)} of {len(criterion)} channels kept (criterion {float(criterion.min()):.3g} to "
            f"{float(criterion.max()):.3g}; texts alone would keep {len(shared)} of them)"
        )

    def _fitted(self) -> None:
        totals = class_totals(self.text_weight, self.cache_keys, self.cache_labels, self.criterion_source)
        self._put_totals(totals)
        self._select()

    def _extended(self, text: Tensor, keys: Tensor, labels: Tensor) -> None:
        ones = torch.ones(len(text), dtype=torch.int64, device=text.device)
        totals = ClassTotals(
            torch.cat([self.class_sum, text.to(self.class_sum.dtype)]), torch.cat([self.class_count, ones])
        )
        self._put_totals(totals if self.criterion_source == "text" else add_keys(totals, keys, labels))

    def _put_totals(self, totals: ClassTotals) -> None:
        self._put("class_sum", totals.sums)
        self._put("class_count", totals.counts)

    def _reselect(self) -> None:
        self._select()

    def _select(self) -> None:
        criterion = self.refinement.criterion
        self._put("channels", select_channels(criterion, self._wanted_channels(len(criterion))))

    def _wanted_channels(self, width: int) -> int:
        if isinstance(self.num_channels, float):
            return max(1, round(self.num_channels * width))
        return self.num_channels


@MODELS.register_module()
class APEHead(RefinedHead):
    """APE: a cache of the selected channels, whose keys weigh by how far they are from their own class text.

    With `'` for rows cut to the selected channels and of length 1 again, and d_m = `key_divergence`,

        logits = 100 f W^T + alpha * sum over the keys m of class c of exp(gamma d_m) exp(-beta (1 - <f', F'_m>)).

    Args:
        weights, num_channels: as `RefinedHead`.
        criterion_source: 'all', as published.
        center_kl: subtract the mean of d, so that gamma weighs the keys against each other and leaves alpha's size
            alone. Not published.
        **options: as `RefinedHead`.
    """

    searched = ("beta", "alpha", "gamma")

    refined_keys: Tensor
    divergence: Tensor

    def __init__(
        self,
        weights: Sequence[float],
        num_channels: int | float,
        criterion_source: Source = "all",
        center_kl: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(weights, num_channels, criterion_source, **options)
        self.center_kl = center_kl
        self.register_buffer("refined_keys", torch.empty(0, 0), persistent=False)
        self.register_buffer("divergence", torch.empty(0), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (N, C) of unit features (N, D)."""
        zero_shot, similarity = self.terms(features)
        weights = self.key_weights([float(self.gamma)])[0]
        return adapted_logits(zero_shot, similarity, self.cache_labels, float(self.alpha), float(self.beta), weights)

    def terms(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """See `CacheHead.terms`; the similarity is that of the selected channels."""
        features = self._checked(features)
        zero_shot = zero_shot_logits(features, self.text_weight, self.scale)
        return zero_shot, unit(features[:, self.channels]) @ self.refined_keys.T

    def key_weights(self, gammas: Sequence[float] | Tensor) -> Tensor:
        """See `CacheHead.key_weights`."""
        gammas = torch.as_tensor(gammas, dtype=self.divergence.dtype, device=self.divergence.device)
        return divergence_weights(self.divergence, gammas)

    @property
    def is_slim(self) -> bool:
        """Whether the keys have lost the channels that are not compared."""
        return self.cache_keys.shape[1] != self.text_weight.shape[1]

    def slim(self) -> None:
        """Drop the channels of the keys that are not compared: a smaller file, the same logits, no `extend`."""
        self._require_fitted()
        if not self.is_slim:
            self._put("cache_keys", unit(self.cache_keys[:, self.channels]))
            self._prepare()

    def extend(self, keys: Tensor, labels: Tensor, text: Tensor | None = None) -> None:
        """See `CacheHead.extend`.

        Raises:
            ValueError: a slim cache, too.
        """
        if self.is_slim:
            raise ValueError("a slim cache holds the selected channels only and cannot be extended: use the full file")
        super().extend(keys, labels, text)

    def _prepare(self) -> None:
        self.refined_keys = unit(self.cache_keys if self.is_slim else self.cache_keys[:, self.channels])
        texts = unit(self.text_weight[:, self.channels])
        divergence = key_divergence(self.refined_keys, texts, self.cache_labels)
        self.divergence = divergence - divergence.mean() if self.center_kl else divergence


@MODELS.register_module()
class APETHead(RefinedHead):
    """APE-T: one trained residual per class moves its text and its keys in the selected channels.

        logits = 100 f (W + res)^T + alpha * sum over the keys m of class c of v_m exp(-beta (1 - <f, F_m + res_c>))

    computed without copies of W and F (`logits.residual_logits`). Before training it equals Tip-Adapter.

    Args:
        weights: (0.2, 0.8), published for all data sets.
        num_channels: as `RefinedHead`.
        criterion_source: 'text', as in the published code; 'all' is what that code does after a run of APE, whose
            stored similarities it picks up.
        similarity: 'full', as in the published code: keys and queries with all channels. 'refined', as in the paper's
            figure: cut to the selected channels and of length 1 again before the residual is added.
        train_value_weights: False keeps v at 1 (in half precision with a learning rate of 1e-4, as published for some
            data sets, v hardly leaves 1).
        **options: as `RefinedHead`.
    """

    sized = (*RefinedHead.sized, "residual", "value_weights")

    def __init__(
        self,
        num_channels: int | float,
        weights: Sequence[float] = (0.2, 0.8),
        criterion_source: Source = "text",
        similarity: Literal["full", "refined"] = "full",
        train_value_weights: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(weights, num_channels, criterion_source, **options)
        if similarity not in ("full", "refined"):
            raise ValueError(f"similarity must be 'full' or 'refined', got {similarity!r}")
        self.similarity = similarity
        self.residual = nn.Parameter(torch.empty(0, 0))
        self.value_weights = nn.Parameter(torch.empty(0), requires_grad=train_value_weights)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (N, C) of unit features (N, D)."""
        features = self._checked(features)
        zero_shot, selected, scale = self._before_residual(features)
        return residual_logits(
            zero_shot, self._key_similarity(features), self.cache_labels, selected, self.residual, self.value_weights,
            float(self.alpha), float(self.beta), scale,
        )  # fmt: skip

    def terms(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """See `CacheHead.terms`; both with the residual."""
        features = self._checked(features)
        zero_shot, selected, scale = self._before_residual(features)
        shift = selected @ self.residual.T
        return zero_shot + scale * shift, self._key_similarity(features) + shift[:, self.cache_labels]

    def key_weights(self, gammas: Sequence[float] | Tensor) -> Tensor:
        """The trained weights, whatever gamma."""
        return self.value_weights.detach().expand(len(gammas), -1)

    def _before_residual(self, features: Tensor) -> tuple[Tensor, Tensor, float]:
        """Zero-shot logits (N, C), the queries (N, Q) that meet the residual, and its scale in the zero-shot logits."""
        zero_shot = zero_shot_logits(features, self.text_weight, self.scale)
        selected = features[:, self.channels]
        if self.similarity == "full":
            return zero_shot, selected, self.scale
        # Texts keep all channels of the query, so they are moved apart from the keys.
        return zero_shot + self.scale * selected @ self.residual.T, unit(selected), 0.0

    def _key_similarity(self, features: Tensor) -> Tensor:
        if self.similarity == "full":
            return features @ self.cache_keys.T
        return unit(features[:, self.channels]) @ unit(self.cache_keys[:, self.channels]).T

    def _fitted(self) -> None:
        super()._fitted()
        self._put("residual", self.text_weight.new_zeros(len(self.text_weight), len(self.channels)))
        self._put("value_weights", self.text_weight.new_ones(len(self.cache_labels)))

    def _extended(self, text: Tensor, keys: Tensor, labels: Tensor) -> None:
        super()._extended(text, keys, labels)
        self._put("value_weights", torch.cat([self.value_weights.detach(), text.new_ones(len(keys))]))

    def _reselect(self) -> None:
        """What was trained stays in the channels that stay selected."""
        width, trained = self.text_weight.shape[1], self.residual.detach()
        everywhere = trained.new_zeros(len(self.text_weight), width)
        everywhere[: len(trained), self.channels] = trained
        self._select()
        self._put("residual", everywhere[:, self.channels])
