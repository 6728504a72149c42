"""Checkpoints from which a run goes on as if never stopped, and the run's end when it is asked to stop."""

import logging
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from mmengine.runner import BaseLoop

from clipplus.checkpoints.atomic import remove_partials, sync_folder, written_aside
from clipplus.did_you_mean import did_you_mean
from clipplus.engine.histories import bound_histories
from clipplus.engine.latest import NUMBERED, numbered_checkpoints
from clipplus.engine.preemption import StopRequest
from clipplus.engine.run_record import FIXED, describe_data, run_record, take_up
from clipplus.engine.run_state import PREEMPTED, forget_run_state, read_run_state, write_run_state
from clipplus.engine.step_loop import StepLoop

_FILES = ("epoch_", "iter_", "best", "last_checkpoint", "run_state")
_OPTION = "default_hooks.checkpoint.allow_changed"


class CheckpointNotSavedError(OSError):
    """A checkpoint could not be written; those that are there stayed as they were."""


@HOOKS.register_module()
class RunCheckpointHook(Hook):
    """Saves where everything agrees on the position, so that the resumed run is the run that was never stopped.

    It takes the place of mmengine's `CheckpointHook` in trainings with `StepLoop`. Every file is written aside, synced
    and renamed; then `last_checkpoint` names it; then older files are removed. Numbered files are `epoch_N.pth` after N
    epochs, `iter_N.pth` after N updates. Every validation is preceded by a save, so that a kill in it loses nothing; a
    run that is resumed where a validation was due does that first.

    A file holds, besides mmengine's content, the entry `clipplus` (see `run_record`): going on with another seed,
    global batch size or training data is an error unless `allow_changed` names it.

    When a signal of `signals` reaches any rank, all ranks finish their update, save and end with exit code 85;
    `run_state.json` in the work directory says 'preempted' then, otherwise 'finished' or 'failed'. A signal that came
    of another rank's failure ends with 1, so that a run that always fails is not started again for ever.

    Args:
        interval: epochs between checkpoints where the loop counts epochs, else updates; besides, the training is saved
            at its end, before each validation and when it is asked to stop.
        max_keep_ckpts: numbered files to keep, or -1 for all.
        save_best: metric, e.g. 'shapes/top1', of which the best validation's weights are kept as `best_<metric>_*.pth`.
        rule: whether more of it is better, 'greater' or 'less'.
        signals: names of the signals that ask the run to stop; () for none.
        allow_changed: what may differ from the checkpoint that is resumed: 'global_batch', 'seed', 'data'.

    Raises:
        ValueError: options out of range; a metric that no validation has; resuming another run.
        TypeError: another training loop.
        CheckpointNotSavedError: a full disk and the like. The run ends, since every later update would be lost; what
            was saved before stays.
        SystemExit: with code 85, when the run was asked to stop.
    """

    priority = "VERY_LOW"

    def __init__(
        self,
        interval: int = 1,
        max_keep_ckpts: int = -1,
        save_best: str | None = None,
        rule: Literal["greater", "less"] = "greater",
        signals: Sequence[str] = ("SIGTERM", "SIGUSR1"),
        allow_changed: str | Sequence[str] = (),
    ) -> None:
        if interval < 1:
            raise ValueError(f"RunCheckpointHook: interval must be at least 1, got {interval}")
        if max_keep_ckpts != -1 and max_keep_ckpts < 1:
            raise ValueError(
                f"RunCheckpointHook: max_keep_ckpts must be at least 1, or -1 for all, got {max_keep_ckpts}"
            )
        if rule not in ("greater", "less"):
            raise ValueError(f"RunCheckpointHook: rule must be 'greater' or 'less', got '{rule}'")
        self.allow_changed = (allow_changed,) if isinstance(allow_changed, str) else tuple(allow_changed)
        for name in self.allow_changed:
            if name not in FIXED:
                hint = did_you_mean(name, FIXED)
                raise ValueError(f"RunCheckpointHook: allow_changed knows {', '.join(FIXED)}, got '{name}'{hint}")
        self.interval, self.max_keep_ckpts = interval, max_keep_ckpts
        self.save_best, self.rule = save_best, rule
        self._request = StopRequest(signals)
        self._best: dict[str, Any] = {}
        self._loop: StepLoop | None = None
        self._folder, self._data = Path(), ""
        self._saving = False
        self._saved: int | None = None
        self._save_seconds: float | None = None
        self._histories = 0

    # ------------------------------------------------------------------------------------------- state, begin and end

    def state_dict(self) -> dict[str, Any]:
        """`score` and `file` (relative to the work directory) of the best validation."""
        return dict(self._best)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on comparing."""
        self._best = dict(state)

    def before_run(self, runner: Any) -> None:
        """Before a checkpoint is loaded: check the loop, clear away what a kill left, listen to signals."""
        loop = runner._train_loop
        # Of a test it is still a config, or nothing.
        if not isinstance(loop, BaseLoop):
            return
        if not isinstance(loop, StepLoop):
            raise TypeError(
                f"RunCheckpointHook needs train_cfg=dict(type='StepLoop', ...), got {type(loop).__name__}, which has "
                "no moment when all agree on the position; with mmengine's loops use its CheckpointHook"
            )
        self._loop, self._folder = loop, Path(runner.work_dir)
        self._saved = self._save_seconds = None
        self._request.listen()
        forget_run_state(self._folder)
        data = [describe_data(runner) if is_main_process() else ""]
        broadcast_object_list(data)
        self._data = data[0]
        if is_main_process():
            for path in remove_partials(self._folder, _FILES):
                print_log(f"removed {path.name}, which a killed run left half-written", logger="current")

    def before_train(self, runner: Any) -> None:
        """Bound the histories, those of the checkpoint as well."""
        self._bound_histories(runner)
        fresh = self._loop is not None and self._loop.iter == 0
        others = numbered_checkpoints(self._folder) if fresh and is_main_process() else []
        if others:
            print_log(
                f"{self._folder} holds {len(others)} checkpoints of an earlier training ({others[-1].name}, ...), from "
                "which --resume may go on later: remove them, or use another --work-dir",
                logger="current",
                level=logging.WARNING,
            )

    def after_train(self, runner: Any) -> None:
        """Save the end of a training that a validation stopped early."""
        # Where nothing was trained there is no position to go on from.
        if self._loop is not None and self._loop.max_iters:
            self.save_position(runner)

    def save_position(self, runner: Any) -> None:
        """Save the position unless it is saved; for loops that change the weights after the last update."""
        if self._loop is not None and not self._is_saved():
            self._save_numbered(runner, self._loop)

    def save_weights(self, runner: Any, name: str) -> None:
        """Save the weights as they are now, which no training can go on from; all ranks call it."""
        if self._loop is not None:
            self._save(runner, self._loop, name, resumable=False)

    @property
    def best_file(self) -> Path | None:
        """The weights of the best validation so far."""
        return self._folder / self._best["file"] if self._best else None

    def may_leave(self, runner: Any) -> None:
        """For work outside of the updates, at points from which it goes on when the run is started again."""
        if self._loop is not None and self._request.heard():
            self._leave("asked to stop between updates")

    def after_run(self, runner: Any) -> None:
        """The training is done."""
        if self._loop is not None:
            write_run_state(self._folder, "finished", self._loop.iter)
            self._end()

    def after_failure(self, runner: Any, error: BaseException) -> None:
        """`StepLoop` calls it with whatever ended it: say so in `run_state.json`.

        Raises:
            SystemExit: the failure comes of another rank's having left, as it was asked to.
        """
        loop = self._loop
        if loop is None or (isinstance(error, SystemExit) and error.code == PREEMPTED):
            return
        # What collectives raise when a rank is gone. One that left as it was asked to has written so before; a signal
        # alone says nothing, since launchers send it to all when any rank is killed.
        if isinstance(error, RuntimeError) and read_run_state(self._folder) == "preempted":
            self._leave("another rank was asked to stop, and has left")
        write_run_state(self._folder, "failed", loop.iter, any_rank=True)
        self._end()

    def _end(self) -> None:
        self._request.stop_listening()
        self._loop = None

    # ------------------------------------------------------------------------------------------------------- saving

    def after_step(self, runner: Any) -> None:
        """Save what is due, or what the run is asked to leave behind."""
        loop = self._loop
        if loop is None:
            return
        if len(runner.message_hub.log_scalars) != self._histories:
            self._bound_histories(runner)
        signal_number = self._request.agreed()
        if signal_number or self._due(loop):
            self._save_numbered(runner, loop)
        if signal_number:
            self._leave(f"signal {signal_number}")

    def before_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Leave a validation when asked to: the position before it was saved."""
        if self._loop is not None and self._request.heard() and self._is_saved():
            self._leave("asked to stop in validation, which is done again when the run is resumed")

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Keep the weights if no validation was better."""
        if self._loop is None or self.save_best is None or not self._loop.chooses:
            return
        if self.save_best not in (metrics or {}):
            hint = did_you_mean(self.save_best, metrics or {})
            raise ValueError(
                f"RunCheckpointHook: save_best='{self.save_best}' is no metric of the validation{hint}; "
                f"known: {', '.join(metrics or {})}"
            )
        score = float((metrics or {})[self.save_best])
        best = self._best.get("score")
        # A nan is never better.
        if best is None or (score > best if self.rule == "greater" else score < best):
            self._save_best(runner, self._loop, score)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Add the run's record, and the true position: mmengine guesses that hooks save before the loop counts."""
        if self._loop is None:
            return
        if self._saving:
            checkpoint["meta"].update(iter=self._loop.iter, epoch=self._loop.epoch)
        checkpoint["clipplus"] = run_record(runner, self._data)

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """When resuming: refuse another run's checkpoint, and hand the hooks their states."""
        if self._loop is not None and runner._resume:
            take_up(runner, checkpoint, self._data, self.allow_changed, _OPTION)
            self._saved = int(checkpoint["meta"]["iter"])

    def _due(self, loop: StepLoop) -> bool:
        if loop.iter >= loop.max_iters or loop.stop_training or loop.validation_due():
            return True
        if not loop.by_epoch:
            return loop.iter % self.interval == 0
        return loop.iter % len(loop.batches) == 0 and loop.epoch % self.interval == 0

    def _is_saved(self) -> bool:
        return self._loop is not None and self._saved == self._loop.iter

    def _save_numbered(self, runner: Any, loop: StepLoop) -> None:
        self._save(runner, loop, f"{self._position(loop)}.pth", resumable=True)
        self._saved = loop.iter
        if is_main_process():
            self._remove_old(loop)

    def _name_last(self, path: Path) -> None:
        # Absolute, as mmengine writes it and the hosts' tools read it.
        with written_aside(self._folder / "last_checkpoint") as partial:
            partial.write_text(str(path.resolve()), encoding="utf-8")

    def _save_best(self, runner: Any, loop: StepLoop, score: float) -> None:
        metric = re.sub(r"[^\w@.-]", "_", str(self.save_best))
        name = f"best_{metric}_{self._position(loop)}.pth"
        self._save(runner, loop, name, resumable=False)
        self._best = {"score": score, "file": name}
        if is_main_process():
            position = re.compile(rf"best_{re.escape(metric)}_(epoch|iter)_\d+\.pth")
            for path in self._folder.glob("best_*.pth"):
                if path.name != name and position.fullmatch(path.name):
                    path.unlink(missing_ok=True)
        print_log(f"best {self.save_best} so far: {score:.4f}, saved as {name}", logger="current")

    @staticmethod
    def _position(loop: StepLoop) -> str:
        """What files are called here; within an epoch only updates tell where."""
        if loop.by_epoch and loop.iter % len(loop.batches) == 0:
            return f"epoch_{loop.epoch}"
        return f"iter_{loop.iter}"

    def _save(self, runner: Any, loop: StepLoop, name: str, resumable: bool) -> None:
        """Write one file, whole or not at all; all ranks fail when the one that writes does."""
        begun = time.perf_counter()
        path, failure = self._folder / name, None
        # All ranks call it: with sharded weights they help to collect them.
        aside = written_aside(path) if is_main_process() else nullcontext(path)
        self._saving = True
        try:
            with aside as partial:
                runner.save_checkpoint(
                    str(self._folder), partial.name, save_optimizer=resumable,
                    save_param_scheduler=resumable and runner.param_schedulers is not None,
                    meta=dict(epoch=loop.epoch, iter=loop.iter),
                )  # fmt: skip
            if resumable and is_main_process():
                self._name_last(path)
            sync_folder(self._folder)
        # The other ranks must hear of it, whatever it was, before they wait for this one elsewhere.
        except Exception as error:  # noqa: BLE001 - raised below
            failure = error
        finally:
            self._saving = False
        said = [f"{type(failure).__name__}: {failure}" if failure else None]
        broadcast_object_list(said)
        if isinstance(failure, OSError):
            raise CheckpointNotSavedError(
                f"checkpoint {path} cannot be written ({failure}); nothing of it is left, earlier checkpoints are as "
                "they were. Make room, and go on with --resume"
            ) from failure
        if failure is not None:
            raise failure
        if said[0]:
            raise CheckpointNotSavedError(f"rank 0 could not write checkpoint {path} ({said[0]})")
        self._log_time(name, time.perf_counter() - begun)

    def _log_time(self, name: str, seconds: float) -> None:
        if self._save_seconds is None:
            self._save_seconds = seconds
            print_log(
                f"saved {name} in {seconds:.2f} s; between a signal to stop and the kill there must be more than that "
                "and an update (torchrun allows 30 s)",
                logger="current",
            )

    def _remove_old(self, loop: StepLoop) -> None:
        """Keep the newest numbered files up to this position; later ones are another run's, and not touched."""
        if self.max_keep_ckpts == -1:
            return
        updates: dict[Path, int] = {}
        for path in numbered_checkpoints(self._folder):
            unit, number = NUMBERED.fullmatch(path.name).groups()  # type: ignore[union-attr]
            updates[path] = int(number) * (len(loop.batches) if unit == "epoch" else 1)
        old = sorted((path for path in updates if updates[path] < loop.iter), key=lambda path: updates[path])
        for path in old[: max(len(old) - (self.max_keep_ckpts - 1), 0)]:
            path.unlink(missing_ok=True)

    # ------------------------------------------------------------------------------------------- stopping, histories

    def _bound_histories(self, runner: Any) -> None:
        bound_histories(runner)
        self._histories = len(runner.message_hub.log_scalars)

    def _leave(self, reason: str) -> None:
        """End this process as preempted, unless another rank failed first.

        Signals are ignored from now on: the interpreter's end gives taken-over ones back, and another one would change
        the exit code.
        """
        self._request.ignore()
        loop = self._loop
        iteration = loop.iter if loop is not None else 0
        print_log(f"stopping after update {iteration} ({reason}); --resume goes on from there", logger="current")
        state = write_run_state(self._folder, "preempted", iteration, any_rank=True)
        raise SystemExit(PREEMPTED if state == "preempted" else 1)
