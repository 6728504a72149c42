"""Computed tensors on disk: one safetensors file per entry, written atomically, memory-mapped when read.

The file carries the settings that it was computed from; an entry is used only when all of them agree.
"""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from clipplus.checkpoints.atomic import written_aside


def write_tensors(path: Path, tensors: dict[str, Tensor], settings: dict[str, Any]) -> None:
    """Write `tensors` with the `settings` they were computed from; a kill leaves no half-written file.

    Args:
        path: target; its folder is made.
        tensors: contents.
        settings: JSON-able; compared by `read_tensors`.
    """
    contents = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with written_aside(path) as partial:
        save_file(contents, partial, metadata={"settings": json.dumps(settings, sort_keys=True)})


def read_tensors(path: Path, settings: dict[str, Any]) -> tuple[dict[str, Tensor] | None, list[str]]:
    """The entry at `path` if it was computed from exactly `settings`.

    Returns:
        (tensors, []) on a hit; (None, names of the settings that differ) for another's entry; (None, []) when
        there is no readable entry.
    """
    if not path.is_file():
        return None, []
    try:
        with safe_open(path, framework="pt") as entry:
            stored = json.loads((entry.metadata() or {}).get("settings", "{}"))
            changed = sorted(k for k in stored.keys() | settings.keys() if stored.get(k) != settings.get(k))
            if changed:
                return None, changed
            return {name: entry.get_tensor(name) for name in entry.keys()}, []  # noqa: SIM118 - no mapping
    except SafetensorError:
        return None, []
