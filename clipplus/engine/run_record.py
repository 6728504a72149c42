"""What a checkpoint holds so that a resumed run is the same run: position, what must not change, states of hooks."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log

from clipplus.checkpoints import fingerprint
from clipplus.engine.provenance import data_provenance

_FORMAT = 1

#: What a resumed run shares with the one before, and what it is called in messages.
FIXED = {"global_batch": "global batch size", "seed": "seed", "data": "training data"}


def run_record(runner: Any, data: str) -> dict[str, Any]:
    """The entry `clipplus` of a checkpoint: plain data, which restricted loading reads.

    Args:
        runner: mmengine's Runner, with a `StepLoop`.
        data: what `describe_data` said when the run began.

    Returns:
        `format`; `last_val`, the update after which the newest validation was done (None: none yet); `global_batch`,
        samples per update; `seed`; `data`, see `describe_data`; `schedule`, the config of optimiser and schedulers, of
        which a resumed run keeps the built state; `hooks`, the `state_dict()` of every hook that has one.
    """
    loop = runner.train_loop
    return {
        "format": _FORMAT,
        "last_val": loop.last_val,
        "global_batch": loop.batches.global_batch_size,
        "seed": runner.seed,
        "data": data,
        "schedule": _schedule(runner.cfg.to_dict()),
        "hooks": {name: hook.state_dict() for name, hook in _with_state(runner.hooks)},
    }


def describe_data(runner: Any) -> str:
    """Length of the training data and a fingerprint of its annotations; where it lies does not count."""
    known = data_provenance({"train_dataloader": runner.cfg.to_dict().get("train_dataloader")})
    drawn = [{k: v for k, v in part.items() if k not in ("data_root", "data_prefix")} for part in known["drawn"]]
    content = fingerprint([sorted(str(name) for name in known["files"].values()), drawn])
    return f"{len(runner.train_loop.dataloader.dataset)} samples, annotations {content[:12]}"


def take_up(runner: Any, checkpoint: dict[str, Any], data: str, allow_changed: Sequence[str], option: str) -> None:
    """Compare a checkpoint's record with the run that is resumed from it, and hand the hooks their states.

    Args:
        runner: the run.
        checkpoint: what was read; its seed is removed where the run shall keep its own.
        data: what `describe_data` says now.
        allow_changed: keys of `FIXED` that may differ.
        option: what to set for that, in the user's words.

    Raises:
        ValueError: something that must not change has; a record of a later format; a file of weights only.
    """
    source, record = runner._load_from, checkpoint.get("clipplus")
    # mmengine would go on with a fresh optimiser, without a word.
    if "optimizer" not in checkpoint or not isinstance((checkpoint.get("meta") or {}).get("iter"), int):
        raise ValueError(
            f"{source} holds weights only, as best_*.pth do: a training cannot go on from it. --resume an epoch_N.pth "
            "or iter_N.pth, or start a new training from the weights with --cfg-options load_from=PATH"
        )
    if not isinstance(record, dict):
        print_log(
            f"{source} was not saved by RunCheckpointHook: whether seed, batch size and data are still the same is not "
            "known, and hooks begin to count anew",
            logger="current",
            level=logging.WARNING,
        )
        return
    if record["format"] > _FORMAT:
        raise ValueError(f"{source} was saved by a later version (format {record['format']}, known is {_FORMAT})")
    _require_unchanged(runner, record, data, allow_changed, option)
    _warn_of_schedule(source, record.get("schedule", {}), _schedule(runner.cfg.to_dict()))
    if "seed" in allow_changed:
        # mmengine would take the stored one.
        checkpoint["meta"].pop("seed", None)
    runner.train_loop.last_val = record["last_val"]
    hooks = dict(_with_state(runner.hooks))
    for name, state in record["hooks"].items():
        if name in hooks:
            hooks[name].load_state_dict(state)
        elif state:
            print_log(f"{source} has a state of {name}, which this run does not have", "current", logging.WARNING)


def _require_unchanged(
    runner: Any, record: dict[str, Any], data: str, allow_changed: Sequence[str], option: str
) -> None:
    now = {
        "global_batch": runner.train_loop.batches.global_batch_size,
        # Without one in the config the stored seed is taken, which is what was meant.
        "seed": record["seed"] if (runner._randomness_cfg or {}).get("seed") is None else runner.seed,
        "data": data,
    }
    for key, name in FIXED.items():
        if now[key] == record[key]:
            continue
        change = f"the {name} was {record[key]} when {runner._load_from} was saved and is {now[key]} now"
        if key not in allow_changed:
            raise ValueError(
                f"{change}: the resumed run would not be the same run. If that is what you want, set {option}='{key}'"
            )
        print_log(change, logger="current", level=logging.WARNING)


def _schedule(config: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted key -> value of what is built once and then lives in the checkpoint: optimiser and schedulers."""
    parts = {
        "optim_wrapper.optimizer": (config.get("optim_wrapper") or {}).get("optimizer"),
        "param_scheduler": config.get("param_scheduler"),
    }
    # By way of JSON, so that tuples and lists are the same and anything else is its text.
    return dict(_leaves("", json.loads(json.dumps(parts, default=repr))))


def _leaves(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict | list):
        yield prefix, value
        return
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _leaves(f"{prefix}.{key}" if prefix else str(key), inner)


def _warn_of_schedule(source: str, saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    changed = [key for key in sorted({*saved, *now}) if saved.get(key) != now.get(key)]
    if saved and changed:
        changes = ", ".join(f"{key} {saved.get(key)} -> {now.get(key)}" for key in changed)
        print_log(
            f"the config has changed since {source} was saved ({changes}), but optimiser and schedules go on as they "
            "were saved. To train with other ones start from the weights: --cfg-options load_from=PATH",
            logger="current",
            level=logging.WARNING,
        )


def _with_state(hooks: Sequence[Hook]) -> Iterator[tuple[str, Any]]:
    """Hooks that have a state, with names that stay the same as long as their order does."""
    seen: dict[str, int] = {}
    for hook in hooks:
        name = type(hook).__name__
        if hasattr(hook, "state_dict") and hasattr(hook, "load_state_dict"):
            seen[name] = seen.get(name, 0) + 1
            yield name if seen[name] == 1 else f"{name}.{seen[name]}", hook
