"""Filling one tower from a file that may hold two: keys and shapes are checked all at once."""

import logging
from collections.abc import Mapping

from mmengine.logging import print_log
from torch import Tensor, nn

from clipplus.checkpoints import WeightFile


def load_tower(tower: nn.Module, file: WeightFile, weights: Mapping[str, Tensor], label: str) -> None:
    """Copy `weights` into `tower`, or say everything that does not fit in one error.

    Args:
        tower: receives the weights.
        file: names the source in messages.
        weights: the part of the file that belongs to this tower, under the tower's own key names.
        label: how messages call the tower.

    Raises:
        ValueError: missing keys, keys the tower does not have, or other shapes; the tower is unchanged.
    """
    wanted = tower.state_dict()
    missing = sorted(wanted.keys() - weights.keys())
    unknown = sorted(weights.keys() - wanted.keys())
    shapes = sorted(
        f"{key} {tuple(weights[key].shape)} for {tuple(wanted[key].shape)}"
        for key in wanted.keys() & weights.keys()
        if weights[key].shape != wanted[key].shape
    )
    if missing or unknown or shapes:
        raise ValueError(
            f"{file.path} does not fit {label}: {_few('missing', missing)}; {_few('unknown', unknown)}; "
            f"{_few('other shapes', shapes)}"
        )
    tower.load_state_dict(dict(weights), strict=True)
    print_log(f"{label} starts from {file.path}", logger="current", level=logging.INFO)


def _few(what: str, names: list[str], limit: int = 4) -> str:
    """'3 missing (a, b, c)', with the rest counted."""
    shown = ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")
    return f"{len(names)} {what}" + (f" ({shown})" if names else "")
