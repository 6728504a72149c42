"""A step whose loss or gradient is not finite is skipped, on all ranks alike, and a run of them ends the training."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.dist import all_gather_object, all_reduce
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS
from torch import Tensor, nn

from clipplus.engine.hooks import unwrapped
from clipplus.losses import non_finite_rows

_NAMES_SHOWN = 8
_ANEW = "train anew with a lower learning rate: a resumed run keeps its own"


@dataclass(frozen=True)
class _Forward:
    """What one forward pass of training left behind; everything small, nothing read from the device yet.

    Attributes:
        terms: loss terms by name, () each, detached.
        names: of the batch's samples: keys, or ids (B,), or none that are known.
        rows: tensors with one row per sample, as the model offers them.
    """

    terms: dict[str, Tensor]
    names: Sequence[str] | Tensor
    rows: Sequence[Tensor]


@HOOKS.register_module()
class NonFiniteHook(Hook):
    """Skips every update whose loss terms or gradients are not finite, and says which terms and samples.

    It listens to the model's loss and to the optimiser's step through torch's own hooks, so that it works with any
    model, optim wrapper and loop. All ranks agree by one reduction of one number before each step. In a skipped update

    * weights and the optimiser's state stay as they are (with accumulation the whole update is skipped), and so do the
      model's buffers: BatchNorm's running statistics are put back to their values before the update;
    * the iteration count and the schedulers go on, and averaged weights take the unchanged weights in once more;
    * a warning names the update, the terms with their values, and the samples: those with non-finite rows where the
      model says so (`rows_behind_loss`, a sequence of tensors (B, ...)), otherwise the batch.

    When `max_in_a_row` updates in a row were skipped, or more than `max_fraction` of the run's, or weights themselves
    are not finite, the run saves its position and stops once this update is over. Non-finite weights are never written
    into a checkpoint. The counts are part of `state_dict`, so that a resumed run goes on counting.

    A gradient that float16's loss scaling overflows is `AmpOptimWrapper`'s own affair, and not counted.

    Args:
        max_in_a_row: stop when so many updates in a row were skipped; 1 stops at the first.
        max_fraction: stop when more than this fraction of all updates of the run was skipped (and more than
            `max_in_a_row`, so that short runs are not stopped by one).

    Attributes:
        in_a_row: updates skipped since the last good one.
        total: updates skipped so far.

    Raises:
        ValueError: limits out of range.
        TypeError: at the start of a training, several optimisers.
        FloatingPointError: in training, too many skipped updates; when saving, weights that are not finite.
    """

    # After the hooks that save: when the run stops, what was due has been written.
    priority = "LOWEST"

    def __init__(self, max_in_a_row: int = 5, max_fraction: float = 0.01) -> None:
        if max_in_a_row < 1 or not 0.0 <= max_fraction <= 1.0:
            raise ValueError(
                "NonFiniteHook: max_in_a_row must be at least 1 and max_fraction lie in [0, 1], "
                f"got {max_in_a_row} and {max_fraction}"
            )
        self.max_in_a_row = max_in_a_row
        self.max_fraction = max_fraction
        self.in_a_row = self.total = 0
        self._forwards: list[_Forward] = []
        self._stop = ""
        self._handles: list[Any] = []

    def state_dict(self) -> dict[str, int]:
        """The counts."""
        return {"in_a_row": self.in_a_row, "total": self.total}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on counting."""
        self.in_a_row, self.total = int(state["in_a_row"]), int(state["total"])

    def before_train(self, runner: Any) -> None:
        """Listen to the model and to the optimiser."""
        if not isinstance(runner.optim_wrapper, OptimWrapper):
            raise TypeError(f"NonFiniteHook needs one optimiser, got {type(runner.optim_wrapper).__name__}")
        model = unwrapped(runner.model)
        self._buffers = _Buffers(model)
        self._handles = [
            model.register_forward_hook(self._note, with_kwargs=True),
            runner.optim_wrapper.optimizer.register_step_pre_hook(lambda *_: self._before_step(runner)),
        ]

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Remember the buffers; in a stock loop this is where a run is stopped."""
        self._stop_if_asked()
        if not self._forwards:
            self._buffers.remember()

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Look at an update whose step was never called: float16's loss scaling skipped it by itself."""
        if self._forwards and runner.optim_wrapper.should_update():
            self._decide(runner, [])

    def after_step(self, runner: Any) -> None:
        """Stop where the loop's position is whole."""
        self._stop_if_asked()

    def after_train(self, runner: Any) -> None:
        """Stop listening, and sum up."""
        for handle in self._handles:
            handle.remove()
        self._stop_if_asked()
        if self.total:
            print_log(
                f"updates of this run that were skipped, since not finite: {self.total}", "current", logging.WARNING
            )

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Refuse weights that no run can go on from."""
        bad = _non_finite(unwrapped(runner.model).named_parameters())
        if bad:
            raise FloatingPointError(
                f"weights {_some(bad)} are not finite at update {runner.iter}: no checkpoint is written; resume from "
                f"an earlier one with clipped gradients (optim_wrapper.clip_grad), or {_ANEW}"
            )

    def _note(self, model: nn.Module, inputs: tuple, named: dict[str, Any], outputs: Any) -> None:
        """After each forward pass of training."""
        if named.get("mode") != "loss" or not isinstance(outputs, Mapping):
            return
        terms = {name: _mean(value) for name, value in outputs.items() if "loss" in name}
        self._forwards.append(_Forward(terms, _sample_names(named), tuple(getattr(model, "rows_behind_loss", ()))))

    def _before_step(self, runner: Any) -> None:
        """Before the optimiser's step, gradients being those of the whole update and of all ranks."""
        wrapper = runner.optim_wrapper
        parameters = [p for group in wrapper.optimizer.param_groups for p in group["params"] if p.grad is not None]
        if getattr(wrapper.optimizer, "found_inf", None) is not None:
            # Set by float16's loss scaling, whose fused optimisers pass over an overflow by themselves.
            gradient = []
        elif parameters and wrapper.clip_grad_kwargs and wrapper.clip_func is nn.utils.clip_grad_norm_:
            # Clipping has just measured it: no second pass over the gradients.
            norm = runner.message_hub.get_scalar(f"train/{wrapper.grad_name}").current()
            gradient = [torch.tensor(float(norm), device=parameters[0].device)]
        else:
            gradient = [nn.utils.get_total_norm([p.grad for p in parameters])] if parameters else []
        self._decide(runner, gradient)

    def _decide(self, runner: Any, gradient: list[Tensor]) -> None:
        """Skip the update, or let it pass; the same on every rank."""
        values = [term for forward in self._forwards for term in forward.terms.values()] + gradient
        flag = torch.zeros((), dtype=torch.int32)
        if values:
            finite = torch.isfinite(torch.stack([value.detach().float() for value in values])).all()
            flag = 1 - finite.to(torch.int32)
        all_reduce(flag, "max")
        if bool(flag):
            self._skip(runner)
        else:
            self.in_a_row = 0
        self._forwards.clear()

    def _skip(self, runner: Any) -> None:
        model = unwrapped(runner.model)
        reports = all_gather_object(_report(model, self._forwards))
        # An optimiser passes over parameters without gradient: weights and its state stay as they are.
        runner.optim_wrapper.optimizer.zero_grad(set_to_none=True)
        self._buffers.restore()
        self.in_a_row += 1
        self.total += 1
        cause = _cause(reports)
        print_log(
            f"update {runner.iter + 1} is skipped: {cause}; {self.in_a_row} in a row, {self.total} in all",
            "current",
            logging.WARNING,
        )
        weights = sorted({name for report in reports for name in report["weights"]})
        if weights:
            self._stop = f"weights {_some(weights)} are not finite"
        elif self.in_a_row >= self.max_in_a_row:
            self._stop = f"updates skipped in a row: {self.in_a_row} (max_in_a_row={self.max_in_a_row})"
        elif self.total > max(self.max_in_a_row, self.max_fraction * runner.max_iters):
            self._stop = (
                f"updates skipped in all: {self.total} (max_fraction={self.max_fraction} of {runner.max_iters})"
            )
        if self._stop:
            self._stop += f"; the last, update {runner.iter + 1}: {cause}"
            # Asks the hooks that save for a checkpoint of this position; with such weights there is none.
            runner.train_loop.stop_training = not weights

    def _stop_if_asked(self) -> None:
        if self._stop:
            reason, self._stop = self._stop, ""
            raise FloatingPointError(
                f"{reason}. Look at the samples, clip gradients (optim_wrapper.clip_grad) and resume from the newest "
                f"checkpoint, or {_ANEW}"
            )


class _Buffers:
    """Copies of a model's buffers.

    All of them are copied: torch's version counters do not tell that BatchNorm changed its running statistics.
    """

    def __init__(self, model: nn.Module) -> None:
        self._places = [(m, name) for m in model.modules() for name, buffer in m._buffers.items() if buffer is not None]
        self._kept: list[Tensor] = []
        self._copies: list[Tensor] = []

    @torch.no_grad()
    def remember(self) -> None:
        """Take copies, into the memory of the last ones where the tensors are the same."""
        now = [module.get_buffer(name) for module, name in self._places]
        if self._kept and all(one is other for one, other in zip(self._kept, now, strict=True)):
            torch._foreach_copy_(self._copies, now)
        else:
            self._kept, self._copies = now, [buffer.clone() for buffer in now]

    @torch.no_grad()
    def restore(self) -> None:
        """Put the copies back, also where the model has put another tensor in a buffer's place."""
        for (module, name), buffer, copy in zip(self._places, self._kept, self._copies, strict=True):
            module._buffers[name] = buffer.copy_(copy)


def _mean(value: Tensor | Sequence[Tensor]) -> Tensor:
    """A term as a number, as mmengine sums it."""
    parts = [value] if isinstance(value, Tensor) else list(value)
    return torch.stack([part.detach().float().mean() for part in parts]).sum()


def _sample_names(named: Mapping[str, Any]) -> Sequence[str] | Tensor:
    """What a batch calls its samples."""
    if named.get("keys") is not None:
        return list(named["keys"])
    if named.get("ids") is not None:
        return named["ids"]
    samples = named.get("data_samples") or []
    return [str(getattr(sample, "img_path", None) or getattr(sample, "sample_idx", "?")) for sample in samples]


def _non_finite(tensors: Any) -> list[str]:
    """Names of the (name, tensor) pairs that hold a nan or an infinity."""
    pairs = [(name, tensor) for name, tensor in tensors if tensor is not None and tensor.numel()]
    if not pairs or bool(torch.isfinite(nn.utils.get_total_norm([t.detach() for _, t in pairs]))):
        return []
    return [name for name, tensor in pairs if not bool(torch.isfinite(tensor).all())]


def _report(model: nn.Module, forwards: Sequence[_Forward]) -> dict[str, Any]:
    """What this rank knows of a bad update, as plain data."""
    terms: dict[str, list[float]] = {}
    rows: list[str] = []
    samples: list[str] = []
    for forward in forwards:
        values = {name: float(term) for name, term in forward.terms.items()}
        for name, value in values.items():
            terms.setdefault(name, []).append(value)
        names = [str(name) for name in (forward.names.tolist() if isinstance(forward.names, Tensor) else forward.names)]
        bad = non_finite_rows(forward.rows)
        rows += [names[i] if i < len(names) else f"row {i}" for i in bad]
        if not all(math.isfinite(value) for value in values.values()):
            samples += names
    return dict(
        terms=terms, rows=rows, samples=samples,
        gradients=_non_finite((name, p.grad) for name, p in model.named_parameters()),
        weights=_non_finite(model.named_parameters()),
    )  # fmt: skip


def _cause(reports: Sequence[Mapping[str, Any]]) -> str:
    """One sentence about a bad update from the reports of all ranks."""
    values: dict[str, list[float]] = {}
    for report in reports:
        for name, found in report["terms"].items():
            values.setdefault(name, []).extend(found)
    bad = {name: next(v for v in of if not math.isfinite(v)) for name, of in values.items() if not _all_finite(of)}
    finite = ", ".join(f"{name} {sum(of) / len(of):.3g}" for name, of in values.items() if name not in bad) or "none"
    samples = [name for report in reports for name in report["rows"] or ()]
    samples = samples or [name for report in reports for name in report["samples"]]
    if bad:
        terms = ", ".join(f"'{name}' is {value}" for name, value in bad.items())
        return f"loss term {terms} (samples {_some(samples)}); finite terms: {finite}"
    gradients = sorted({name for report in reports for name in report["gradients"]})
    where = f"the gradient of {_some(gradients)} is not finite" if gradients else "the gradient is too large to measure"
    return f"{where}; terms: {finite}"


def _all_finite(values: Sequence[float]) -> bool:
    return all(math.isfinite(value) for value in values)


def _some(names: Sequence[str]) -> str:
    """The first few of many names."""
    shown = ", ".join(f"'{name}'" for name in names[:_NAMES_SHOWN]) or "unknown"
    return shown + (f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else "")
