"""A config that gives a part arguments which it does not take: told in the config's words."""

import inspect
import re
from collections.abc import Iterator
from types import FrameType
from typing import Any

from mmengine.registry import build_from_cfg

from clipplus.did_you_mean import did_you_mean

_UNKNOWN = re.compile(r"got an unexpected keyword argument '(\w+)'")
_MISSING = re.compile(r"missing \d+ required .*?arguments?: (.+)")


def option_error(error: TypeError) -> str | None:
    """What a config got wrong about the options of a part; None if the error has another cause.

    Only a part that a registry was building counts, and only an option that the config itself wrote or left out, so
    that a mistake inside of the part keeps its traceback.
    """
    unknown, missing = _UNKNOWN.search(str(error)), _MISSING.search(str(error))
    for frame in _building(error):
        part, options = frame.f_locals.get("obj_cls"), frame.f_locals.get("args") or {}
        if not callable(part):
            continue
        name = getattr(part, "__name__", str(part))
        if unknown and unknown[1] in options:
            return f"{name} has no option '{unknown[1]}'{did_you_mean(unknown[1], _known_options(part))}"
        if missing and not any(wanted in options for wanted in re.findall(r"'(\w+)'", missing[1])):
            return f"{name} needs {missing[1]}: the config's dict(type='{name}', ...) does not say it"
    return None


def _building(error: TypeError) -> Iterator[FrameType]:
    """Frames of mmengine's builder on the way to the error, the innermost first."""
    frames, traceback = [], error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code is build_from_cfg.__code__:
            frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    yield from reversed(frames)


def _known_options(part: Any) -> set[str]:
    """Named parameters of a function, or of all constructors of a class, which may hand options on."""
    constructors = [vars(base).get("__init__") for base in part.__mro__] if inspect.isclass(part) else [part]
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    known = set()
    for constructor in filter(inspect.isfunction, constructors):
        known |= {each.name for each in inspect.signature(constructor).parameters.values() if each.kind in named}
    return known - {"self"}
