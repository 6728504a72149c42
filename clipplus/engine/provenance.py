"""Where a run's result comes from, as plain data: for its checkpoints and result files."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from clipplus.checkpoints import fingerprint
from clipplus.checkpoints.provenance import (
    annotation_fingerprints,
    drawn_data,
    file_fingerprint,
    git_state,
    machine,
    versions,
)
from clipplus.text.class_names import resolve_class_names
from clipplus.text.templates import resolve_templates

_LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
_WITH_PROMPTS = ("model", "val_evaluator", "test_evaluator")


def run_provenance(runner: Any) -> dict[str, Any]:
    """What determines the results of a run.

    Args:
        runner: mmengine's Runner; its config and seed are read.

    Returns:
        `versions` (Python, this package, what it stands on); `git` (`revision`, `dirty`) of the checkout; `machine`;
        `seed`; `data`, see `data_provenance`; `prompts`, see `prompt_provenance`. Nothing but dicts, lists, strings
        and numbers, so that restricted loading reads it. The config itself is not repeated: checkpoints of mmengine
        hold its text as `meta['cfg']`.
    """
    config = runner.cfg.to_dict()
    return dict(
        versions=versions(), git=git_state(), machine=machine(), seed=runner.seed, data=data_provenance(config),
        prompts=prompt_provenance(config),
    )  # fmt: skip


def data_provenance(config: Mapping[str, Any]) -> dict[str, Any]:
    """The data of all loaders of a config.

    Returns:
        `files`: annotation file -> SHA-256, None where there is none; `drawn`: options of the data sets without
        annotation files (procedural ones, or folders); `fingerprint` of both.
    """
    loaders = [config.get(name) for name in _LOADERS]
    # By way of JSON, so that tuples and lists are the same and anything else is its text.
    drawn = json.loads(json.dumps(drawn_data(loaders), default=repr))
    known = dict(files=annotation_fingerprints(loaders), drawn=drawn)
    return {**known, "fingerprint": fingerprint(known)}


def prompt_provenance(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Template and class sets of every `ClassTextBank` in the model and the evaluators of a config, each once.

    Returns:
        `templates` and `classes` as the config names them (classes None: those of the data set), each with the version
        of its content, the beginning of a SHA-256; with a prompts file its name and SHA-256 as well. A version is None
        where the content cannot be read here, e.g. of a test that this run does not do.
    """
    found: list[dict[str, Any]] = []
    for bank in _banks([config.get(name) for name in _WITH_PROMPTS]):
        templates, classes = bank.get("templates", "photo"), bank.get("classes")
        record: dict[str, Any] = dict(
            templates=_plain(templates), templates_version=_version(resolve_templates, templates),
            classes=_plain(classes), classes_version=classes and _version(resolve_class_names, classes),
        )  # fmt: skip
        if bank.get("prompts"):
            path = Path(bank["prompts"])
            record["prompts"] = {str(path): file_fingerprint(path) if path.is_file() else None}
        if record not in found:
            found.append(record)
    return found


def _banks(part: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(part, Mapping):
        kind = part.get("type", "")
        if getattr(kind, "__name__", str(kind)).rpartition(".")[2] == "ClassTextBank":
            yield part
        part = list(part.values())
    if isinstance(part, list | tuple):
        for item in part:
            yield from _banks(item)


def _plain(names: Any) -> Any:
    return names if names is None or isinstance(names, str) else list(names)


def _version(resolve: Callable[[Any], list[str]], names: Any) -> str | None:
    try:
        return fingerprint(resolve(names))[:16]
    except (OSError, ValueError):
        return None
