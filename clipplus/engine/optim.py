"""Mixed precision that knows the CPU, and the two parameter groups of CLIP training."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS
from torch import nn


@OPTIM_WRAPPERS.register_module()
class AutoAmpOptimWrapper(OptimWrapper):
    """bfloat16 autocast on GPUs, plain fp32 on the CPU, where autocast is slow and inexact.

    Args:
        dtype: 'bfloat16', the only one: it needs no loss scaling.
        **kwargs: as in mmengine's OptimWrapper.

    Raises:
        ValueError: another dtype; names mmengine's wrapper for float16.
    """

    def __init__(self, dtype: str = "bfloat16", **kwargs: Any) -> None:
        if dtype != "bfloat16":
            raise ValueError(
                f"AutoAmpOptimWrapper knows dtype='bfloat16' only, got '{dtype}'; float16 needs AmpOptimWrapper"
            )
        super().__init__(**kwargs)
        self._on_gpu = torch.cuda.is_available()
        if not self._on_gpu:
            print_log("no GPU: training in fp32 instead of bfloat16", logger="current", level=logging.INFO)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast the forward pass on a GPU."""
        with super().optim_context(model), torch.autocast("cuda", torch.bfloat16, enabled=self._on_gpu):
            yield


def decays(name: str, parameter: nn.Parameter) -> bool:
    """Whether weight decay applies: not to vectors and scalars (norms, biases, `logit_scale`, `logit_bias`)."""
    return parameter.ndim >= 2 and name.rsplit(".", 1)[-1] not in ("logit_scale", "logit_bias")


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class CLIPOptimWrapperConstructor:
    """Exactly two parameter groups, with and without weight decay, so that fused optimisers stay fast.

    The rule is open_clip's: parameters with fewer than two dimensions, `logit_scale` and `logit_bias` are not decayed.
    Frozen parameters are left out.

    Args:
        optim_wrapper_cfg: the `optim_wrapper` of the config, with its `optimizer`.
        paramwise_cfg: must be empty; per-parameter rules need mmengine's DefaultOptimWrapperConstructor.

    Raises:
        ValueError: a `paramwise_cfg`, or a model without trainable parameters.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        if paramwise_cfg:
            raise ValueError("CLIPOptimWrapperConstructor has one fixed rule: remove paramwise_cfg or the constructor")
        self.config = dict(optim_wrapper_cfg)

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build optimiser and wrapper for `model` (which may be wrapped by DDP)."""
        config = dict(self.config)
        optimizer = dict(config.pop("optimizer"))
        trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        if not trained:
            raise ValueError(f"{type(model).__name__} has no trainable parameter: every tower is frozen")
        decayed = [p for name, p in trained if decays(name, p)]
        plain = [p for name, p in trained if not decays(name, p)]
        groups: list[dict[str, Any]] = [dict(params=decayed), dict(params=plain, weight_decay=0.0)]
        optimizer["params"] = [group for group in groups if group["params"]]
        config.setdefault("type", "OptimWrapper")
        return OPTIM_WRAPPERS.build(config, default_args=dict(optimizer=OPTIMIZERS.build(optimizer)))
