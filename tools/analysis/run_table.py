"""Make a table of comparison: rows x data x seeds, each cell one training, over as many sittings as it takes.

Examples:
    python tools/analysis/run_table.py docs/results/clip_losses/table.yml      # run what is missing
    python tools/analysis/run_table.py TABLE.yml --minutes 30                  # as much as fits in half an hour
    python tools/analysis/run_table.py TABLE.yml --only 'sigmoid/*/0'          # ROW/DATA/SEED, shell patterns
    python tools/analysis/run_table.py TABLE.yml --dry-run                     # what would run, and how long
    python tools/analysis/run_table.py TABLE.yml --print                       # the table alone

Results go to docs/results/<name>/: a JSON file per finished cell, and the table as README.md. A cell that was stopped
goes on from its newest checkpoint. See docs/tables.md.
"""

import argparse
import fcntl
import os
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from comparison.cells import ROOT, Plan, Results, make_plans, select
from comparison.report import format_table
from comparison.table_file import Cell, Table, read_table
from comparison.training import StopSwitch, Training, TrainingError, write_json

from clipplus.checkpoints.atomic import written_aside

TRAINER = ROOT / "tools" / "train.py"


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, help="table file, see docs/tables.md")
    parser.add_argument("--minutes", type=float, help="end before a cell that would probably not fit in this time")
    parser.add_argument("--only", metavar="ROW/DATA/SEED", help="shell patterns; starts of these cells run too")
    parser.add_argument("--redo", action="store_true", help="run cells again whose config the table has changed")
    parser.add_argument("--work-dir", type=Path, help="of checkpoints and logs (default: work_dirs/tables/<name>)")
    parser.add_argument("--results", type=Path, help="of results (default: docs/results/<name> of the checkout)")
    alone = parser.add_mutually_exclusive_group()
    alone.add_argument("--dry-run", action="store_true", help="list all cells with their state, run nothing")
    alone.add_argument("--print", action="store_true", help="print the table, run nothing")
    return parser.parse_args(argv)


class Sitting:
    """Runs the cells of a table that are due, one after the other.

    Args:
        table: the comparison.
        plans: its cells.
        results: their result files.
        work_dir: folder of all trainings.
        trainer: script that is called like tools/train.py.
        redo: run stale cells again.
    """

    def __init__(
        self, table: Table, plans: Mapping[Cell, Plan], results: Results, work_dir: Path, trainer: Path, redo: bool
    ) -> None:
        self.table, self.plans, self.results, self.redo = table, plans, results, redo
        self.work_dir, self.trainer = work_dir, trainer
        self.failed: dict[Cell, str] = {}
        self.switch = StopSwitch()

    def training(self, plan: Plan) -> Training:
        """The training of a cell in its folder."""
        cell = plan.cell
        start = self.training(plan.start) if plan.start is not None else None
        return Training(plan, self.work_dir / cell.row / cell.data / f"seed{cell.seed}", self.trainer, start)

    def is_due(self, plan: Plan) -> bool:
        """Whether a cell has to run for its own sake."""
        state = self.results.state(plan)
        return state == "missing" or (state == "stale" and self.redo)

    def due(self, chosen: list[Plan]) -> list[Plan]:
        """The cells to run in their order; starts whose checkpoint is gone come before what needs them."""
        order: dict[Cell, Plan] = {}
        for plan in chosen:
            if self.is_due(plan):
                self._add_with_start(plan, order)
        return list(order.values())

    def _add_with_start(self, plan: Plan, order: dict[Cell, Plan]) -> None:
        start = plan.start
        if start is not None:
            training = self.training(start)
            if training.checkpoint() is None or training.metrics() is None:
                self._add_with_start(start, order)
        order.setdefault(plan.cell, plan)

    def estimate(self, plan: Plan) -> float:
        """Seconds that a cell will probably take: as its kind took before, or the budget; less what is done."""
        records = {cell: record for cell in self.plans if (record := self.results.read(cell)) is not None}
        same = [r["seconds"] for cell, r in records.items() if (cell.row, cell.data) == (plan.cell.row, plan.cell.data)]
        near = [r["seconds"] for cell, r in records.items() if cell.data == plan.cell.data]
        whole = statistics.fmean(same) if same else max(near, default=60 * self.table.budget_minutes)
        return max(0.0, whole - self.training(plan).seconds())

    def run(self, chosen: list[Plan], minutes: float | None) -> None:
        """Run what is due, until it is done, time is up or a signal comes."""
        begun = time.monotonic()
        due = self.due(chosen)
        for number, plan in enumerate(due, start=1):
            expected = self.estimate(plan)
            left = None if minutes is None else 60 * minutes - (time.monotonic() - begun)
            if left is not None and expected > left:
                print(f"{plan.cell} would take {_minutes(expected)}, {_minutes(left)} are left: the sitting ends")
                return
            if self.switch.signum is not None:
                return
            if plan.start is not None and plan.start.cell in self.failed:
                self._fail(plan.cell, f"its start {plan.start.cell} failed")
                continue
            print(f"[{number}/{len(due)}] {plan.cell}: about {_minutes(expected)}", flush=True)
            if not self._run_cell(plan):
                return

    def _run_cell(self, plan: Plan) -> bool:
        """False when the sitting was asked to end."""
        try:
            record = self.training(plan).run(self.switch)
        except TrainingError as error:
            self._fail(plan.cell, str(error))
            return True
        if record is None:
            print(f"{plan.cell}: stopped; the next sitting goes on with it", flush=True)
            return False
        missing = [key for key in self.table.data[plan.cell.data].metrics if key not in record["metrics"]]
        if missing:
            known = ", ".join(record["metrics"])
            self._fail(plan.cell, f"{self.table.file}: data '{plan.cell.data}': no metric {missing[0]!r} among {known}")
            return True
        write_json(self.results.path(plan.cell), record)
        write_page(self.table, self.plans, self.results)
        print(f"{plan.cell}: finished in {_minutes(record['seconds'])}", flush=True)
        return True

    def _fail(self, cell: Cell, message: str) -> None:
        self.failed[cell] = message
        print(f"{cell}: FAILED: {message}", flush=True)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Only one sitting writes results into a folder; the system frees the lock of a process that died.

    Raises:
        ValueError: another sitting is at work.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(f"another sitting is at work on {folder}: wait for it or end it") from error
        yield
    finally:
        os.close(handle)


def write_page(table: Table, plans: Mapping[Cell, Plan], results: Results) -> None:
    """README.md of the results."""
    file = table.file.resolve()
    named = file.relative_to(ROOT) if file.is_relative_to(ROOT) else table.file
    note = f"<!-- Written by `python tools/analysis/run_table.py {named}`; do not edit. -->\n"
    with written_aside(results.folder / "README.md") as partial:
        partial.write_text(note + format_table(table, plans, results), encoding="utf-8")


def list_cells(sitting: Sitting, chosen: list[Plan]) -> str:
    """What a sitting would do, a line per cell."""
    due = sitting.due(chosen)
    lines, total = [], 0.0
    listed = {plan.cell: plan for plan in [*chosen, *due]}
    for cell, plan in sitting.plans.items():
        if cell not in listed:
            continue
        text = sitting.results.state(plan)
        if plan in due:
            total += (expected := sitting.estimate(plan))
            spent = sitting.training(plan).seconds()
            text += f", {_minutes(spent)} spent" if spent else ""
            text += f", runs about {_minutes(expected)}"
        elif text == "stale":
            text += ", --redo runs it again"
        lines.append(f"{cell}: {text}")
    return "\n".join([*lines, f"{len(due)} to run, about {_minutes(total)}"])


def main(argv: list[str] | None = None, trainer: Path = TRAINER) -> int:
    """Run, list or print a table.

    Args:
        argv: arguments.
        trainer: script that is called like tools/train.py.

    Returns:
        Exit code: 0, 1 after a failed cell, 128 + signal after a signal.
    """
    arguments = parse_arguments(argv)
    table = read_table(arguments.table)
    plans = make_plans(table)
    results = Results((arguments.results or ROOT / "docs" / "results" / table.name).resolve(), table)
    work_dir = (arguments.work_dir or Path("work_dirs") / "tables" / table.name).resolve()
    if arguments.print:
        print(format_table(table, plans, results), end="")
        return 0
    chosen = select(plans, arguments.only)
    sitting = Sitting(table, plans, results, work_dir, trainer, arguments.redo)
    if arguments.dry_run:
        print(list_cells(sitting, chosen))
        return 0
    with locked(results.folder), sitting.switch:
        sitting.run(chosen, arguments.minutes)
        write_page(table, plans, results)
    print(f"\n{format_table(table, plans, results)}", end="")
    stale = [str(plan.cell) for plan in chosen if results.state(plan) == "stale"]
    if stale:
        print(f"\nstale, run again with --redo: {', '.join(stale)}")
    if sitting.failed:
        print(f"\nfailed: {', '.join(map(str, sitting.failed))}")
    if sitting.switch.signum is not None:
        return 128 + sitting.switch.signum
    return 1 if sitting.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (FileNotFoundError, ValueError) as problem:
        sys.stderr.write(f"error: {problem}\n")
        sys.exit(2)
