"""A part of a config that cannot be built: told in the config's words."""

import inspect
import re
from collections.abc import Iterator
from types import FrameType
from typing import Any

from mmengine.registry import build_from_cfg

from clipplus.did_you_mean import did_you_mean

_UNKNOWN = re.compile(r"got an unexpected keyword argument '(\w+)'")
_MISSING = re.compile(r"missing \d+ required .*?arguments?: (.+)")


#: What building raises for a type that nobody registered, an option that the part does not have or of another kind.
BAD_PARTS = (KeyError, TypeError, AttributeError, AssertionError)


def build_error(error: BaseException) -> str | None:
    """What is wrong with a part that a registry was building; None if none was being built."""
    part = next((name for frame in _building(error) if (name := _type_of(frame.f_locals.get("cfg")))), None)
    if part is None:
        return None
    wrong = option_error(error) if isinstance(error, TypeError) else None
    return wrong or f"{part} cannot be built: {error.args[0] if error.args else type(error).__name__}"


def _type_of(config: Any) -> str | None:
    kind = config.get("type") if isinstance(config, dict) else None
    return None if kind is None else getattr(kind, "__name__", str(kind))


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


def _building(error: BaseException) -> Iterator[FrameType]:
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
