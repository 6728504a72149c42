"""Scalar histories of bounded length, so that a step costs as much at the end of a month as at its beginning."""

from typing import Any

# Entries that every history keeps at least.
_ENTRIES = 1000


def bound_histories(runner: Any) -> None:
    """Let every history of the message hub keep no more than the log may ask for.

    mmengine keeps a million entries of each scalar, copies all of them at every update (1.3 ms each at a million) and
    saves them with every checkpoint. Histories that appear later, or come with a checkpoint, need another call.
    """
    length = _longest_window(runner.log_processor, runner.train_loop)
    for history in runner.message_hub.log_scalars.values():
        history.max_length = length


def _longest_window(log_processor: Any, loop: Any) -> int:
    named = {"epoch": len(loop.dataloader), "global": loop.max_iters}
    windows = [log_processor.window_size, *(item.get("window_size", 1) for item in log_processor.custom_cfg)]
    return max(_ENTRIES, *(named.get(window, window) for window in windows))
