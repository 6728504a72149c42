"""The training loop: one iteration is one optimiser update, and everything follows from its number."""

import logging
import math
from collections.abc import Iterator
from typing import Any

from mmengine.dist import broadcast, get_rank, get_world_size
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop
from torch import nn
from torch.utils.data import DataLoader

from clipplus.data import GlobalBatches, KeyedDataset, next_batch
from clipplus.data.seeding import seed_step
from clipplus.towers.batch_norm import training_batch_norms


@LOOPS.register_module()
class StepLoop(EpochBasedTrainLoop):
    """Trains for `max_epochs` or `max_iters` updates; the epoch is the update number divided by updates per epoch.

    With `accumulative_counts=K` in the optim wrapper an update takes K batches of the loader, and hooks, schedulers,
    EMA, logging and intervals count updates. Every step is seeded from (seed, update, part of the global batch), every
    sample from (seed, epoch, index), so that a run does not depend on workers, ranks or where it was resumed (training
    BatchNorm excepted, which a warning names on several ranks).

    It is an `EpochBasedTrainLoop` because hosts' hooks ask for one. After an update with all its hooks it calls the
    hook point `after_step`, the only place where everything agrees on the position. When anything ends it early it
    calls `after_failure(error)`.

    Resumed at a position where a validation is due, it validates first: checkpoints are saved before.

    Args:
        runner: mmengine's Runner.
        dataloader: config with `sampler=dict(type='EpochOrder')`, `batch_sampler=dict(type='GlobalBatches')` and
            `dataset=dict(type='KeyedDataset', ...)`.
        max_epochs: length of the training; or
        max_iters: its length in updates.
        val_interval: validate every so many epochs (with `max_epochs`) or updates (with `max_iters`), and at the end.

    Attributes:
        last_val: the update after which the newest validation was done.
        chooses: whether a validation's result may decide which weights are the best ones.

    Raises:
        ValueError: not exactly one of `max_epochs` and `max_iters`; accumulation for a model whose loss couples the
            samples of a batch.
        TypeError: a dataloader of another form.
    """

    def __init__(
        self,
        runner: Any,
        dataloader: dict | DataLoader,
        max_epochs: int | None = None,
        max_iters: int | None = None,
        val_interval: int = 1,
    ) -> None:
        if (max_epochs is None) == (max_iters is None):
            raise ValueError(f"train_cfg needs max_epochs or max_iters, got {max_epochs} and {max_iters}")
        loader = runner.build_dataloader(dataloader, seed=runner.seed) if isinstance(dataloader, dict) else dataloader
        batches = loader.batch_sampler
        if not isinstance(batches, GlobalBatches) or not isinstance(loader.dataset, KeyedDataset):
            raise TypeError(
                "StepLoop needs train_dataloader with sampler=dict(type='EpochOrder'), "
                "batch_sampler=dict(type='GlobalBatches') and dataset=dict(type='KeyedDataset', dataset=...), got "
                f"{type(batches).__name__} and {type(loader.dataset).__name__}"
            )
        self.batches = batches
        self.accumulation = _accumulation(runner.optim_wrapper)
        self.batches.set_accumulation(self.accumulation)
        self.by_epoch = max_iters is None
        self.last_val: int | None = None
        self.chooses = True
        epochs = max_epochs if max_iters is None else math.ceil(max_iters / len(self.batches))
        super().__init__(runner, loader, max_epochs=epochs, val_interval=val_interval)
        if max_iters is not None:
            self._max_iters = max_iters
        self._refuse_hidden_negatives()

    def _refuse_hidden_negatives(self) -> None:
        model = self.runner.model.module if is_model_wrapper(self.runner.model) else self.runner.model
        if self.accumulation > 1 and getattr(model, "couples_samples", False):
            raise ValueError(
                f"{type(model).__name__} contrasts the samples of a batch: accumulative_counts={self.accumulation} "
                "would hide most negatives from each other; raise train_dataloader.batch_size instead, with "
                "model.micro_batch for what fits into memory at a time"
            )

    def _warn_of_batch_norm(self) -> None:
        """Statistics per rank make ranks visible: the one thing in a model that position and seed cannot determine."""
        model = self.runner.model
        plain = [n for n in training_batch_norms(model) if not isinstance(model.get_submodule(n), nn.SyncBatchNorm)]
        if get_world_size() > 1 and plain:
            print_log(
                f"{len(plain)} BatchNorm layers ({plain[0]}, ...) normalise each rank's part of the batch alone, so "
                "results depend on the number of ranks: sync_bn='torch' (GPUs) or bn_mode='frozen' avoid it",
                logger="current",
                level=logging.WARNING,
            )

    def run(self) -> Any:
        """Train from the current update (0, or where a checkpoint left off) to the last."""
        try:
            self._run()
        except BaseException as error:
            try:
                self.runner.call_hook("after_failure", error=error)
            except OSError as second:
                # On a full disk; what came first is the cause, and is to be seen.
                print_log(f"how the run ended cannot be written down: {second}", "current", logging.ERROR)
            raise
        return self.runner.model

    def _run(self) -> None:
        self._take_position()
        if self._iter >= self._max_iters > 0:
            print_log(
                f"nothing is left to train: update {self._iter} of {self._max_iters} is done (train_cfg)",
                logger="current",
                level=logging.WARNING,
            )
        self._warn_of_batch_norm()
        self.runner.call_hook("before_train")
        if self._iter > 0 and self.last_val != self._iter:
            self._validate_if_due()
        batches = iter(self.dataloader)
        try:
            self._train(batches)
        finally:
            # Workers ignore SIGTERM (`quiet_worker`): left to the interpreter's exit, they would keep the run alive.
            if hasattr(batches, "_shutdown_workers"):
                batches._shutdown_workers()
        self.runner.call_hook("after_train")

    def _train(self, batches: Iterator[Any]) -> None:
        """All updates from the current one to the last."""
        fresh_epoch = True
        while self._iter < self._max_iters and not self.stop_training:
            if fresh_epoch:
                self.runner.call_hook("before_train_epoch")
                self.runner.model.train()
            self.run_iter(self._iter % len(self.batches), [next_batch(batches) for _ in range(self.accumulation)])
            fresh_epoch = self._iter % len(self.batches) == 0
            if fresh_epoch:
                self.runner.call_hook("after_train_epoch")
                self._epoch += 1
            self.runner.call_hook("after_step")
            self._validate_if_due()

    def _take_position(self) -> None:
        """Hand the run's seed and position to everything that depends on them; a resume may have changed both."""
        seed = self.runner.seed
        self.batches.sampler.seed = seed
        self.dataloader.dataset.seed = seed
        self._epoch = self._iter // len(self.batches)
        self.batches.start, self.batches.stop = self._iter, self._max_iters
        # mmengine counted updates, the wrapper counts its own calls.
        self.runner.optim_wrapper.initialize_count_status(
            self.runner.model, self._iter * self.accumulation, self._max_iters * self.accumulation
        )

    def run_iter(self, idx: int, data_batch: list[Any]) -> None:
        """One update.

        Args:
            idx: its position in the epoch.
            data_batch: one loader batch per micro-step; hooks are shown the last one, and the mean of the outputs.
        """
        self.runner.call_hook("before_train_iter", batch_idx=idx, data_batch=data_batch[-1])
        outputs = []
        for k, batch in enumerate(data_batch):
            seed_step(self.runner.seed, self._iter, get_rank() * self.accumulation + k)
            outputs.append(self.runner.model.train_step(batch, optim_wrapper=self.runner.optim_wrapper))
        mean = {name: sum(output[name] for output in outputs) / len(outputs) for name in outputs[0]}
        self.runner.call_hook("after_train_iter", batch_idx=idx, data_batch=data_batch[-1], outputs=mean)
        self._iter += 1

    def _validate_if_due(self) -> None:
        if self.validation_due():
            self._share_buffers()
            self.runner.val_loop.run()
            self.last_val = self._iter
            self.runner.model.train()

    def _share_buffers(self) -> None:
        """Give all ranks the running statistics of the first one, as a checkpoint does.

        DDP shares them when the next update begins; validation, in between, would use each rank's own.
        """
        if get_world_size() > 1:
            for buffer in self.runner.model.buffers():
                broadcast(buffer)

    def validation_due(self) -> bool:
        """Whether the current position is one to validate at."""
        if self.runner.val_loop is None:
            return False
        finished = self._iter >= self._max_iters or self.stop_training
        if self.by_epoch:
            epoch_ended = self._iter % len(self.batches) == 0
            return epoch_ended and (self._epoch % self.val_interval == 0 or finished)
        return self._iter % self.val_interval == 0 or finished


def _accumulation(optim_wrapper: Any) -> int:
    """Micro-steps per update; the Runner builds the loop before the optim wrapper, which may still be a config."""
    if isinstance(optim_wrapper, dict):
        return int(optim_wrapper.get("accumulative_counts", 1))
    return int(getattr(optim_wrapper, "_accumulative_counts", 1))
