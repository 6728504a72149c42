"""Signals that ask a training to stop: noted when they come, agreed on by all ranks where the run can be saved."""

import signal
from collections.abc import Sequence
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import _get_default_store

from clipplus.did_you_mean import did_you_mean

_KEY = "clipplus_asked_to_stop"


class StopRequest:
    """Whether the run was asked to stop, by a signal to any of its ranks.

    The handler only sets a flag: a second signal, in whatever the first one set off, changes nothing.

    Args:
        names: of the signals, e.g. 'SIGTERM'.

    Raises:
        ValueError: a name that is no signal of this system.
    """

    def __init__(self, names: Sequence[str]) -> None:
        known = {each.name for each in signal.Signals}
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ValueError(f"no signal is called '{unknown[0]}'{did_you_mean(unknown[0], known)}")
        self._numbers = [signal.Signals[name] for name in names]
        self._before: dict[int, Any] = {}
        self._group: Any = None
        self._mine = 0

    def listen(self) -> None:
        """Take the signals over; every rank must call it."""
        self._mine = 0
        if _several_ranks() and self._group is None and dist.get_backend() != "gloo":
            # Asking through the GPU would wait for all the work that it was given.
            self._group = dist.new_group(backend="gloo")
        for number in self._numbers:
            self._before.setdefault(number, signal.signal(number, self._note))

    def stop_listening(self) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before.clear()

    def ignore(self) -> None:
        """From now on nothing may ask again."""
        for number in self._numbers:
            signal.signal(number, signal.SIG_IGN)

    def agreed(self) -> int:
        """Number of a signal that some rank got, the same on all ranks, or 0; every rank must call it."""
        if not _several_ranks() or not self._numbers:
            return self._mine
        flag = torch.tensor(self._mine, dtype=torch.int32)
        dist.all_reduce(flag, dist.ReduceOp.MAX, group=self._group)
        return int(flag)

    def heard(self) -> int:
        """Number of a signal that this rank got, or that another one announced, or 0; without waiting for anybody.

        For where ranks do not go in step, as in validation. This rank's own is announced.
        """
        if not _several_ranks() or not self._numbers:
            return self._mine
        store = _get_default_store()
        try:
            if self._mine:
                store.set(_KEY, str(int(self._mine)))
            elif store.check([_KEY]):
                return int(store.get(_KEY))
        except RuntimeError:
            # Whoever kept the store is gone, and what it knew.
            pass
        return self._mine

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._mine = number


def _several_ranks() -> bool:
    return dist.is_initialized() and dist.get_world_size() > 1
