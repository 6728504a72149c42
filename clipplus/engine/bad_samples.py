"""Unreadable training samples: counted over all ranks, bounded for the whole run, listed in the work directory."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS

from clipplus.checkpoints.atomic import written_aside
from clipplus.data import KeyedDataset


@HOOKS.register_module()
class BadSampleHook(Hook):
    """Makes the bound of a training `KeyedDataset` hold for all ranks and across resumes, and lists the bad samples.

    Between agreements every rank counts its own finds on top of what was known to all. The list is `bad_samples.jsonl`
    in the work directory: one `{"index", "key", "error"}` per sample, `error` being the kind of error (the log has its
    words). Only a data set with `on_bad_sample='replace'` is looked at.

    Args:
        interval: updates between agreements; there is one at the end of every epoch as well.

    Raises:
        ValueError: an interval below 1.
        RuntimeError: in training, more bad samples in all than `max_bad_fraction` allows; on every rank alike.
    """

    # Before the hooks that save, so that a checkpoint holds what was just agreed on.
    priority = "ABOVE_NORMAL"

    def __init__(self, interval: int = 100) -> None:
        if interval < 1:
            raise ValueError(f"BadSampleHook: interval must be at least 1 update, got {interval}")
        self.interval = interval
        self._dataset: KeyedDataset | None = None
        self._resumed: dict[str, Any] = {}

    def state_dict(self) -> dict[str, Any]:
        """`size` of the data set and `marks` of its bad samples."""
        return {} if self._dataset is None else {"size": len(self._dataset), "marks": self._dataset.marks}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Keep what an earlier part of the run found, for `before_train`."""
        self._resumed = dict(state)

    def before_train(self, runner: Any) -> None:
        """Find the data set, and put back what is known of it."""
        dataset = getattr(runner.train_loop.dataloader, "dataset", None)
        replaces = isinstance(dataset, KeyedDataset) and dataset.on_bad_sample == "replace"
        self._dataset = dataset if replaces else None
        if self._dataset is None or not self._resumed:
            return
        if self._resumed["size"] == len(self._dataset):
            self._dataset.mark(self._resumed["marks"])
        else:
            print_log("bad samples are counted anew: the training set has another size", "current", logging.WARNING)
        self._agree(runner)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Agree every `interval` updates."""
        if self.every_n_train_iters(runner, self.interval):
            self._agree(runner)

    def after_train_epoch(self, runner: Any) -> None:
        """Agree at the end of an epoch."""
        self._agree(runner)

    def after_train(self, runner: Any) -> None:
        """Agree once more, and report."""
        self._agree(runner)
        if self._dataset is not None and self._dataset.bad_samples:
            print_log(
                f"{len(self._dataset.bad_samples)} of {len(self._dataset)} training samples could not be read and were "
                f"replaced; they are listed in {self._path(runner)}",
                "current",
                logging.WARNING,
            )

    def after_failure(self, runner: Any, error: BaseException) -> None:
        """Whoever mends the data needs the list: `StepLoop` calls it with whatever ended the training."""
        if self._dataset is not None and self._dataset.bad_samples:
            self._write(runner)

    def _agree(self, runner: Any) -> None:
        if self._dataset is not None and self._dataset.agree():
            self._write(runner)

    def _write(self, runner: Any) -> None:
        if self._dataset is None or not is_main_process():
            return
        with written_aside(self._path(runner)) as partial:
            lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in self._dataset.bad_records()]
            partial.write_text("".join(lines), encoding="utf-8")

    @staticmethod
    def _path(runner: Any) -> Path:
        return Path(runner.work_dir) / "bad_samples.jsonl"
