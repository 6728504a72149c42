"""Markdown tables of what is finished: means, deviations, paired differences, and what is missing."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from clipplus.markdown import markdown_table, mean_and_deviation
from comparison.cells import Plan, Results
from comparison.table_file import Cell, DataSet, Table

Records = Mapping[Cell, Mapping[str, Any]]


def paired_difference(values: Mapping[int, float], baseline: Mapping[int, float]) -> str:
    """Mean and deviation of the differences seed by seed, and how many of them have the sign of the mean.

    Args:
        values: seed -> percent of the row.
        baseline: the same of the baseline; seeds that only one of them has do not count.

    Returns:
        `+1.50 ± 0.50 (3 of 3)`, or 'missing' without a common seed.
    """
    differences = [values[seed] - baseline[seed] for seed in sorted(values.keys() & baseline.keys())]
    if not differences:
        return "missing"
    mean = statistics.fmean(differences)
    agree = sum((difference > 0) - (difference < 0) == (mean > 0) - (mean < 0) for difference in differences)
    return f"{mean_and_deviation(differences, '+')} ({agree} of {len(differences)})"


def format_table(table: Table, plans: Mapping[Cell, Plan], results: Results) -> str:
    """All tables of a comparison, one section per data set, and where the numbers come from."""
    states = {cell: results.state(plan) for cell, plan in plans.items()}
    records: dict[Cell, Mapping[str, Any]] = {}
    for cell, state in states.items():
        record = results.read(cell)
        if state == "finished" and record is not None:
            records[cell] = record
    sections = [f"# {table.title}"]
    for data in table.data.values():
        sections.append(f"## {data.name}\n\n{_results(table, data, records, states)}")
        if table.baseline is not None and len(table.rows) > 1:
            heading = f"Difference to {table.baseline}, seed by seed (in brackets: seeds with the sign of the mean):"
            sections.append(f"{heading}\n\n{_differences(table, data, records)}")
    sections.append(f"## How it was made\n\n{_origin(table, records, states)}")
    return "\n\n".join(sections) + "\n"


def _results(table: Table, data: DataSet, records: Records, states: Mapping[Cell, str]) -> str:
    lines = [["row", *(f"{metric} (%)" for metric in data.metrics), "seeds", "minutes per run"]]
    for row in table.rows:
        cells = [Cell(row, data.name, seed) for seed in table.seeds]
        found = [records[cell] for cell in cells if cell in records]
        means = [
            mean_and_deviation([record["metrics"][metric] for record in found]) if found else "missing"
            for metric in data.metrics
        ]
        stale = sum(states[cell] == "stale" for cell in cells)
        count = f"{len(found)} of {len(cells)}" + (f", {stale} stale" if stale else "")
        lines.append([row, *means, count, _minutes(table, found)])
    return markdown_table(lines)


def _minutes(table: Table, found: Sequence[Mapping[str, Any]]) -> str:
    """Mean time of a run; what its start took; which seeds were over the budget."""
    if not found:
        return "missing"
    text = f"{statistics.fmean(record['seconds'] for record in found) / 60:.1f}"
    starts = [record["start"] for record in found if record.get("start")]
    if starts:
        text += f" + {statistics.fmean(start['seconds'] for start in starts) / 60:.1f} for {starts[0]['row']}"
    over = [str(record["seed"]) for record in found if record["seconds"] > 60 * table.budget_minutes]
    if over:
        text += f" **over {table.budget_minutes:g}: seed {', '.join(over)}**"
    return text


def _differences(table: Table, data: DataSet, records: Records) -> str:
    def by_seed(row: str, metric: str) -> dict[int, float]:
        cells = (Cell(row, data.name, seed) for seed in table.seeds)
        return {cell.seed: records[cell]["metrics"][metric] for cell in cells if cell in records}

    lines = [["row", *data.metrics]]
    for row in table.rows:
        if row != table.baseline:
            pairs = [
                paired_difference(by_seed(row, metric), by_seed(str(table.baseline), metric)) for metric in data.metrics
            ]
            lines.append([row, *pairs])
    return markdown_table(lines)


def _origin(table: Table, records: Records, states: Mapping[Cell, str]) -> str:
    """Numbers that were not made alike should not pass for it: every difference shows here."""
    lines = [f"{len(records)} of {len(states)} runs are finished."]
    for state in ("missing", "stale"):
        names = [str(cell) for cell, of in states.items() if of == state]
        if names:
            why = " (the table's config is another one now; --redo runs them again)" if state == "stale" else ""
            lines.append(f"{state.capitalize()}{why}: {', '.join(names)}.")
    sittings = [sitting for record in records.values() for sitting in record.get("sittings", [])]
    facts = {
        "code": (_revision(sitting) for sitting in sittings),
        "versions": (_join(record.get("versions", {})) for record in records.values()),
        "machine": (_join(record.get("machine", {})) for record in records.values()),
    }
    for data in table.data:
        facts[f"annotations of {data}"] = [
            _join({name: str(digest)[:12] for name, digest in record["data_fingerprint"].items()})
            for cell, record in records.items()
            if cell.data == data and record.get("data_fingerprint")
        ]
    bullets = [f"* {name}: {'; or '.join(values)}" for name, of in facts.items() if (values := sorted(set(of)))]
    text = "\n".join(lines)
    return f"{text}\n\n" + "\n".join(bullets) if bullets else text


def _revision(sitting: Mapping[str, Any]) -> str:
    if sitting.get("revision") is None:
        return "no git"
    return sitting["revision"][:12] + (" with uncommitted changes" if sitting["dirty"] else "")


def _join(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())
