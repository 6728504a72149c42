"""The end of an error about an unknown name: which known one is near."""

import difflib
from collections.abc import Iterable


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """The hint " (did you mean 'shapes'?)", or nothing when no known name is near.

    Args:
        name: what was found.
        known: what could have been meant.
    """
    near = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return f" (did you mean '{near[0]}'?)" if near else ""
