"""The table of accuracy over shots, in Markdown and as comma-separated values, and what is published beside it."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from mmengine.fileio import load

from clipplus.checkpoints.atomic import written_aside
from clipplus.markdown import markdown_table, mean_and_deviation
from clipplus.methods.ape.pictures import draw_accuracy_over_shots
from clipplus.methods.ape.table import Cell, Table

Records = Mapping[Cell, Mapping[str, Any]]

_COLUMNS = ("data", "set", "config", "shots", "seed", "top1", "zero_shot", "alpha", "beta", "gamma", "val", "seconds")
_SHOTS = re.compile(r"_\d+shot")


def finished_records(table: Table) -> dict[Cell, dict[str, Any]]:
    """The results that fit the configs as they are now."""
    records = {cell: table.record(cell) for cell in table.configs if table.state(cell) == "finished"}
    return {cell: record for cell, record in records.items() if record is not None}


def write_report(table: Table) -> str:
    """Write README.md, its pictures and table.csv into the table's folder, and return the first."""
    text, records = format_table(table), finished_records(table)
    for data, name in _tested(table, records):
        picture = draw_accuracy_over_shots(_title(data, name), accuracy_curves(records, data, name))
        with written_aside(table.folder / _picture(data, name)) as partial:
            picture.save(partial)
    for file, content in (("README.md", text), ("table.csv", format_csv(records))):
        with written_aside(table.folder / file) as partial:
            partial.write_text(content, encoding="utf-8")
    return text


def format_csv(records: Records) -> str:
    """One line per cell and test set."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for cell, record in records.items():
        search = record.get("search") or {}
        for name in _sets(record):
            writer.writerow(
                dict(
                    data=cell.data, set=name, config=cell.config.stem, shots=cell.shots, seed=cell.seed,
                    top1=record["metrics"][f"{name}/top1"], zero_shot=record["metrics"][f"{name}/zero_shot"],
                    val=search.get("accuracy"), seconds=record["seconds"], **(search.get("best") or {}),
                )
            )  # fmt: skip
    return text.getvalue()


def format_table(table: Table) -> str:
    """A table per test set, rows by config and columns by shots, and where the numbers come from."""
    records = finished_records(table)
    sections = []
    seen: set[str] = set()
    for data, name in _tested(table, records):
        rows = _rows([cell for cell in table.configs if cell.data == data], records, name, data not in seen)
        seen.add(data)
        sections.append(
            f"## {_title(data, name)}\n\nTop-1 (%) over shots per class.\n\n{rows}\n\n"
            f"![accuracy over shots]({_picture(data, name)})"
        )
    sections.append(f"## How it was made\n\n{_origin(table, records)}")
    return "\n\n".join(sections) + "\n"


def _tested(table: Table, records: Records) -> list[tuple[str, str]]:
    """Data and test set of every table there is something for."""
    return list(
        dict.fromkeys((cell.data, name) for cell in table.configs if cell in records for name in _sets(records[cell]))
    )


def _title(data: str, name: str) -> str:
    return data if name == data else f"{data}, tested on {name}"


def _picture(data: str, name: str) -> str:
    return f"{data}-{name}.png"


def accuracy_curves(records: Records, data: str, name: str) -> dict[str, dict[int, list[float]]]:
    """Row -> shots -> accuracies of all seeds, zero-shot under 0 shots: what a picture of the table shows."""
    cells = [cell for cell in records if cell.data == data and f"{name}/top1" in records[cell]["metrics"]]
    curves: dict[str, dict[int, list[float]]] = {}
    labels = row_labels([cell.config for cell in cells])
    for label, values in _zero_shot(cells, records, name, labels).items():
        curves[label] = {0: values}
    for cell in cells:
        of_row = curves.setdefault(labels[cell.config], {})
        of_row.setdefault(cell.shots, []).append(records[cell]["metrics"][f"{name}/top1"])
    return curves


def row_labels(configs: Sequence[Path]) -> dict[Path, str]:
    """The method with its option ('tip-adapter-cupl'); where that is unclear, the config's name without the shots."""
    short = {
        config: config.stem.split("_")[0] + "".join(re.findall(r"shot(-[a-z-]+)_", config.stem)) for config in configs
    }
    clear = len(set(short.values())) == len(short)
    return short if clear else {config: _SHOTS.sub("", config.stem) for config in configs}


def _rows(cells: Sequence[Cell], records: Records, name: str, with_published: bool) -> str:
    shots = sorted({cell.shots for cell in cells})
    seeds = {cell.seed for cell in cells}
    labels = row_labels(list(dict.fromkeys(cell.config for cell in cells)))
    lines = [["method", *map(str, shots)]]
    found = [cell for cell in cells if cell in records]
    for label, values in _zero_shot(found, records, name, labels).items():
        lines.append([label, *[mean_and_deviation(values[:1])] * len(shots)])
    published: list[list[str]] = []
    for config, label in labels.items():
        line, chosen_on_test = [label], False
        for k in shots:
            own = [records[cell] for cell in found if (cell.config, cell.shots) == (config, k)]
            text = mean_and_deviation([record["metrics"][f"{name}/top1"] for record in own]) if own else "missing"
            line.append(text + (f" ({len(own)} of {len(seeds)})" if own and len(own) < len(seeds) else ""))
            chosen_on_test |= any((record.get("search") or {}).get("search_on_test") for record in own)
        line[0] += " (chosen on test)" if chosen_on_test else ""
        lines.append(line)
        numbers = published_numbers(config) if with_published else {}
        if "Zero" in numbers and not published:
            published.append(["zero-shot, published", *[f"{numbers['Zero']:.2f}"] * len(shots)])
        if any(str(k) in numbers for k in shots):
            texts = [f"{numbers[str(k)]:.2f}" if str(k) in numbers else "" for k in shots]
            published.append([f"{label}, published", *texts])
    return markdown_table([*lines, *published])


def _zero_shot(
    cells: Sequence[Cell], records: Records, name: str, labels: Mapping[Path, str]
) -> dict[str, list[float]]:
    """Zero-shot accuracy, one row per kind of texts: methods may be configured with different ones."""
    values: dict[float, list[str]] = {}
    for cell in cells:
        rows = values.setdefault(records[cell]["metrics"][f"{name}/zero_shot"], [])
        if labels[cell.config] not in rows:
            rows.append(labels[cell.config])
    if len(values) == 1:
        return {"zero-shot": list(values)}
    return {f"zero-shot (texts of {', '.join(rows)})": [value] for value, rows in values.items()}


def published_numbers(config: Path) -> dict[str, float]:
    """Published top-1 by shots ('Zero', '1', '16', ...) from the metafile beside a config; empty without any."""
    path = config.parent / "metafile.yml"
    entry = _entries(path).get(config.stem) if path.is_file() else None
    metrics: dict[str, float] = {}
    for result in (entry or {}).get("Results") or ():
        for name, value in result["Metrics"].items():
            if found := re.fullmatch(r"(\w+)-Shot Top 1 Accuracy", name):
                metrics[found[1]] = float(value)
    return metrics


@lru_cache(maxsize=8)
def _entries(path: Path) -> dict[str, Any]:
    return {entry["Name"]: entry for entry in load(str(path))["Models"]}


def _sets(record: Mapping[str, Any]) -> list[str]:
    return [name.removesuffix("/top1") for name in record["metrics"] if name.endswith("/top1")]


def _origin(table: Table, records: Records) -> str:
    """Numbers that were not made alike should not pass for it."""
    lines = [
        f"{len(records)} of {len(table.configs)} fits are finished; ± is the sample standard deviation over seeds."
    ]
    stale = [str(cell) for cell in table.configs if table.state(cell) == "stale"]
    if stale:
        lines.append(f"Stale (another config or start now; --redo runs them again): {'; '.join(stale)}.")
    published = any(published_numbers(cell.config) for cell in table.configs)
    if published:
        lines.append("Published rows are one run each of the authors, on other draws of the shots.")
    facts = {
        "code": {_revision(record["git"]) for record in records.values()},
        "versions": {_join(record["versions"]) for record in records.values()},
        "machine": {_join(record["machine"]) for record in records.values()},
        "time": {f"{sum(record['seconds'] for record in records.values()) / 60:.1f} minutes in all"} if records else (),
    }
    bullets = [f"* {name}: {'; or '.join(sorted(values))}" for name, values in facts.items() if values]
    return "\n".join(lines) + "\n\n" + "\n".join(bullets)


def _revision(git: Mapping[str, Any]) -> str:
    if git.get("revision") is None:
        return "no git"
    return git["revision"][:12] + (" with uncommitted changes" if git["dirty"] else "")


def _join(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())
