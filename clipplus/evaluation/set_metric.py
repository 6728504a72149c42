"""What our metrics share: exact gathering by sample id, and a look at the model before a set is evaluated."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from mmengine.dist import all_gather_object, broadcast_object_list, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.structures import BaseDataElement
from torch import nn

T = TypeVar("T")


def sample_field(sample: BaseDataElement | dict, name: str) -> Any:
    """A field of a sample; mmengine's evaluator hands samples on as dicts."""
    return sample.get(name)


def on_main_process(function: Callable[[], T]) -> T:
    """Call `function` on the main process; its result or exception reaches every rank."""
    result: list[Any] = [None]
    if is_main_process():
        try:
            result[0] = function()
        # Raised below on every rank: the others would wait for the broadcast for ever.
        except Exception as error:  # noqa: BLE001 - raised below
            result[0] = error
    broadcast_object_list(result)
    if isinstance(result[0], Exception):
        raise result[0]
    return result[0]


class SetMetric(BaseMetric):
    """A metric of one evaluation set.

    Subclasses put `{"sample_id": int, ...}` records into `self.results`. These are gathered from all ranks by id:
    no padding, no duplicates, and therefore the same result for every batch size and number of ranks.

    Attributes:
        predictions: after `evaluate`, one JSON-able dict per sample, sorted by sample id (main process only).
        final: whether the weights are final (test) or still being trained (validation); set by the loops.
        shared: what metrics leave to each other in `before_evaluate`; the loops give all metrics of an evaluation
            the same one, and empty it; None without such a loop.
    """

    # Sets already tell metrics apart; mmengine would warn about a missing prefix.
    default_prefix = ""

    def __init__(self, collect_device: str = "cpu", prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.predictions: list[dict[str, Any]] = []
        self.final = False
        self.shared: dict[str, Any] | None = None
        self._prepared = False

    @property
    def class_names(self) -> list[str] | None:
        """Class names of the data set that is evaluated."""
        classes = (self.dataset_meta or {}).get("classes")
        return None if classes is None else list(classes)

    def before_evaluate(self, model: nn.Module) -> None:
        """Called once per set by `MultiDatasetValLoop`/`MultiDatasetTestLoop` with the unwrapped model."""
        self._prepared = True

    def evaluate(self, size: int) -> dict[str, float]:
        """Metrics over all samples of all ranks.

        Args:
            size: samples of the set, as mmengine states it; a check, since ids tell samples apart.

        Raises:
            RuntimeError: the number of different samples is not `size`.
        """
        gathered: list[list[dict]] = all_gather_object(self.results)
        by_id = {record["sample_id"]: record for records in gathered for record in records}
        self.results.clear()
        self._prepared = False
        return on_main_process(lambda: self._evaluate(by_id, size))

    def _evaluate(self, by_id: dict[int, dict], size: int) -> dict[str, float]:
        if len(by_id) != size:
            raise RuntimeError(f"the set has {size} samples, but {len(by_id)} different sample ids arrived")
        values = self.compute_metrics([by_id[key] for key in sorted(by_id)])
        return {f"{self.prefix}/{name}" if self.prefix else name: value for name, value in values.items()}

    @abstractmethod
    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Turn the samples of a batch into records."""

    @abstractmethod
    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """Metrics in percent from the records of all samples, sorted by id; fills `predictions`."""
