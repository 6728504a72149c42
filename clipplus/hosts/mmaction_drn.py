"""mmaction2 1.2.0 was published without `mmaction/models/localizers/drn`, which its own package imports."""

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import NoReturn

_PACKAGE = "mmaction.models.localizers.drn"
_MODULE = f"{_PACKAGE}.drn"


class DRN:
    """Stands in for the localizer that the published package lacks."""

    def __init__(self, *_: object, **__: object) -> NoReturn:
        raise RuntimeError("DRN is missing from the published mmaction2 1.2.0; install mmaction2 from its repository")


def repair_mmaction_drn() -> bool:
    """Let `mmaction.models` be imported (open-mmlab/mmaction2 issue 2714).

    Returns:
        Whether the repair is needed and now active; False also without mmaction2.
    """
    if getattr(sys.modules.get(_MODULE), "DRN", None) is DRN:
        return True
    spec = importlib.util.find_spec("mmaction")
    if spec is None or not spec.submodule_search_locations:
        return False
    folder = Path(spec.submodule_search_locations[0]) / "models" / "localizers" / "drn"
    if folder.exists():
        return False
    for name in (_PACKAGE, _MODULE):
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None, is_package=name == _PACKAGE)
        if name == _PACKAGE:
            module.__path__ = []
        module.DRN = DRN  # type: ignore[attr-defined]
        sys.modules[name] = module
    return True
