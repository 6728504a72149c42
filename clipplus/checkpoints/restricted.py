"""Reading PyTorch checkpoint files without running what a stranger put into them.

A `.pth` file is a pickle, and a pickle is a program. `weights_only` loading runs none of it but the calls
on an allow-list; this module's list holds the few classes that mmengine's checkpoints need beyond tensors,
and stand-ins for the two that are not harmless themselves.
"""

import re
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch.serialization import safe_globals

_BUFFER_STATISTICS = ("min", "max", "current", "mean")


class _HistoryRecord:
    """Stands in for mmengine's HistoryBuffer while unpickling: keeps its two arrays and nothing else.

    The real class would be handed a table of functions by the file.
    """

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.max_length = int(state.get("max_length", 1000000))
        self.log = np.asarray(state["_log_history"])
        self.count = np.asarray(state["_count_history"])

    def to_buffer(self) -> HistoryBuffer:
        return HistoryBuffer(self.log, self.count, self.max_length)


def _buffer_statistic(owner: Any, name: str) -> str:
    """Stands in for `builtins.getattr`, which HistoryBuffer's pickles use to name their own statistics."""
    if owner is _HistoryRecord and name in _BUFFER_STATISTICS:
        return name
    raise UnpicklingError(f"GLOBAL builtins.getattr({getattr(owner, '__name__', owner)!s}, {name!r})")


def _allowed_globals() -> list[Any]:
    """What checkpoints written by mmengine need beyond tensors and plain containers."""
    # The functions that rebuild arrays moved from numpy.core to numpy._core in numpy 2; files know either name.
    reconstruct = np.empty(0).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    moved = [
        (function, f"numpy.{core}.multiarray.{name}")
        for core in ("core", "_core")
        for function, name in ((reconstruct, "_reconstruct"), (scalar, "scalar"))
    ]
    number_types = [type(np.dtype(name)) for name in ("bool", "u1", "i4", "i8", "f2", "f4", "f8")]
    return [
        np.ndarray,
        np.dtype,
        *number_types,
        *moved,
        (_HistoryRecord, "mmengine.logging.history_buffer.HistoryBuffer"),
        (_buffer_statistic, "builtins.getattr"),
    ]


def load_restricted(path: str | Path, map_location: Any = "cpu", mmap: bool = False) -> Any:
    """The content of a PyTorch checkpoint file, running nothing that the file brings along.

    Args:
        path: a file written by `torch.save` (mmengine's checkpoints among them).
        map_location: as in `torch.load`.
        mmap: read tensors only when they are used, for those who want the rest.

    Returns:
        What was saved; mmengine's scalar histories come back as fresh `HistoryBuffer`s. `meta['config']`, which
        mmengine's resume would execute as a Python config, is left out.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file asks for a class or function outside of the allow-list (named in the message), is a
            TorchScript archive, is truncated, or is no PyTorch file.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path} does not exist")
    try:
        with safe_globals(_allowed_globals()):
            content = _restore_buffers(torch.load(path, map_location=map_location, weights_only=True, mmap=mmap))
    except UnpicklingError as error:
        raise ValueError(_refusal(path, error)) from None
    # Broken files make torch and the zip reader raise nearly anything; whatever it is, the file is unreadable.
    except Exception as error:
        raise ValueError(_unreadable(path, error)) from error
    if isinstance(content, dict) and isinstance(content.get("meta"), dict):
        content["meta"].pop("config", None)
    return content


def _refusal(path: Path, error: UnpicklingError) -> str:
    """One sentence that names what the file asked for; torch's own text advises to switch the protection off."""
    named = re.findall(r"(?:GLOBAL |but got <class ')([\w.]+\w)", str(error))
    if not named:
        return f"checkpoint {path} cannot be read: it is truncated or no PyTorch checkpoint"
    return (
        f"checkpoint {path} is refused: it asks for {', '.join(sorted(set(named)))}, which a checkpoint of weights "
        "does not need; nothing in it was run. Ask its author for a .safetensors file"
    )


def _unreadable(path: Path, error: Exception) -> str:
    if "TorchScript" in str(error):
        return f"checkpoint {path} is a TorchScript archive, a program; supply its weights as .safetensors or .pth"
    reason = str(error).strip().splitlines()[0] if str(error).strip() else "no message"
    return (
        f"checkpoint {path} cannot be read: it is truncated or no PyTorch checkpoint ({type(error).__name__}: {reason})"
    )


def _restore_buffers(value: Any) -> Any:
    """`value` with every `_HistoryRecord` in it replaced by a real HistoryBuffer, containers kept."""
    if isinstance(value, _HistoryRecord):
        return value.to_buffer()
    if isinstance(value, dict):
        for key in value:
            value[key] = _restore_buffers(value[key])
    elif isinstance(value, list):
        value[:] = [_restore_buffers(item) for item in value]
    elif type(value) is tuple:
        return tuple(_restore_buffers(item) for item in value)
    return value
