"""clipplus: seven methods that make CLIP better, sharing one CLIP, on MMEngine.

Importing the package loads nothing heavy; `clipplus.load` and the parts are imported when they are used.
"""

from typing import Any

from clipplus.version import __version__

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    if name == "load":
        from clipplus.clip.inference import load

        return load
    raise AttributeError(f"module 'clipplus' has no attribute '{name}'")
