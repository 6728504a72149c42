"""A data set whose every random draw depends on (seed, epoch, index) alone, and which bounds bad samples."""

import logging
import signal
from typing import Any, Literal

import cv2
import torch
from mmengine.logging import print_log
from mmengine.registry import DATASETS, FUNCTIONS
from torch.utils.data import Dataset

from clipplus.data.seeding import mix, seed_all

# What an unreadable file makes image readers raise: PIL says SyntaxError for a broken PNG, mmcv asserts
# when OpenCV returns nothing.
BAD_SAMPLE_ERRORS = (OSError, ValueError, AssertionError, SyntaxError, cv2.error)


@DATASETS.register_module()
class KeyedDataset(Dataset[Any]):
    """Wraps any data set; asked for (epoch, index), it seeds all global generators, then asks that data set.

    A plain index (evaluation) counts as epoch 0 and draws from a stream of its own.

    Args:
        dataset: config of a data set, or a data set.
        on_bad_sample: 'raise' (the default, and the only choice for evaluation), or 'replace' an unreadable
            sample by another one drawn from (seed, epoch, index, attempt).
        max_bad_fraction: 'replace' raises once more than this fraction of all samples has been found bad.

    Attributes:
        seed: the run's seed; the loops set it before the first sample is read.

    Raises:
        ValueError: empty data set, or unknown `on_bad_sample`.
        RuntimeError: when reading, too many bad samples; names the last one and its error.
    """

    def __init__(
        self,
        dataset: dict | Dataset[Any],
        on_bad_sample: Literal["raise", "replace"] = "raise",
        max_bad_fraction: float = 0.01,
    ) -> None:
        if on_bad_sample not in ("raise", "replace"):
            raise ValueError(f"on_bad_sample must be 'raise' or 'replace', got '{on_bad_sample}'")
        self.dataset: Any = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self.on_bad_sample = on_bad_sample
        self.max_bad_fraction = max_bad_fraction
        self.seed = 0
        self.full_init()
        if len(self) == 0:
            raise ValueError(f"{type(self.dataset).__name__} is empty: check its ann_file, data_root and filters")
        # One flag per sample in shared memory: all loader workers of this process count into it.
        self._bad = torch.zeros(len(self), dtype=torch.uint8).share_memory_()

    @property
    def metainfo(self) -> dict:
        """The wrapped data set's meta information, classes among it."""
        return getattr(self.dataset, "metainfo", {})

    @property
    def bad_samples(self) -> list[int]:
        """Indices of the samples that were found unreadable and replaced so far."""
        return self._bad.nonzero().flatten().tolist()

    def full_init(self) -> None:
        """Load the annotations of a lazily initialised data set."""
        if hasattr(self.dataset, "full_init"):
            self.dataset.full_init()

    def get_data_info(self, index: int) -> dict:
        """Annotations of a sample as the wrapped data set knows them."""
        return self.dataset.get_data_info(index)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int] | int) -> Any:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        seed_all(self.seed, "sample" if isinstance(key, tuple) else "evaluation", epoch, index)
        if self.on_bad_sample == "raise":
            return self.dataset[index]
        wanted = index
        for attempt in range(len(self)):
            try:
                return self.dataset[index]
            except BAD_SAMPLE_ERRORS as error:
                self._note_bad(index, error)
            index = mix(self.seed, "replacement", epoch, wanted, attempt) % len(self)
        raise RuntimeError(f"no readable replacement found for sample {wanted} in epoch {epoch}")

    def _note_bad(self, index: int, error: Exception) -> None:
        """Count sample `index` as bad, warn the first time, stop the run when there are too many."""
        name = self._describe(index)
        if not self._bad[index]:
            self._bad[index] = 1
            print_log(f"bad sample {name} is replaced: {error}", logger="current", level=logging.WARNING)
        bad, allowed = int(self._bad.sum()), int(self.max_bad_fraction * len(self))
        if bad > allowed:
            raise RuntimeError(
                f"{bad} of {len(self)} samples cannot be read, allowed are {allowed} "
                f"(max_bad_fraction={self.max_bad_fraction}); the last one is {name}: {error}"
            ) from error

    def _describe(self, index: int) -> str:
        """The sample's key or path, whichever its data set knows."""
        info = self.get_data_info(index) if hasattr(self.dataset, "get_data_info") else {}
        return f"'{info.get('key') or info.get('img_path') or index}'"


@FUNCTIONS.register_module()
def quiet_worker(worker_id: int) -> None:  # noqa: ARG001 - torch passes it
    """Loader worker initialiser: ignore the signals that ask the *run* to stop.

    A signal sent to the process group would kill the workers before the run can save its checkpoint. `StepLoop` ends
    them when training does, whatever ends it.
    """
    torch.set_num_threads(1)
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
