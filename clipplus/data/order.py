"""Which samples form which batch: pure functions of (seed, update), cut for ranks and micro-steps.

With N samples, W ranks, K micro-steps per update and b samples per rank and micro-step, an update
trains on G = W * K * b samples. Update t of the run takes rows [t*G, (t+1)*G) of its epoch's
permutation; part p = rank * K + k takes the p-th run of b of them. The sequence of global batches
therefore depends on the seed and G alone.
"""

from collections.abc import Iterator, Sized

import numpy as np
from mmengine.dist import get_dist_info
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import Sampler

from clipplus.data.seeding import mix


@DATA_SAMPLERS.register_module()
class EpochOrder(Sampler[int]):
    """The order of all samples in an epoch.

    Args:
        dataset: anything with a length; mmengine's Runner passes it.
        seed: the run's seed; `StepLoop` sets it again after a resume.
        shuffle: a fresh permutation for every epoch, or the data set's own order.
    """

    def __init__(self, dataset: Sized, seed: int | None = None, shuffle: bool = True) -> None:
        self.size = len(dataset)
        self.seed = seed or 0
        self.shuffle = shuffle

    def order(self, epoch: int) -> np.ndarray:
        """Sample indices of `epoch` in training order, (N,) int64."""
        if not self.shuffle:
            return np.arange(self.size)
        return np.random.Generator(np.random.PCG64(mix(self.seed, "order", epoch))).permutation(self.size)

    def __iter__(self) -> Iterator[int]:
        """Indices of the first epoch; training asks `order` instead."""
        return iter(self.order(0).tolist())

    def __len__(self) -> int:
        return self.size


@DATA_SAMPLERS.register_module()
class GlobalBatches(Sampler[list[tuple[int, int]]]):
    """Batches of this rank as lists of (epoch, index), `accumulation` of them per update.

    One pass over it serves the whole run: epochs follow each other without restarting the loader.
    What does not fill a global batch at the end of an epoch is left out of that epoch.

    Args:
        sampler: an `EpochOrder`.
        batch_size: samples per rank and micro-step.

    Attributes:
        start, stop: the updates to yield, [start, stop); set by `StepLoop` before iterating.
        accumulation: micro-steps per update (K); set by `StepLoop`.

    Raises:
        TypeError: another sampler was configured.
        ValueError: the data set is smaller than one global batch, or batches of less than one sample.
    """

    def __init__(self, sampler: EpochOrder, batch_size: int) -> None:
        if not isinstance(sampler, EpochOrder):
            raise TypeError(
                f"train_dataloader.batch_sampler GlobalBatches needs sampler=dict(type='EpochOrder'), "
                f"got {type(sampler).__name__}"
            )
        if batch_size < 1:
            raise ValueError(f"train_dataloader.batch_size must be at least 1, got {batch_size}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.rank, self.world_size = get_dist_info()
        self.accumulation = 1
        self.start = 0
        self.stop: int | None = None
        self._check_size()

    @property
    def global_batch_size(self) -> int:
        """Samples per optimiser update over all ranks and micro-steps."""
        return self.batch_size * self.world_size * self.accumulation

    def set_accumulation(self, accumulation: int) -> None:
        """State the micro-steps per update.

        Raises:
            ValueError: the data set is smaller than the global batch that results.
        """
        self.accumulation = accumulation
        self._check_size()

    def _check_size(self) -> None:
        if len(self.sampler) < self.global_batch_size:
            raise ValueError(
                f"the training data has {len(self.sampler)} samples, less than one global batch of "
                f"{self.global_batch_size} (train_dataloader.batch_size={self.batch_size} x {self.world_size} ranks x "
                f"accumulative_counts={self.accumulation}): lower train_dataloader.batch_size"
            )

    def __len__(self) -> int:
        """Updates per epoch."""
        return len(self.sampler) // self.global_batch_size

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch_of_order, order = -1, np.empty(0, dtype=np.int64)
        stop = self.stop if self.stop is not None else self.start + len(self)
        for update in range(self.start, stop):
            epoch, position = divmod(update, len(self))
            if epoch != epoch_of_order:
                epoch_of_order, order = epoch, self.sampler.order(epoch)
            for k in range(self.accumulation):
                part = self.rank * self.accumulation + k
                first = position * self.global_batch_size + part * self.batch_size
                yield [(epoch, int(index)) for index in order[first : first + self.batch_size]]
