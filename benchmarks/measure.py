"""What the benchmarks share: the peak of a process, and the form of their rows.

A row is a dict with `benchmark`, `case` and at least one ratio: `time_ratio` and `memory_ratio` are ours / reference
(below 1 is faster, smaller). Seconds and megabytes stand beside them: `time_s`, `reference_s`, `peak_mb`,
`reference_peak_mb`.
"""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

COLUMNS = ("time_ratio", "memory_ratio", "time_s", "reference_s", "peak_mb", "reference_peak_mb")


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Kilobytes on Linux, bytes on macOS.
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def in_own_process(file: str, function: str, *arguments: object, exact_memory: bool = False) -> dict[str, float]:
    """What `file --one [function, arguments...]` prints as JSON in its last line, from a fresh process.

    Args:
        file: the benchmark.
        function: name of what to measure.
        *arguments: its arguments.
        exact_memory: give freed memory back at once. Without it glibc keeps holes between small blocks, and a peak says
            more about the heap than about the tensors; with it everything is slower.
    """
    environment = dict(os.environ)
    if exact_memory:
        environment |= {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
    command = [sys.executable, file, "--one", json.dumps([function, *arguments])]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    return json.loads(output.splitlines()[-1])


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
