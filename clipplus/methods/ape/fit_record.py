"""What a checkpoint says about its fit, and what is compared when one is loaded."""

import logging
from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmpretrain.registry import HOOKS

from clipplus.engine.hooks import unwrapped
from clipplus.evaluation.feature_cache import changed_parts
from clipplus.methods.ape.checks import require_same_classes

#: Where checkpoints keep it: `meta['ape']`.
KEY = "ape"


@HOOKS.register_module()
class FitRecordHook(Hook):
    """Writes the record of a fit into every checkpoint, and compares it where a checkpoint is loaded.

    The record, `meta['ape']`, is plain data: what the features were computed from, class names, texts, the few shots
    with their labels, the head's options, and what was searched where, with which result. Accuracies of a classifier
    whose values were chosen on test are never logged without saying so.

    Attributes:
        record: of this run's fit, filled in by `FewShotFitLoop`.
        resumed: the record of the checkpoint that this run goes on from.

    Raises:
        ValueError: on loading, a checkpoint of other classes than those that are tested.
    """

    # Before the contract looks at keys: what differs in kind is told first.
    priority = "HIGHEST"

    def __init__(self) -> None:
        self.record: dict[str, Any] = {}
        self.resumed: dict[str, Any] | None = None

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Add the record."""
        record = self.record or self.resumed
        if record:
            checkpoint["meta"][KEY] = record

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Compare."""
        record = (checkpoint.get("meta") or {}).get(KEY)
        if not isinstance(record, dict):
            return
        self.resumed = record
        self._require_classes(runner, record)
        head, fitted = type(unwrapped(runner.model).head).__name__, record["head"]["type"]
        if fitted != head:
            raise ValueError(f"{runner._load_from} was made by fitting a {fitted}, but the config's head is a {head}")

    def after_val_epoch(self, runner: Any, metrics: Mapping[str, float] | None = None) -> None:
        """Say what the numbers are worth."""
        self._warn_of_test(metrics or {})

    def after_test_epoch(self, runner: Any, metrics: Mapping[str, float] | None = None) -> None:
        """Say what the numbers are worth."""
        self._warn_of_test(metrics or {})

    def _warn_of_test(self, metrics: Mapping[str, float]) -> None:
        search = (self.record or self.resumed or {}).get("search") or {}
        if not search.get("search_on_test"):
            return
        numbers = ", ".join(f"{name} {value:.2f}" for name, value in metrics.items())
        print_log(
            f"CHOSEN ON TEST: alpha, beta and gamma were chosen on {search['set']}, so that these are no estimates for "
            f"other images: {numbers}",
            logger="current", level=logging.WARNING,
        )  # fmt: skip

    @staticmethod
    def _require_classes(runner: Any, record: dict[str, Any]) -> None:
        for name, evaluator in getattr(runner._test_loop, "evaluators", {}).items():
            metas = [metric.dataset_meta for metric in evaluator.metrics]
            names = (metas[0] or {}).get("classes") if metas else None
            # Sets whose folders are numbers say only how many classes there are.
            if names and not all(str(each).isdecimal() for each in names):
                require_same_classes(record["classes"], list(names), str(runner._load_from), f"test set '{name}'")


def changed_fit(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Names of the parts in which two fits differ, so that the head of one is not that of the other."""
    changed = [f"features.{name}" for name in changed_parts(before["features"], now["features"])]
    return changed + [name for name in ("classes", "texts", "head", "shots", "view_mean") if before[name] != now[name]]
