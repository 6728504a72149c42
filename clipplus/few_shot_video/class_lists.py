"""Which class texts a recogniser was trained with: they are no weights, so that a checkpoint would not show it."""

import logging
from typing import Any

from mmengine.logging import print_log
from mmengine.runner import BaseLoop

from clipplus.text import ClassTextBank

_SHOWN = 4


def class_lists(text: ClassTextBank, runner: Any) -> dict[str, Any]:
    """What class texts are made of, as plain data.

    Returns:
        `templates`, and `train`, the names of the classes that are trained on (None in a run that trains nothing).
    """
    return {"templates": list(text.templates), "train": text.classes or _train_classes(runner)}


def _train_classes(runner: Any) -> list[str] | None:
    loop = getattr(runner, "_train_loop", None)
    # Of a test it is a config, or nothing.
    part: Any = loop.dataloader.dataset if isinstance(loop, BaseLoop) else None
    while part is not None:
        names = getattr(part, "classes", None) or (getattr(part, "metainfo", None) or {}).get("classes")
        if names:
            return list(names)
        part = getattr(part, "dataset", None)
    return None


def warn_of_other_lists(saved: Any, now: dict[str, Any], source: str) -> None:
    """Say which texts differ from those that the weights were trained with.

    Args:
        saved: `class_lists` of the checkpoint; None where it knows none.
        now: those of this run. Classes that one of them does not know are not compared: a test has other ones.
        source: the checkpoint.
    """
    if not isinstance(saved, dict):
        return
    changes = []
    if saved.get("templates") != now["templates"]:
        changes.append(f"templates {_few(saved.get('templates'))} -> {_few(now['templates'])}")
    before, after = saved.get("train"), now["train"]
    if before and after and list(before) != after:
        lost, new = [n for n in before if n not in after], [n for n in after if n not in before]
        changes.append(
            f"training classes: {_few(lost)} gone, {_few(new)} new" if lost or new else "the order of training classes"
        )
    if changes:
        print_log(
            f"the class texts have changed since {source} was saved ({'; '.join(changes)}): what its weights learned "
            "about texts was learned with the former",
            logger="current",
            level=logging.WARNING,
        )


def _few(names: Any) -> str:
    if not names:
        return "none"
    shown = ", ".join(f"'{name}'" for name in list(names)[:_SHOWN])
    return shown + (f", ... ({len(names)})" if len(names) > _SHOWN else "")
