"""Repairs of released host libraries: needed as long as upstream is broken, doing nothing where it is not.

A method calls `prepare('mmseg')` before it imports its host. Checkpoint loading under torch >= 2.6 is repaired by
`clipplus.engine.loading`.
"""

from collections.abc import Callable
from typing import Literal

from clipplus.hosts.mmaction_drn import repair_mmaction_drn
from clipplus.hosts.mmaction_multimodal import repair_mmaction_multimodal
from clipplus.hosts.mmcv_ext import repair_mmcv_ext

Host = Literal["mmpretrain", "mmseg", "mmaction"]

#: What each host needs, in order.
REPAIRS: dict[Host, tuple[Callable[[], bool], ...]] = {
    "mmpretrain": (),
    "mmseg": (repair_mmcv_ext,),
    "mmaction": (repair_mmaction_drn, repair_mmaction_multimodal),
}


def prepare(host: Host) -> list[str]:
    """Make a host importable.

    Returns:
        Names of the repairs that were needed.

    Raises:
        ValueError: unknown host.
    """
    if host not in REPAIRS:
        raise ValueError(f"unknown host '{host}'; known: {', '.join(REPAIRS)}")
    return [repair.__name__ for repair in REPAIRS[host] if repair()]


def describe(name: str) -> str:
    """The first line about a repair, by its name."""
    found = next(repair for repairs in REPAIRS.values() for repair in repairs if repair.__name__ == name)
    return (found.__doc__ or "").strip().splitlines()[0]


__all__ = ["REPAIRS", "describe", "prepare", "repair_mmaction_drn", "repair_mmaction_multimodal", "repair_mmcv_ext"]
