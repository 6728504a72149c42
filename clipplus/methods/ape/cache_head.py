"""What the classifiers of cached features have in common: the cache, its file, and how it is filled and grows.

Shape letters of this file: N queries, M keys, C classes, D channels of a feature, G gammas.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from clipplus.methods.ape.checks import require_labels, require_usable_rows, require_widths
from clipplus.methods.ape.growth import sample_rows, warn_of_lean
from clipplus.methods.ape.logits import SCALE, cache_logits, zero_shot_logits

_VALUES = ("alpha", "beta", "gamma")


class CacheHead(BaseModule):
    """Zero-shot logits, corrected by what labelled features (keys) say. Base of all heads.

    A head is built empty; `fit` or a checkpoint gives it its sizes. Everything is computed in the dtype of the class
    texts: float32, or float64 if `fit` was given float64.

    Args:
        alpha: weight of the cache; stays until a search or `choose` sets another.
        beta: sharpness of the cache.
        gamma: weight of the keys' divergence (APE only).
        logit_scale: multiplier of the zero-shot similarities: CLIP's 100, as published, or 'model' for the scale that
            the towers' own weights bring along (`model_scale`).
        num_classes: refuse a checkpoint, or class texts, of another number; None takes what comes.

    Attributes:
        searched: names of the values that a search may choose, in the order of its grid.
        model_scale: multiplier for `logit_scale='model'`; set by the model.

    Raises:
        ValueError: another `logit_scale`, or values that are not finite.
    """

    searched: tuple[str, ...] = ("beta", "alpha")
    #: Tensors that are empty until the head is fitted; subclasses add theirs.
    sized: tuple[str, ...] = ("text_weight", "cache_keys", "cache_labels")

    text_weight: Tensor
    cache_keys: Tensor
    cache_labels: Tensor
    alpha: Tensor
    beta: Tensor
    gamma: Tensor

    def __init__(
        self,
        alpha: float = 1.0,
        beta: float = 1.0,
        gamma: float = 0.0,
        logit_scale: float | Literal["model"] = SCALE,
        num_classes: int | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if logit_scale != "model" and not (isinstance(logit_scale, int | float) and logit_scale > 0):
            raise ValueError(f"logit_scale must be a positive number or 'model', got {logit_scale!r}")
        self.logit_scale = logit_scale
        self.num_classes = num_classes
        self.model_scale: float | None = None
        for name, value in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
            # Grid values are kept exactly.
            self.register_buffer(name, torch.tensor(value, dtype=torch.float64))
        self.register_buffer("text_weight", torch.empty(0, 0))
        self.register_buffer("cache_keys", torch.empty(0, 0))
        self.register_buffer("cache_labels", torch.empty(0, dtype=torch.int64))

    @property
    def is_fitted(self) -> bool:
        """Whether there is anything to classify with."""
        return self.text_weight.numel() > 0

    @property
    def scale(self) -> float:
        """Multiplier of the zero-shot similarities."""
        if self.logit_scale != "model":
            return float(self.logit_scale)
        if self.model_scale is None:
            raise ValueError(
                "logit_scale='model' needs pretrained towers that bring a logit_scale along; state a number"
            )
        return self.model_scale

    def fit(
        self,
        text: Tensor,
        keys: Tensor,
        labels: Tensor,
        class_names: Sequence[str] | None = None,
        key_names: Sequence[str] | None = None,
    ) -> None:
        """Fill the cache. Parameters keep their identity, so that an optimiser may already hold them.

        Args:
            text: (C, D), unit rows; float64 makes the head compute in float64.
            keys: (M, D), unit rows, in any order.
            labels: (M,), the class of each key; every class has at least one.
            class_names: C names for error messages.
            key_names: M names (paths) for error messages.

        Raises:
            ValueError: fewer than two classes, rows that are zero or not finite, widths or numbers that do not match,
                a label without text, or a class without a key.
        """
        text, keys, labels = self._as_stored(text, keys, labels)
        if len(text) < 2:
            raise ValueError(f"a classifier needs at least 2 classes, got {len(text)}")
        if self.num_classes not in (None, len(text)):
            raise ValueError(f"the head is for num_classes={self.num_classes}, but there are {len(text)} class texts")
        require_usable_rows(text, "text", class_names)
        self._put("text_weight", text)
        self._put_keys(keys, labels, class_names, key_names)
        self._fitted()
        self._prepare()

    def extend(self, keys: Tensor, labels: Tensor, text: Tensor | None = None) -> None:
        """Add keys, and classes, to a fitted head; equals a fit on everything at once.

        alpha, beta and gamma stay as they are. Classes are sums over their keys, so that a warning is logged where the
        added keys are so unequal that answers will lean towards some classes (`growth.warn_of_lean`).

        Args:
            keys: (M', D), unit rows.
            labels: (M',), with the new classes behind the old ones.
            text: (C', D), unit rows of new classes, each with at least one of the new keys.

        Raises:
            ValueError: not fitted, or input that `fit` would refuse.
        """
        self._require_fitted()
        new = self.text_weight.new_empty(0, self.text_weight.shape[1]) if text is None else text
        new, keys, labels = self._as_stored(new, keys, labels)
        all_texts = self._with_new_texts(new)
        require_usable_rows(keys, "key")
        require_widths(self.cache_keys, keys)
        all_labels = torch.cat([self.cache_labels, labels])
        require_labels(all_labels, torch.cat([self.cache_keys, keys]), len(all_texts), None)
        queries = sample_rows(self.cache_keys.detach())
        before = self._levels(queries)
        self._extended(new, keys, labels)
        self._put("text_weight", all_texts)
        self._put("cache_keys", torch.cat([self.cache_keys.detach(), keys]))
        self._put("cache_labels", all_labels)
        self._reselect()
        self._prepare()
        warn_of_lean(before, self._levels(queries), self.terms(queries)[0][:, : len(before)].detach(), labels)

    def choose(self, **values: float) -> None:
        """Set alpha, beta or gamma, e.g. to what a search found best (`head.choose(**result.best)`).

        Raises:
            ValueError: another name.
        """
        for name, value in values.items():
            if name not in _VALUES:
                raise ValueError(f"unknown value '{name}'; known: {', '.join(_VALUES)}")
            getattr(self, name).fill_(value)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (N, C) of unit features (N, D).

        Raises:
            ValueError: the head is not fitted, or the features have another width.
        """
        raise NotImplementedError

    def terms(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """What a search over alpha, beta and gamma needs: `zero_shot (N, C)` and `similarity (N, M)`.

        With `w = key_weights([gamma])[0]`, forward's logits are
        zero_shot_nc + alpha * sum over the keys m of class c of `w_m * exp(-beta * (1 - similarity_nm))`.
        """
        features = self._checked(features)
        return zero_shot_logits(features, self.text_weight, self.scale), features @ self.cache_keys.T

    def key_weights(self, gammas: Sequence[float] | Tensor) -> Tensor:
        """Weight of every key for every gamma (G, M); a head without gamma weighs all keys alike."""
        return self.text_weight.new_ones(len(gammas), len(self.cache_labels))

    def loss(self, features: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Mean cross entropy `loss_class` of unit features (N, D) with their labels (N,)."""
        return {"loss_class": F.cross_entropy(self(features), labels)}

    @torch.no_grad()
    def _levels(self, queries: Tensor) -> Tensor:
        """What the cache adds to the logit of each class (C,), mean over the queries."""
        weights = self.key_weights([float(self.gamma)])[0]
        collected = cache_logits(
            self.terms(queries)[1], self.cache_labels, len(self.text_weight), float(self.beta), weights
        )
        return float(self.alpha) * collected.mean(dim=0)

    def _fitted(self) -> None:
        """Texts and keys are new: derive what a fit decides."""

    def _extended(self, text: Tensor, keys: Tensor, labels: Tensor) -> None:
        """Rows are about to be appended: update what was summed over rows."""

    def _reselect(self) -> None:
        """Rows were appended: derive again what a fit decides."""

    def _prepare(self) -> None:
        """Compute what every forward needs and no file holds."""

    def _as_stored(self, text: Tensor, keys: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        dtype = torch.float64 if text.dtype == torch.float64 else torch.float32
        device = self.alpha.device
        return (
            text.detach().to(device, dtype),
            keys.detach().to(device, dtype),
            labels.detach().to(device, torch.int64),
        )

    def _put_keys(
        self, keys: Tensor, labels: Tensor, class_names: Sequence[str] | None, key_names: Sequence[str] | None
    ) -> None:
        require_usable_rows(keys, "key", key_names)
        require_widths(self.text_weight, keys)
        require_labels(labels, keys, len(self.text_weight), class_names)
        self._put("cache_keys", keys)
        self._put("cache_labels", labels)

    def _with_new_texts(self, new: Tensor) -> Tensor:
        """Class texts with those of new classes behind them."""
        require_usable_rows(new, "text")
        if self.text_weight.shape[1] != new.shape[1]:
            raise ValueError(
                f"new class texts have {new.shape[1]} channels, but those of the head {self.text_weight.shape[1]}: "
                "they must be of the same text tower"
            )
        classes = len(self.text_weight) + len(new)
        if self.num_classes not in (None, classes):
            raise ValueError(
                f"the head is for num_classes={self.num_classes}, but with the new class texts there are {classes}"
            )
        return torch.cat([self.text_weight, new])

    def _put(self, name: str, value: Tensor) -> None:
        """Give a tensor another content and size; a parameter stays the object that an optimiser knows."""
        present = getattr(self, name)
        if isinstance(present, nn.Parameter):
            present.data = value.clone()
            present.grad = None
        else:
            setattr(self, name, value.clone())

    def _require_fitted(self) -> None:
        if not self.is_fitted:
            raise ValueError(
                f"{type(self).__name__} is not fitted: run tools/train.py with this config first, or load its best.pth"
            )

    def _checked(self, features: Tensor) -> Tensor:
        """Features in the head's dtype."""
        self._require_fitted()
        if features.shape[-1] != self.text_weight.shape[1]:
            raise ValueError(
                f"features have {features.shape[-1]} channels, but the cache was made of {self.text_weight.shape[1]}: "
                "is it another image tower?"
            )
        return features.to(self.text_weight.dtype)

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        """Take the sizes of the file; a loader that only warns must not leave an empty or half-filled head.

        Raises:
            ValueError: missing or foreign keys, or another number of classes than the head is for.
        """
        known = {name for name in self.state_dict() if "." not in name}
        found = {key.removeprefix(prefix) for key in state_dict if key.startswith(prefix)}
        if missing := sorted(known - found):
            raise ValueError(
                f"the checkpoint has no {', '.join(prefix + name for name in missing)}: it was not made by fitting a "
                f"{type(self).__name__} (run tools/train.py with this config)"
            )
        if foreign := sorted(found - known):
            raise ValueError(
                f"the checkpoint has {', '.join(prefix + name for name in foreign)}, which a {type(self).__name__} has "
                "not: it was made by fitting another head"
            )
        self._require_classes(len(state_dict[f"{prefix}text_weight"]))
        for name in self.sized:
            stored = state_dict[prefix + name]
            dtype = stored.dtype if stored.dtype in (torch.float64, torch.int64) else torch.float32
            self._put(name, torch.empty(stored.shape, dtype=dtype, device=self.alpha.device))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        if self.is_fitted:
            self._prepare()

    def _require_classes(self, classes: int) -> None:
        expected = self.num_classes or len(self.text_weight)
        if expected and classes and classes != expected:
            raise ValueError(f"the checkpoint's head has {classes} classes, but {expected} are expected here")
