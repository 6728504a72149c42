"""The table file: which rows are compared on which data with which seeds, see docs/tables.md."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from clipplus.did_you_mean import did_you_mean

_TABLE_KEYS = ("name", "title", "rows", "data", "seeds", "baseline", "budget_minutes")
_ROW_KEYS = ("name", "config", "cfg_options", "start", "start_option")
_DATA_KEYS = ("config", "cfg_options", "metrics")
# Names become file and folder names, joined by `--` and `/`.
_NAME = re.compile(r"[A-Za-z0-9]+([._-][A-Za-z0-9]+)*")


@dataclass(frozen=True)
class Row:
    """One way of training.

    Attributes:
        name: unique in the table.
        config: config file for all data, or data name -> config file; data without one use their own.
        options: config key -> value, after those of the data.
        start: row whose checkpoint (same data, same seed) this one starts from.
        start_options: config keys that get the path of this checkpoint.
    """

    name: str
    config: str | Mapping[str, str] | None
    options: Mapping[str, Any]
    start: str | None
    start_options: tuple[str, ...]


@dataclass(frozen=True)
class DataSet:
    """What all rows are trained and tested on.

    Attributes:
        name: unique in the table.
        config: config file for rows that name none.
        options: config key -> value, e.g. what makes a run fit the budget.
        metrics: columns, `<set>/<metric>` as in results.json.
    """

    name: str
    config: str | None
    options: Mapping[str, Any]
    metrics: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A comparison.

    Attributes:
        file: where it was read from.
        name: of the folder of its results.
        title: heading of its page.
        rows, data: by name, in the order of the file.
        seeds: each cell is trained with every seed.
        baseline: row that the others are compared with seed by seed.
        budget_minutes: a run that takes longer is marked.
    """

    file: Path
    name: str
    title: str
    rows: Mapping[str, Row]
    data: Mapping[str, DataSet]
    seeds: tuple[int, ...]
    baseline: str | None
    budget_minutes: float


@dataclass(frozen=True)
class Cell:
    """One training: a row, a data set and a seed."""

    row: str
    data: str
    seed: int

    def __str__(self) -> str:
        return f"{self.row}/{self.data}/{self.seed}"


def read_table(path: Path) -> Table:
    """Read and check a table file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that is no table; says which key is wrong.
    """
    if not path.is_file():
        raise FileNotFoundError(f"table {path} does not exist")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    _check_keys(content, _TABLE_KEYS, ("name", "rows", "data", "seeds"), str(path))
    data = _read_data(content["data"], path)
    rows = _read_rows(content["rows"], data, path)
    baseline = content.get("baseline")
    if baseline is not None:
        _check_known(baseline, rows, f"{path}: baseline", "row")
    budget = content.get("budget_minutes", 4)
    if isinstance(budget, bool) or not isinstance(budget, int | float) or budget <= 0:
        raise ValueError(f"{path}: budget_minutes must be a positive number, got {budget!r}")
    name = _checked_name(content["name"], f"{path}: name")
    title = str(content.get("title", name))
    return Table(path, name, title, rows, data, _read_seeds(content["seeds"], path), baseline, float(budget))


def _read_seeds(seeds: Any, path: Path) -> tuple[int, ...]:
    whole = isinstance(seeds, list) and all(type(seed) is int and seed >= 0 for seed in seeds)
    if not whole or not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"{path}: seeds must be a list of different whole numbers, e.g. [0, 1, 2], got {seeds!r}")
    return tuple(seeds)


def _read_data(content: Any, path: Path) -> dict[str, DataSet]:
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{path}: data must be a mapping of names to data sets, got {content!r:.80}")
    data = {}
    for name, entry in content.items():
        where = f"{path}: data '{name}'"
        _checked_name(name, where)
        _check_keys(entry, _DATA_KEYS, ("metrics",), where)
        metrics = entry["metrics"]
        if not isinstance(metrics, list) or not metrics or not all(isinstance(key, str) for key in metrics):
            raise ValueError(f"{where}: metrics must be a list like [shapes/top1], got {metrics!r}")
        data[name] = DataSet(name, entry.get("config"), _read_options(entry, where), tuple(metrics))
    return data


def _read_rows(content: Any, data: Mapping[str, DataSet], path: Path) -> dict[str, Row]:
    if not isinstance(content, list) or not content:
        raise ValueError(f"{path}: rows must be a list of rows, each with a name, got {content!r:.80}")
    rows: dict[str, Row] = {}
    for number, entry in enumerate(content):
        _check_keys(entry, _ROW_KEYS, ("name",), f"{path}: rows[{number}]")
        name = _checked_name(entry["name"], f"{path}: rows[{number}].name")
        if name in rows:
            raise ValueError(f"{path}: rows[{number}].name: '{name}' is there already")
        rows[name] = _read_row(name, entry, data, f"{path}: row '{name}'")
    for row in rows.values():
        _check_start(row, rows, path)
    return rows


def _read_row(name: str, entry: dict[str, Any], data: Mapping[str, DataSet], where: str) -> Row:
    config, keys = entry.get("config"), entry.get("start_option", [])
    if isinstance(config, dict):
        for of in config:
            _check_known(of, data, f"{where}: config", "data set")
    for of in data.values():
        if not (config.get(of.name) if isinstance(config, dict) else config) and not of.config:
            raise ValueError(f"{where}: neither the row nor data '{of.name}' names a config")
    keys = [keys] if isinstance(keys, str) else keys
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise ValueError(f"{where}: start_option must be a config key or a list of them, got {keys!r}")
    if bool(keys) != bool(entry.get("start")):
        raise ValueError(
            f"{where}: start (a row) and start_option (config keys that get its checkpoint, e.g. "
            "[model.image_tower.pretrained, model.text_tower.pretrained]) belong together"
        )
    return Row(name, config, _read_options(entry, where), entry.get("start"), tuple(keys))


def _check_start(row: Row, rows: Mapping[str, Row], path: Path) -> None:
    """A chain of starts must end."""
    chain = [row.name]
    while (start := rows[chain[-1]].start) is not None:
        _check_known(start, rows, f"{path}: row '{chain[-1]}': start", "row")
        if start in chain:
            raise ValueError(f"{path}: row '{row.name}' starts from itself: {' <- '.join([*chain, start])}")
        chain.append(start)


def _read_options(entry: dict[str, Any], where: str) -> dict[str, Any]:
    """Nested mappings become dotted keys: what `--cfg-options` can say."""
    options = entry.get("cfg_options") or {}
    if not isinstance(options, dict):
        raise ValueError(f"{where}: cfg_options must be a mapping of config keys to values, got {options!r:.80}")
    flat: dict[str, Any] = {}
    for key, value in options.items():
        if isinstance(value, dict):
            nested = _read_options({"cfg_options": value}, f"{where}: {key}")
            flat |= {f"{key}.{below}": of for below, of in nested.items()}
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            raise ValueError(f"{where}: cfg_options {key}: mappings in a list cannot be overridden, use '{key}.0.NAME'")
        else:
            flat[str(key)] = value
    return flat


def _check_keys(entry: Any, known: Iterable[str], needed: Iterable[str], where: str) -> None:
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: expected a mapping with {', '.join(known)}, got {entry!r:.80}")
    for key in entry:
        _check_known(key, known, where, "key")
    for key in needed:
        if key not in entry:
            raise ValueError(f"{where}: key '{key}' is missing")


def _check_known(name: Any, known: Iterable[str], where: str, kind: str) -> None:
    names = list(known)
    if name not in names:
        raise ValueError(f"{where}: unknown {kind} '{name}'; known: {', '.join(names)}{did_you_mean(name, names)}")


def _checked_name(name: Any, where: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"{where}: a name is letters and digits, joined by single '-', '_' or '.', got {name!r}")
    return name
