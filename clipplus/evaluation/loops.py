"""Validation and test over several sets, each with its own data, metric and class texts."""

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.evaluator import Evaluator
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.registry import LOOPS
from mmengine.runner import BaseLoop
from torch.utils.data import DataLoader

from clipplus.checkpoints.atomic import written_aside
from clipplus.evaluation.loaders import build_evaluation_loader, dataset_of, readable_size
from clipplus.evaluation.set_metric import SetMetric


class _MultiDatasetLoop(BaseLoop):
    """Runs every set of `dataloader['sets']` with the metric of the same name in `evaluator['sets']`, or several.

    A list of metrics is given the same embeddings, and tells its results apart by their `prefix`.

    Other keys of `dataloader` are defaults of all sets. Results are `<set>/<metric>`. Every set's data is wrapped into
    a `KeyedDataset`, so that whatever an evaluation draws depends on the sample alone. When a set is done, the hook
    point `after_set(mode, set_name, metrics)` is called, `metrics` being its metric objects.

    A set whose data set says `on_bad_sample='skip'` is scored without its unreadable samples: `<set>/skipped_samples`
    counts them, `skipped_val.jsonl` or `skipped_test.jsonl` in the work directory lists them.

    Attributes:
        dataloader, evaluator: those of the set that is running; the first one before.
        set_metrics: metric objects by set name.
    """

    mode: ClassVar[Literal["val", "test"]]

    def __init__(self, runner: Any, dataloader: dict, evaluator: dict) -> None:
        self._runner = runner
        loaders, evaluators = dataloader.get("sets"), evaluator.get("sets")
        if not loaders or not evaluators or loaders.keys() != evaluators.keys():
            raise ValueError(
                f"{type(self).__name__} needs equal names in {self.mode}_dataloader.sets and "
                f"{self.mode}_evaluator.sets, got {sorted(loaders or ())} and {sorted(evaluators or ())}"
            )
        defaults = {key: value for key, value in dataloader.items() if key != "sets"}
        self.loaders = {
            name: build_evaluation_loader({**defaults, **loader}, runner.seed, f"{self.mode}_dataloader")
            for name, loader in loaders.items()
        }
        self.evaluators = {name: runner.build_evaluator(metric) for name, metric in evaluators.items()}
        for name, loader in self.loaders.items():
            self._require_own_prefixes(name)
            self._require_gathering_by_id(name)
            self.evaluators[name].dataset_meta = dataset_of(loader).metainfo
        self._shared: dict[str, Any] = {}
        self._skipped: list[dict[str, Any]] = []
        first = next(iter(self.loaders))
        self.dataloader: DataLoader = self.loaders[first]
        self.evaluator: Evaluator = self.evaluators[first]

    def _require_own_prefixes(self, name: str) -> None:
        """The results of two metrics with one name would clash, but only after the set has run."""
        metrics = self.evaluators[name].metrics
        known = Counter((type(metric).__name__, getattr(metric, "prefix", None)) for metric in metrics)
        for (kind, prefix), count in known.items():
            if count > 1:
                raise ValueError(
                    f"{self.mode}_evaluator.sets.{name} has {count} metrics {kind} with prefix '{prefix or ''}': "
                    "give each a prefix of its own"
                )

    def _require_gathering_by_id(self, name: str) -> None:
        """Hosts' metrics put the ranks' results together by position, which a sample left out would shift."""
        if get_world_size() == 1 or dataset_of(self.loaders[name]).on_bad_sample != "skip":
            return
        others = [type(m).__name__ for m in self.evaluators[name].metrics if not isinstance(m, SetMetric)]
        if others:
            raise ValueError(
                f"{self.mode}_dataloader.sets.{name}: on_bad_sample='skip' on several ranks needs metrics that gather "
                f"by sample id, which {', '.join(others)} does not; use 'raise', or one rank"
            )

    @property
    def set_metrics(self) -> dict[str, list[Any]]:
        """The metric objects of every set."""
        return {name: evaluator.metrics for name, evaluator in self.evaluators.items()}

    def run(self) -> dict[str, float]:
        """Evaluate all sets; `<set>/<metric>` -> value."""
        hook = self.runner.call_hook
        hook(f"before_{self.mode}")
        hook(f"before_{self.mode}_epoch")
        self.runner.model.eval()
        self._shared.clear()
        results: dict[str, float] = {}
        for name in self.loaders:
            results.update({f"{name}/{metric}": value for metric, value in self._run_set(name).items()})
        self._shared.clear()
        self._list_skipped()
        hook(f"after_{self.mode}_epoch", metrics=results)
        hook(f"after_{self.mode}")
        return results

    def _run_set(self, name: str) -> dict[str, float]:
        self.dataloader, self.evaluator = self.loaders[name], self.evaluators[name]
        dataset = dataset_of(self.dataloader)
        dataset.seed = self.runner.seed
        dataset.forget_bad_samples()
        model = self.runner.model.module if is_model_wrapper(self.runner.model) else self.runner.model
        for metric in self.evaluator.metrics:
            if hasattr(metric, "before_evaluate"):
                metric.final = self.mode == "test"
                metric.shared = self._shared
                metric.before_evaluate(model)
        self._show_batches(name)
        values = self.evaluator.evaluate(readable_size(self.dataloader))
        if dataset.on_bad_sample == "skip":
            skipped = dataset.bad_records()
            values["skipped_samples"] = float(len(skipped))
            self._skipped += [{"set": name, **record} for record in skipped]
        self.runner.call_hook("after_set", mode=self.mode, set_name=name, metrics=self.evaluator.metrics)
        return values

    def _show_batches(self, name: str) -> None:
        """Show the running set to the metrics."""
        for index, batch in enumerate(self.dataloader):
            if batch is not None:
                self.run_iter(index, batch)

    def _list_skipped(self) -> None:
        """Write and log which samples this evaluation left out; the list of an earlier one goes."""
        skipped, self._skipped = self._skipped, []
        path = Path(self.runner.work_dir) / f"skipped_{self.mode}.jsonl"
        if not is_main_process():
            return
        if not skipped:
            path.unlink(missing_ok=True)
            return
        with written_aside(path) as partial:
            lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in skipped]
            partial.write_text("".join(lines), encoding="utf-8")
        names = ", ".join(f"'{record['key']}'" for record in skipped[:8])
        print_log(
            f"{len(skipped)} unreadable samples were left out of this evaluation: {names}"
            f"{', ...' if len(skipped) > 8 else ''}; all are in {path}",
            logger="current",
            level=logging.WARNING,
        )

    @torch.no_grad()
    def run_iter(self, idx: int, data_batch: Any) -> None:
        """Embed one batch and hand it to the metric."""
        self.runner.call_hook(f"before_{self.mode}_iter", batch_idx=idx, data_batch=data_batch)
        step = self.runner.model.val_step if self.mode == "val" else self.runner.model.test_step
        outputs = step(data_batch)
        self.evaluator.process(data_samples=outputs, data_batch=data_batch)
        self.runner.call_hook(f"after_{self.mode}_iter", batch_idx=idx, data_batch=data_batch, outputs=outputs)


@LOOPS.register_module()
class MultiDatasetValLoop(_MultiDatasetLoop):
    """Validation over several sets: `val_dataloader = dict(sets=dict(NAME=...))`, `val_evaluator` likewise."""

    mode: ClassVar[Literal["val", "test"]] = "val"


@LOOPS.register_module()
class MultiDatasetTestLoop(_MultiDatasetLoop):
    """Test over several sets: `test_dataloader = dict(sets=dict(NAME=...))`, `test_evaluator` likewise."""

    mode: ClassVar[Literal["val", "test"]] = "test"
