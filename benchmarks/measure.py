"""What the benchmarks share: processes of their own, the peak of a step, and the form of their rows.

A row is a dict with `benchmark`, `case` and at least one ratio: `time_ratio` and `memory_ratio` are ours / reference
(below 1 is faster, smaller). Seconds and megabytes stand beside them: `time_s`, `reference_s`, `peak_mb`,
`reference_peak_mb`.
"""

import ctypes
import json
import multiprocessing
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

COLUMNS = ("time_ratio", "memory_ratio", "time_s", "reference_s", "peak_mb", "reference_peak_mb")


def in_own_process(function: Callable[..., T], *arguments: object) -> T:
    """`function(*arguments)` in a process of its own, so that its memory is, too.

    A fork, which need not import torch again; the caller must not have computed anything with torch before.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        return pool.submit(function, *arguments).result()


def peak_memory_mb(step: Callable[[], object]) -> float:
    """Megabytes that `step` needs at its peak above what is resident before (Linux: read from /proc)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    before = _resident_mb("VmRSS")
    step()
    return _resident_mb("VmHWM") - before


def _resident_mb(field: str) -> float:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"/proc/self/status has no {field}")


def return_freed_memory() -> None:
    """Let glibc give freed blocks back at once, in this process and for good.

    Otherwise it keeps holes between small blocks, and a peak says more about the heap than about the tensors. It makes
    everything slower: not for timing.
    """
    libc, trim_threshold, mmap_threshold = ctypes.CDLL(None), -1, -3
    libc.mallopt(trim_threshold, 0)
    libc.mallopt(mmap_threshold, 65536)


def print_rows(rows: Iterable[Mapping[str, object]]) -> None:
    """One Markdown table; what a row does not have stays empty."""
    print(f"| {'benchmark':<20} | {'case':<34} | " + " | ".join(f"{column:>17}" for column in COLUMNS) + " |")
    print("|" + "---|" * (2 + len(COLUMNS)))
    for row in rows:
        cells = [f"{row[column]:>17.3f}" if column in row else " " * 17 for column in COLUMNS]
        print(f"| {row['benchmark']:<20} | {row['case']:<34} | " + " | ".join(cells) + " |")


def write_rows(rows: Iterable[Mapping[str, object]], path: Path | None) -> None:
    """As JSON, where a path is given."""
    if path is not None:
        path.write_text(json.dumps(list(rows), indent=2) + "\n", encoding="utf-8")
