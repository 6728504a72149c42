"""Run all benchmarks and print one table of ratios.

    python benchmarks/run.py [--only micro_batch train_step] [--json RESULT.json]

Every file beside this one that takes `--json` is a benchmark; each runs in its own process, and one that fails is
named at the end.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import print_rows, write_rows

FOLDER = Path(__file__).parent


def benchmarks() -> list[str]:
    """Names of all benchmarks."""
    names = (file.stem for file in sorted(FOLDER.glob("*.py")) if '"--json"' in file.read_text(encoding="utf-8"))
    return [name for name in names if name != Path(__file__).stem]


def run(name: str) -> list[dict]:
    """Rows of one benchmark; its own output is shown while it runs.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "rows.json"
        subprocess.run([sys.executable, str(FOLDER / f"{name}.py"), "--json", str(result)], check=True)
        return json.loads(result.read_text(encoding="utf-8"))


def main() -> None:
    """Run, print, and say what failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=benchmarks(), default=benchmarks(), help="which of them")
    parser.add_argument("--json", type=Path, help="write all rows here as well")
    arguments = parser.parse_args()
    rows, failed = [], []
    for name in arguments.only:
        start = time.perf_counter()
        try:
            rows += run(name)
        except subprocess.CalledProcessError as error:
            failed.append(f"{name} (exit code {error.returncode})")
        print(f"{name}: {time.perf_counter() - start:.0f} s\n", flush=True)
    print_rows(rows)
    write_rows(rows, arguments.json)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
