"""Hooks around the model's state: the scale's bounds, and what a checkpoint says and must contain."""

import logging
import math
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import EMAHook, Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from torch import nn

from clipplus.checkpoints import rename_for
from clipplus.engine.provenance import run_provenance
from clipplus.towers import TowerConfig, check_activation
from clipplus.version import __version__


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside of a DDP wrapper."""
    inner: nn.Module = model.module if is_model_wrapper(model) else model  # type: ignore[assignment]
    return inner


@HOOKS.register_module()
class LogitScaleClampHook(Hook):
    """Keeps every `logit_scale*` parameter in [0, log(max_scale)] after each update.

    Without it the scale can grow until training becomes unstable (Radford et al. 2021, section 2.5).

    Args:
        max_scale: largest multiplier of similarities.
    """

    # Before EMA (NORMAL), so that the average never sees a value out of bounds.
    priority = "ABOVE_NORMAL"

    def __init__(self, max_scale: float = 100.0) -> None:
        self.highest = math.log(max_scale)

    @torch.no_grad()
    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Clamp in place."""
        for name, parameter in unwrapped(runner.model).named_parameters():
            if name.rsplit(".", 1)[-1].startswith("logit_scale"):
                parameter.clamp_(0.0, self.highest)


@HOOKS.register_module()
class CheckpointContractHook(Hook):
    """What our checkpoints say about themselves, and what a loaded one must contain.

    Saving adds `meta['clipplus']`: version, the model's config as plain data (so that `clipplus.load` needs no config
    file and executes none), its activation, `provenance` (see `run_provenance`; code and data as they were when the
    run began), and what a model's own `checkpoint_record(runner)` says, plain data that its
    `compare_record(record, runner)` is given when the file is loaded. Loading compares keys and shapes with the model,
    since mmengine only warns, and a model that kept its random weights would be evaluated without a word. Files with
    other prefixes before open_clip's keys (or none: open_clip's own files) are renamed.
    """

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self._provenance: dict[str, Any] | None = None

    def before_run(self, runner: Any) -> None:
        """Look where the run comes from, before anybody changes a file."""
        if is_main_process():
            self._provenance = run_provenance(runner)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Add the record."""
        tower = getattr(unwrapped(runner.model), "image_tower", None)
        record: dict[str, Any] = {
            "version": __version__,
            "model": runner.cfg.model.to_dict(),
            "provenance": self._provenance or run_provenance(runner),
        }
        if tower is not None:
            record["quick_gelu"] = tower.config.quick_gelu
        describe = getattr(unwrapped(runner.model), "checkpoint_record", None)
        checkpoint["meta"]["clipplus"] = record if describe is None else {**record, **describe(runner)}

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Compare with the model.

        Raises:
            ValueError: keys that the model needs are missing (and not listed in its `new_keys`), shapes differ, the
                weights were trained with the other activation, or averaged weights are resumed without EMAHook.
        """
        model = unwrapped(runner.model)
        source = str(runner._load_from or "the checkpoint")
        self._check_activation(model, source, checkpoint)
        self._check_averaging(runner, source, checkpoint)
        self._compare_record(runner, model, checkpoint)
        wanted = model.state_dict()
        state = checkpoint.get("state_dict", checkpoint)
        state = rename_for(wanted, {key.removeprefix("module."): value for key, value in state.items()})
        new = tuple(getattr(model, "new_keys", ()))
        # Parts that take their sizes from the file compare what matters themselves.
        sized = tuple(getattr(model, "sized_by_file", ())) or ("\0",)
        missing = sorted(key for key in wanted.keys() - state.keys() if not key.startswith(new or "\0"))
        shapes = sorted(
            f"{key} {tuple(state[key].shape)} for {tuple(wanted[key].shape)}"
            for key in wanted.keys() & state.keys()
            if state[key].shape != wanted[key].shape and not key.startswith(sized)
        )
        if missing or shapes:
            raise ValueError(
                f"{source} does not fit {type(model).__name__}: {len(missing)} keys missing "
                f"({', '.join(missing[:4])}), {len(shapes)} of other shape ({', '.join(shapes[:4])}); "
                "is it of another config?"
            )
        unused = sorted(state.keys() - wanted.keys())
        if unused:
            print_log(f"not used from the checkpoint: {unused[:4]} ({len(unused)})", "current", logging.WARNING)
        checkpoint["state_dict"] = state

    @staticmethod
    def _check_activation(model: nn.Module, source: str, checkpoint: dict) -> None:
        record = (checkpoint.get("meta") or {}).get("clipplus")
        stated = record.get("quick_gelu") if isinstance(record, dict) else None
        for part in ("image_tower", "text_tower", "backbone"):
            config = getattr(getattr(model, part, None), "config", None)
            if isinstance(config, TowerConfig):
                check_activation(config, source, stated)

    @staticmethod
    def _compare_record(runner: Any, model: nn.Module, checkpoint: dict) -> None:
        compare = getattr(model, "compare_record", None)
        record = (checkpoint.get("meta") or {}).get("clipplus")
        if compare is not None and isinstance(record, dict):
            compare(record, runner)

    @staticmethod
    def _check_averaging(runner: Any, source: str, checkpoint: dict) -> None:
        """The file's weights are the averaged ones: going on from them without EMA would train another model."""
        if runner._resume and "ema_state_dict" in checkpoint and not any(isinstance(h, EMAHook) for h in runner.hooks):
            raise ValueError(f"{source} was written with EMAHook: resume with the same hook in custom_hooks")
