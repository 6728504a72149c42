"""Accuracy over shots: every config with every number of shots and every seed, each cell one fit in this process.

A cell's result is a file of its own, so that a table grows over several sittings; features are shared between cells.
"""

import copy
import gc
import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from mmengine.config import Config

from clipplus.checkpoints import fingerprint
from clipplus.checkpoints.atomic import written_aside
from clipplus.checkpoints.provenance import annotation_fingerprints, file_fingerprint, git_state, machine, versions
from clipplus.engine.launch import build_runner, merge_options
from clipplus.methods.ape.fit_record import FitRecordHook
from clipplus.methods.ape.search_on import accuracies

# What watches a run or says where its files go: no part of what it computes.
_NO_PART = ("env_cfg", "log_level", "log_processor", "vis_backends", "visualizer", "work_dir", "experiment_name")
State = Literal["finished", "stale", "missing"]


@dataclass(frozen=True)
class Cell:
    """One fit of a table.

    Attributes:
        config: config file.
        shots: pictures per class.
        seed: of the draw of the shots, and of the run.
    """

    config: Path
    shots: int
    seed: int

    @property
    def data(self) -> str:
        """The data's name, the last field of the config's name."""
        return self.config.stem.split("_")[-1]

    def __str__(self) -> str:
        return f"{self.config.stem}: {self.shots} shots, seed {self.seed}"


def table_cells(configs: Sequence[Path], shots: Sequence[int], seeds: Sequence[int]) -> list[Cell]:
    """All cells; those that share their shots stand together, so that features are computed once.

    Raises:
        FileNotFoundError: a config that does not exist.
    """
    for config in configs:
        if not config.is_file():
            raise FileNotFoundError(f"config {config} does not exist")
    found = [Cell(config, k, seed) for config in configs for k in shots for seed in seeds]
    return sorted(dict.fromkeys(found), key=lambda cell: (cell.data, cell.seed, cell.shots))


def cell_config(cell: Cell, options: Mapping[str, Any] | None = None) -> Config:
    """The config of a cell: its shots and seed in every few-shot data set, and what the config wants for these shots.

    A config may say `options_by_shots = {'1': {'optim_wrapper.optimizer.eps': 1e-2}}`.

    Args:
        cell: which one.
        options: config key -> value for all cells.

    Raises:
        ValueError: a config without few-shot data, or an option that it does not have.
    """
    config = Config.fromfile(cell.config)
    subsets = list(_few_shot_sets(config.get("train_dataloader")))
    if not subsets:
        raise ValueError(f"{cell.config}: train_dataloader has no FewShotSubset, so that it has no shots to vary")
    validation = list(_few_shot_sets(config.get("val_dataloader")))
    # Which pictures are held out depends on the shots; a few pictures of a validation split are no shots.
    for subset in [*subsets, *(each for each in validation if each.get("part") == "holdout")]:
        subset.num_shots = cell.shots
    for subset in [*subsets, *validation]:
        if "seed" in subset:
            subset.seed = cell.seed
    config.randomness = dict(config.get("randomness") or {}, seed=cell.seed)
    by_shots = config.get("options_by_shots") or {}
    for more in (by_shots.get(str(cell.shots)) or {}, options or {}):
        merge_options(config, dict(more))
    return config


def _few_shot_sets(settings: Any) -> Iterator[Any]:
    """Every data set that states `num_shots`."""
    if isinstance(settings, dict):
        if "num_shots" in settings:
            yield settings
        settings = list(settings.values())
    if isinstance(settings, list | tuple):
        for item in settings:
            yield from _few_shot_sets(item)


def config_fingerprint(config: Config) -> str:
    """Of all that a fit and its test depend on: the config, and the files of the towers that it names."""
    parts = {key: value for key, value in config.to_dict().items() if key not in _NO_PART}
    hooks = parts.pop("default_hooks", {})
    parts["save_best"] = (hooks.get("checkpoint") or {}).get("save_best")
    towers = {path: file_fingerprint(Path(path)) for path in _pretrained_files(parts)}
    # By way of JSON, so that a tuple and a list of the same numbers are the same.
    return fingerprint([json.loads(json.dumps(parts, default=repr)), towers])


def _pretrained_files(settings: Any) -> Iterator[str]:
    if isinstance(settings, dict):
        name = settings.get("pretrained")
        if isinstance(name, str) and Path(name).is_file():
            yield name
        settings = list(settings.values())
    if isinstance(settings, list | tuple):
        for item in settings:
            yield from _pretrained_files(item)


class Table:
    """The results of a table in a folder.

    Args:
        cells: all of them.
        folder: `results/<config>/<K>shot-seed<S>.json` and the tables go here.
        options: config key -> value for all cells.
    """

    def __init__(self, cells: Sequence[Cell], folder: Path, options: Mapping[str, Any] | None = None) -> None:
        self.folder = folder
        self.configs = {cell: cell_config(cell, options) for cell in cells}
        self._fingerprints = {cell: config_fingerprint(config) for cell, config in self.configs.items()}

    def path(self, cell: Cell) -> Path:
        """Result file of a cell."""
        return self.folder / "results" / cell.config.stem / f"{cell.shots}shot-seed{cell.seed}.json"

    def record(self, cell: Cell) -> dict[str, Any] | None:
        """The result of a cell, None if it was never finished.

        Raises:
            ValueError: a file that is no result.
        """
        path = self.path(cell)
        if not path.is_file():
            return None
        try:
            record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            missing = {"metrics", "config_fingerprint", "seconds"} - record.keys()
        except (ValueError, AttributeError) as error:
            raise ValueError(f"{path} is no result, delete it to run {cell} again: {error!r}") from error
        if missing:
            raise ValueError(f"{path} has no {', '.join(sorted(missing))}, delete it to run {cell} again")
        return record

    def state(self, cell: Cell) -> State:
        """'stale' is finished with another config, or another start, than it has now."""
        record = self.record(cell)
        if record is None:
            return "missing"
        return "finished" if record["config_fingerprint"] == self._fingerprints[cell] else "stale"

    def due(self, redo: bool) -> list[Cell]:
        """Cells to run; stale ones with `redo` only."""
        wanted = ("missing", "stale") if redo else ("missing",)
        return [cell for cell in self.configs if self.state(cell) in wanted]

    def run(self, cell: Cell, work_dir: Path, keep: bool = False) -> dict[str, Any]:
        """Fit and test a cell, and write its result; what an interrupted sitting left of it is removed.

        Args:
            cell: which one.
            work_dir: of all cells' logs and checkpoints.
            keep: leave the checkpoints where they are.
        """
        own = work_dir / cell.config.stem / f"{cell.shots}shot-seed{cell.seed}"
        shutil.rmtree(own, ignore_errors=True)
        config = copy.deepcopy(self.configs[cell])
        config.work_dir, config.launcher = str(own), "none"
        config.experiment_name = f"{cell.config.stem}-{cell.shots}-{cell.seed}"
        # One line per cell is enough; the cell's own log has the rest.
        config.log_level = "WARNING"
        begun = time.monotonic()
        result = fit_and_test(config)
        record = dict(
            config=cell.config.stem, data=cell.data, shots=cell.shots, seed=cell.seed, **result,
            seconds=round(time.monotonic() - begun, 1),
            finished=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            config_fingerprint=self._fingerprints[cell],
            annotations=annotation_fingerprints(self.configs[cell].to_dict()),
            git=git_state(), versions=versions(), machine=machine(),
        )  # fmt: skip
        with written_aside(self.path(cell)) as partial:
            partial.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        if not keep:
            for file in own.glob("*.pth"):
                file.unlink()
        return record


def fit_and_test(config: Config) -> dict[str, Any]:
    """One fit, tested on every test set by its stored features.

    Returns:
        `metrics`: `<set>/top1` and `<set>/zero_shot` in percent; `search`: what the search found, None without one.
    """
    runner = build_runner(config)
    runner.train()
    loop: Any = runner.train_loop
    metrics: dict[str, float] = {}
    for name in config.test_dataloader.sets:
        found = accuracies(loop.head, loop.test_images(name))
        metrics |= {f"{name}/top1": found["now"], f"{name}/zero_shot": found["zero_shot"]}
    search = next(hook for hook in runner.hooks if isinstance(hook, FitRecordHook)).record.get("search")
    del runner, loop
    gc.collect()
    return dict(metrics=metrics, search=search)
