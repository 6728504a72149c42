"""A config is laid out once, not for every checkpoint.

mmengine lays the config's text out with yapf for its log and for each checkpoint that it writes: 17 ms and more each,
half of the time of a fit on stored features that validates 20 times. The text is the same each time.
"""

import importlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

# A run has one config; its tests and tables some more.
_TEXTS = 8


def remember_layouts() -> None:
    """Make mmengine look up a text that it has laid out before. What it writes stays the same to the last letter."""
    module: Any = importlib.import_module("mmengine.config.config")
    if not hasattr(module.FormatCode, "plain"):
        module.FormatCode = _remembering(module.FormatCode)


def _remembering(lay_out: Callable[..., Any]) -> Callable[..., Any]:
    options: dict[str, dict[str, Any]] = {}

    @lru_cache(maxsize=_TEXTS)
    def remembered(text: str, key: str) -> Any:
        return lay_out(text, **options[key])

    def look_up(text: str, **style: Any) -> Any:
        # The style is a dict, which no cache can take as a key.
        key = repr(sorted(style.items()))
        options.setdefault(key, style)
        return remembered(text, key)

    look_up.plain = lay_out  # type: ignore[attr-defined]
    return look_up
