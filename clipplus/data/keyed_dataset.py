"""A data set whose every random draw depends on (seed, epoch, index) alone, and which bounds bad samples."""

import logging
import signal
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import cv2
import torch
from mmengine.dist import all_gather_object
from mmengine.logging import print_log
from mmengine.registry import DATASETS, FUNCTIONS
from torch.utils.data import Dataset

from clipplus.data.seeding import mix, seed_all

# What an unreadable file makes image readers raise: PIL says SyntaxError for a broken PNG, mmcv asserts
# when OpenCV returns nothing.
BAD_SAMPLE_ERRORS = (OSError, ValueError, AssertionError, SyntaxError, cv2.error)
# Kinds that are told apart where the message itself is not at hand: a mark is a position in this list, plus 1.
_KINDS = (FileNotFoundError, *BAD_SAMPLE_ERRORS)


@DATASETS.register_module()
class KeyedDataset(Dataset[Any]):
    """Wraps any data set; asked for (epoch, index), it seeds all global generators, then asks that data set.

    A plain index (evaluation) counts as epoch 0 and draws from a stream of its own. A data set whose samples are
    another thing in every epoch, such as episodes, has a method `in_epoch(seed, epoch, index)`, which training calls
    instead.

    Samples that were found unreadable are marked. All loader workers of a process share the marks; `agree` shares them
    between ranks (`BadSampleHook` in training, the loops in evaluation), so that the bound holds for the run.

    Args:
        dataset: config of a data set, or a data set.
        on_bad_sample: 'raise' (the default); for training 'replace' an unreadable sample by another one drawn from
            (seed, epoch, index, attempt); for evaluation 'skip' it: None is returned in its place, which the
            evaluation loops leave out and list.
        max_bad_fraction: 'replace' and 'skip' raise once more than this fraction of all samples has been found bad.

    Attributes:
        seed: the run's seed; the loops set it before the first sample is read.

    Raises:
        ValueError: empty data set, or unknown `on_bad_sample`; when reading, 'skip' in training.
        RuntimeError: when reading, too many bad samples; names the last one and its error.
    """

    def __init__(
        self,
        dataset: dict | Dataset[Any],
        on_bad_sample: Literal["raise", "replace", "skip"] = "raise",
        max_bad_fraction: float = 0.01,
    ) -> None:
        if on_bad_sample not in ("raise", "replace", "skip"):
            raise ValueError(f"on_bad_sample must be 'raise', 'replace' or 'skip', got '{on_bad_sample}'")
        self.dataset: Any = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self.on_bad_sample = on_bad_sample
        self.max_bad_fraction = max_bad_fraction
        self.seed = 0
        self.full_init()
        if len(self) == 0:
            raise ValueError(f"{type(self.dataset).__name__} is empty: check its ann_file, data_root and filters")
        # One mark per sample in shared memory: all loader workers of this process write into it.
        self._bad = torch.zeros(len(self), dtype=torch.uint8).share_memory_()
        self._agreed: set[int] = set()

    @property
    def metainfo(self) -> dict:
        """The wrapped data set's meta information, classes among it."""
        return getattr(self.dataset, "metainfo", {})

    @property
    def bad_samples(self) -> list[int]:
        """Indices of the samples that were found unreadable so far."""
        return self._bad.nonzero().flatten().tolist()

    @property
    def marks(self) -> dict[int, int]:
        """Index of each bad sample -> its mark, to be saved and handed to `mark` after a resume."""
        return {index: int(self._bad[index]) for index in self.bad_samples}

    def mark(self, marks: Mapping[int, int]) -> None:
        """Count samples as bad that another process, or an earlier part of the run, found unreadable."""
        for index, mark in marks.items():
            self._bad[index] = mark

    def forget_bad_samples(self) -> None:
        """Begin to count anew."""
        self._bad.zero_()
        self._agreed.clear()

    def agree(self) -> int:
        """Share the marks between ranks; every rank must call it.

        Returns:
            How many samples were marked, on any rank, since the last time.

        Raises:
            RuntimeError: too many bad samples in all, on every rank alike.
        """
        new = {index: mark for index, mark in self.marks.items() if index not in self._agreed}
        found: dict[int, int] = {}
        for marks in all_gather_object(new):
            found.update(marks)
        self.mark(found)
        fresh = found.keys() - self._agreed
        self._agreed |= fresh
        self._require_few()
        return len(fresh)

    def bad_records(self) -> list[dict[str, Any]]:
        """The bad samples as JSON-able `{"index", "key", "error"}`, `error` being the kind of error."""
        return [
            {"index": index, "key": self._describe(index), "error": _KINDS[mark - 1].__name__}
            for index, mark in self.marks.items()
        ]

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
            return self._read(key)
        if self.on_bad_sample == "skip":
            return self._read_or_skip(index, isinstance(key, tuple))
        wanted = index
        for attempt in range(len(self)):
            try:
                return self._read((epoch, index) if isinstance(key, tuple) else index)
            except BAD_SAMPLE_ERRORS as error:
                self._note_bad(index, error)
            index = mix(self.seed, "replacement", epoch, wanted, attempt) % len(self)
        raise RuntimeError(f"no readable replacement found for sample {wanted} in epoch {epoch}")

    def _read(self, key: tuple[int, int] | int) -> Any:
        if isinstance(key, tuple) and hasattr(self.dataset, "in_epoch"):
            return self.dataset.in_epoch(self.seed, *key)
        return self.dataset[key[1] if isinstance(key, tuple) else key]

    def _read_or_skip(self, index: int, training: bool) -> Any:
        if training:
            raise ValueError("on_bad_sample='skip' is for evaluation; training knows 'raise' and 'replace'")
        try:
            return self.dataset[index]
        except BAD_SAMPLE_ERRORS as error:
            self._note_bad(index, error)
            return None

    def _note_bad(self, index: int, error: Exception) -> None:
        """Mark sample `index` as bad, warn the first time, stop the run when there are too many."""
        name = self._describe(index)
        if not self._bad[index]:
            self._bad[index] = 1 + next(i for i, kind in enumerate(_KINDS) if isinstance(error, kind))
            done = "replaced" if self.on_bad_sample == "replace" else "skipped"
            print_log(f"bad sample '{name}' is {done}: {error}", logger="current", level=logging.WARNING)
        self._require_few(name, error)

    def _require_few(self, last: str | None = None, error: Exception | None = None) -> None:
        """Raise when there are too many; `last` is the one found just now."""
        bad, allowed = int(self._bad.count_nonzero()), int(self.max_bad_fraction * len(self))
        if self.on_bad_sample == "raise" or bad <= allowed:
            return
        named = f"the last one is '{last}': {error}" if error else f"one is '{self._describe(self.bad_samples[-1])}'"
        raise RuntimeError(
            f"{bad} of {len(self)} samples cannot be read, allowed are {allowed} "
            f"(max_bad_fraction={self.max_bad_fraction}); {named}"
        ) from error

    def _describe(self, index: int) -> str:
        """The sample's key or path, whichever its data set knows."""
        info = self.get_data_info(index) if hasattr(self.dataset, "get_data_info") else {}
        return str(info.get("key") or info.get("img_path") or index)


def next_batch(batches: Iterator[Any]) -> Any:
    """The next batch of a loader; a worker's death is one error, whatever it was doing.

    Raises:
        RuntimeError: a worker was killed, e.g. by the system for want of memory.
    """
    try:
        return next(batches)
    # A worker that dies while it hands over a tensor shows in the socket only.
    except (ConnectionError, EOFError) as error:
        raise RuntimeError(
            f"a DataLoader worker died while it handed over a batch ({error!r}); was it killed for want of memory? "
            "The run can go on from its newest checkpoint"
        ) from error


@FUNCTIONS.register_module()
def quiet_worker(worker_id: int) -> None:  # noqa: ARG001 - torch passes it
    """Loader worker initialiser: ignore the signals that ask the *run* to stop.

    A signal sent to the process group would kill the workers before the run can save its checkpoint. `StepLoop` ends
    them when training does, whatever ends it.
    """
    torch.set_num_threads(1)
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
