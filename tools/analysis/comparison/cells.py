"""From a cell of a table to one resolved config, and what is known of its state."""

import argparse
import fnmatch
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction

from clipplus.checkpoints import fingerprint
from clipplus.checkpoints.provenance import annotation_fingerprints
from clipplus.did_you_mean import did_you_mean
from comparison.table_file import Cell, Table

ROOT = Path(__file__).resolve().parents[3]

# What watches a training (files, logs, pictures) or comes after it: neither what it learns nor its validation changes.
_NO_PART = (
    "default_hooks", "log_level", "log_processor", "test_cfg", "test_dataloader", "test_evaluator", "vis_backends",
    "visualizer", "work_dir",
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """A cell with everything that determines its result.

    Attributes:
        cell: row, data, seed.
        config: config file, absolute.
        options: config key -> value as text, without those that name a start's checkpoint.
        start: plan of the cell whose checkpoint this one starts from.
        start_options: config keys that get its path.
        fingerprint: of the resolved config, without what has no part in the training, and of the start's.
        data_fingerprint: annotation file -> SHA-256 of its content (None: not there), for configs that name some.
    """

    cell: Cell
    config: Path
    options: Mapping[str, str]
    start: "Plan | None"
    start_options: tuple[str, ...]
    fingerprint: str
    data_fingerprint: Mapping[str, str | None]


def make_plans(table: Table) -> dict[Cell, Plan]:
    """All cells in the order in which they are run: seed by seed, a start before what starts from it.

    Raises:
        FileNotFoundError: a config that does not exist.
        ValueError: an option that the config does not have.
    """
    plans: dict[Cell, Plan] = {}
    for seed in table.seeds:
        for data in table.data:
            for row in table.rows:
                _add_plan(table, Cell(row, data, seed), plans)
    return plans


def _add_plan(table: Table, cell: Cell, plans: dict[Cell, Plan]) -> Plan:
    if cell in plans:
        return plans[cell]
    row, data = table.rows[cell.row], table.data[cell.data]
    start = _add_plan(table, Cell(row.start, cell.data, cell.seed), plans) if row.start else None
    own = row.config.get(cell.data) if isinstance(row.config, Mapping) else row.config
    path = ROOT / str(own or data.config)
    where = f"{table.file}: row '{row.name}', data '{data.name}'"
    if not path.is_file():
        raise FileNotFoundError(f"{where}: config {path} does not exist (paths are relative to the checkout)")
    values = {**data.options, **row.options, "randomness.seed": cell.seed}
    options = {key: _as_text(value) for key, value in values.items()}
    config = _resolve(path, values, row.start_options, where)
    _check_sets(config, data.metrics, f"{table.file}: data '{data.name}'")
    # By way of JSON, so that a tuple and the list that a config dump makes of it are the same.
    parts = {key: value for key, value in config.to_dict().items() if key not in _NO_PART}
    settings = json.loads(json.dumps(parts, default=repr))
    origin = [start.fingerprint, sorted(row.start_options)] if start else None
    data_fingerprint = annotation_fingerprints(settings)
    plan = Plan(cell, path, options, start, row.start_options, fingerprint([settings, origin]), data_fingerprint)
    plans[cell] = plan
    return plan


def as_arguments(options: Mapping[str, str]) -> list[str]:
    """`key=value`, as after --cfg-options."""
    return [f"{key}={value}" for key, value in options.items()]


def _as_text(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_as_text, value))}]"
    return str(value)


def _survives(value: Any, parsed: Any) -> bool:
    """Whether the command line hands a value on as it is; text of a number may arrive as that number."""
    if isinstance(value, list) and isinstance(parsed, list):
        return len(value) == len(parsed) and all(map(_survives, value, parsed))
    if isinstance(value, str) and (parsed is None or isinstance(parsed, bool | int | float)):
        return True
    return bool(value == parsed)


def _check_sets(config: Config, metrics: Iterable[str], where: str) -> None:
    """A misspelt set of a metric should not show itself after the training only."""
    evaluator = config.get("val_evaluator")
    sets = evaluator.get("sets") if isinstance(evaluator, dict) else None
    for metric in metrics:
        name = metric.split("/")[0]
        if sets and name not in sets:
            raise ValueError(
                f"{where}: metric '{metric}': val_evaluator has no set '{name}'; known: {', '.join(sets)}"
                f"{did_you_mean(name, sets)}"
            )


def _resolve(path: Path, values: Mapping[str, Any], start_options: tuple[str, ...], where: str) -> Config:
    """The config as tools/train.py will see it, without importing what it trains."""
    config = Config.fromfile(path, import_custom_modules=False)
    unknown = [key for key in (*values, *start_options) if key.split(".")[0] not in config]
    if unknown:
        # Costs seconds to import, and only this case needs it.
        from clipplus.engine.launch import require_known_options

        try:
            require_known_options(config, unknown)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=DictAction)
    # What the child parses, parsed here: '1e-3' is a number to both.
    options = {key: _as_text(value) for key, value in values.items()}
    try:
        parsed = parser.parse_args(["--cfg-options", *as_arguments(options)]).cfg_options
        config.merge_from_dict(parsed)
    except (KeyError, IndexError, TypeError, AssertionError) as error:
        raise ValueError(f"{where}: cfg_options do not fit {path.name}: {error}") from error
    for key, value in values.items():
        if not _survives(value, parsed[key]):
            raise ValueError(
                f"{where}: cfg_options {key}: {value!r} would reach the training as {parsed[key]!r} (--cfg-options "
                "drops blanks in lists and splits at commas): put it into a config file"
            )
    if all(hook.get("type") != "ResultTableHook" for hook in config.get("custom_hooks", [])):
        raise ValueError(f"{where}: custom_hooks of {path.name} need a ResultTableHook, which writes the metrics")
    return config


def select(plans: Mapping[Cell, Plan], pattern: str | None) -> list[Plan]:
    """The plans whose `row/data/seed` fits a shell pattern; parts left out at the end fit everything.

    Raises:
        ValueError: a pattern that fits nothing.
    """
    full = "/".join([*(pattern or "*").split("/"), "*", "*"][: max(3, (pattern or "").count("/") + 1)])
    chosen = [plan for plan in plans.values() if fnmatch.fnmatchcase(str(plan.cell), full)]
    if not chosen:
        cells = ", ".join(map(str, list(plans)[:3]))
        raise ValueError(f"--only {pattern}: no cell ROW/DATA/SEED fits; cells are {cells}, ...")
    return chosen


class Results:
    """The result files of a table, one per finished cell.

    Args:
        folder: docs/results/<name>.
        table: their table.
    """

    def __init__(self, folder: Path, table: Table) -> None:
        self.folder, self.table = folder, table

    def path(self, cell: Cell) -> Path:
        """Result file of a cell."""
        return self.folder / f"{cell.data}--{cell.row}--seed{cell.seed}.json"

    def read(self, cell: Cell) -> dict[str, Any] | None:
        """The record of a cell, None if it was never finished.

        Raises:
            ValueError: a file that is no result.
        """
        path = self.path(cell)
        if not path.is_file():
            return None
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            missing = {"metrics", "seconds", "config_fingerprint"} - record.keys()
        except (json.JSONDecodeError, AttributeError) as error:
            raise ValueError(f"{path} is not a result, delete it to run {cell} again: {error}") from error
        missing |= set(self.table.data[cell.data].metrics) - record.get("metrics", {}).keys()
        if missing:
            raise ValueError(f"{path} has no {', '.join(sorted(missing))}; delete it to run {cell} again")
        return record

    def state(self, plan: Plan) -> str:
        """'finished', 'stale' (finished with another config than the table's now) or 'missing'."""
        record = self.read(plan.cell)
        if record is None:
            return "missing"
        return "finished" if record["config_fingerprint"] == plan.fingerprint else "stale"
