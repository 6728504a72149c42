"""mmcv-lite has no compiled `mmcv._ext`, which mmsegmentation imports for operators that no method here uses."""

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

_NAME = "mmcv._ext"


class _NoCompiledOps(ModuleType):
    """A module whose every attribute is a function that says what it would take."""

    def __getattr__(self, name: str) -> Any:
        # Import machinery and `inspect` look for dunder attributes and must find none.
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*_: Any, **__: Any) -> NoReturn:
            raise RuntimeError(f"'{name}' needs the full mmcv with compiled operators; installed is mmcv-lite")

        return missing


def repair_mmcv_ext() -> bool:
    """Let mmsegmentation be imported with mmcv-lite.

    The stub needs a spec (without one every Runner fails in `revert_sync_batchnorm`) whose loader is None (with one
    mmengine would take mmcv-lite for the full mmcv).

    Returns:
        Whether the repair is needed and now active; a compiled `mmcv._ext` is never shadowed. False without any mmcv.
    """
    if isinstance(sys.modules.get(_NAME), _NoCompiledOps):
        return True
    if _NAME in sys.modules or importlib.util.find_spec("mmcv") is None:
        return False
    if importlib.util.find_spec(_NAME) is not None:
        return False
    stub = _NoCompiledOps(_NAME)
    stub.__spec__ = ModuleSpec(_NAME, None)
    sys.modules[_NAME] = stub
    return True
