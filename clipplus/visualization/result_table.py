"""One table at the end of a run: its results beside what they must be compared with."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from mmengine.runner import BaseLoop

from clipplus.checkpoints.atomic import written_aside
from clipplus.engine import run_provenance
from clipplus.markdown import markdown_table

Baselines = Mapping[str, Mapping[str, float]]


def format_results(metrics: Mapping[str, float], baselines: Baselines) -> str:
    """A Markdown table whose columns are aligned, to be read in a log as well.

    Args:
        metrics: `<set>/<metric>` -> percent; a row each, in this order.
        baselines: column name -> percent by the same keys; empty where a baseline has none.
    """
    rows = [["metric (%)", "this run", *baselines]]
    for key, value in metrics.items():
        others = [values.get(key) for values in baselines.values()]
        rows.append([key, f"{value:.2f}", *("" if other is None else f"{other:.2f}" for other in others)])
    return markdown_table(rows)


@HOOKS.register_module()
class ResultTableHook(Hook):
    """Logs one table after a training (its last validation) and after a test; writes it into the work directory.

    `results.md` is the table, `results.json` the same numbers with where they come from: `source` is 'val' or 'test',
    `checkpoint` the file whose weights were evaluated (of a training by its name in the work directory; None when the
    weights of the last validation were not saved), `provenance` as in `run_provenance`, `config_text` the whole config.
    A later run in the same work directory replaces both.

    Args:
        baselines: column name -> `{'<set>/<metric>': percent}`, e.g. `{'chance': {'shapes/top1': 1.25}}`.

    Raises:
        TypeError: a baseline that is not a table of numbers.
        ValueError: at the first evaluation, a baseline for a metric that the run does not compute.
    """

    # After hooks that change metrics or log them.
    priority = "LOW"

    def __init__(self, baselines: Mapping[str, Any] | None = None) -> None:
        self.baselines: dict[str, dict[str, float]] = {}
        for name, values in (baselines or {}).items():
            if not isinstance(values, Mapping) or not all(isinstance(value, int | float) for value in values.values()):
                raise TypeError(
                    f"ResultTableHook: baseline '{name}' must be a table like {{'shapes/top1': 1.25}}, got {values!r}"
                )
            self.baselines[name] = {key: float(value) for key, value in values.items()}
        self._last_validation: dict[str, float] | None = None
        self._validated_at = -1
        self._provenance: dict[str, Any] | None = None

    def before_run(self, runner: Any) -> None:
        """Look where the run comes from, before anybody changes a file."""
        if is_main_process():
            self._provenance = run_provenance(runner)

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Remember the newest validation; a baseline that does not fit shows before hours are spent."""
        self._check(runner, metrics or {}, "test")
        self._last_validation = metrics
        self._validated_at = _updates_so_far(runner)

    def after_train(self, runner: Any) -> None:
        """The table of the last validation."""
        if self._last_validation:
            self._report(runner, self._last_validation, "val")

    def after_test_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """The table of the test."""
        self._check(runner, metrics or {}, "val")
        if metrics:
            self._report(runner, metrics, "test")

    def _check(self, runner: Any, metrics: Mapping[str, float], other_mode: Literal["val", "test"]) -> None:
        """Baselines may also belong to sets that only the other mode evaluates."""
        other_sets = set((runner.cfg.get(f"{other_mode}_evaluator") or {}).get("sets") or ())
        other_sets -= {key.split("/")[0] for key in metrics}
        for name, values in self.baselines.items():
            unknown = [key for key in values if key not in metrics and key.split("/")[0] not in other_sets]
            if unknown:
                raise ValueError(
                    f"ResultTableHook: baseline '{name}' has {', '.join(map(repr, unknown))}; "
                    f"metrics of this run: {', '.join(metrics)}"
                )

    def _report(self, runner: Any, metrics: Mapping[str, float], source: Literal["val", "test"]) -> None:
        if not is_main_process():
            return
        table = format_results(metrics, self.baselines)
        record = dict(
            source=source,
            iteration=_updates_so_far(runner),
            config=runner.cfg.filename,
            checkpoint=runner._load_from if source == "test" else self._validated_file(runner),
            metrics={key: float(value) for key, value in metrics.items()},
            baselines=self.baselines,
            provenance=self._provenance or run_provenance(runner),
            config_text=runner.cfg.pretty_text,
        )
        folder = Path(runner.work_dir)
        for name, text in (("results.md", table), ("results.json", json.dumps(record, indent=2))):
            with written_aside(folder / name) as partial:
                partial.write_text(text + "\n", encoding="utf-8")
        print_log(f"results ({source}), also in {folder / 'results.md'}:\n{table}", logger="current")

    def _validated_file(self, runner: Any) -> str | None:
        """The newest checkpoint, when the training ended with the weights that were validated.

        A loop whose run ends in a file of its own names it as `result_file`.
        """
        if getattr(runner._train_loop, "result_file", None):
            return runner._train_loop.result_file
        pointer = Path(runner.work_dir) / "last_checkpoint"
        if self._validated_at != _updates_so_far(runner) or not pointer.is_file():
            return None
        return Path(pointer.read_text(encoding="utf-8").strip()).name


def _updates_so_far(runner: Any) -> int:
    """`runner.iter` without building the train loop, and with it the training data that a test may lack."""
    loop = runner._train_loop
    return loop.iter if isinstance(loop, BaseLoop) else 0
