"""What is saved when, under which name, and what a resumed run must share with the one before."""

import errno
import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import Dataset

from clipplus.checkpoints import load_restricted
from clipplus.engine import RunCheckpointHook, latest_checkpoint, run_record
from clipplus.engine.histories import bound_histories
from clipplus.engine.run_state import PREEMPTED, write_run_state

SCORES = [3.0, 5.0, 4.0, 6.0, float("nan")]


@DATASETS.register_module()
class TenNumbers(Dataset):
    """Item i is i."""

    metainfo: dict = {}

    def __init__(self, size: int = 10) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"inputs": torch.tensor([float(index)])}


@MODELS.register_module()
class OneWeight(BaseModel):
    couples_samples = False

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, inputs: torch.Tensor, mode: str = "loss") -> Any:
        return {"loss": (self.weight * inputs).square().mean()} if mode == "loss" else [self.weight]


class StockLoop(BaseLoop):
    """Any loop that is not ours."""

    def run(self) -> None: ...


class Scores(Hook):
    """Validates without a validation loop: the n-th time with the n-th score."""

    # After the checkpoint of the same update.
    priority = "LOWEST"

    def __init__(self) -> None:
        self.number = 0

    def after_step(self, runner: Runner) -> None:
        if runner.iter % 2 == 0:
            self.number += 1
            checkpoint = next(hook for hook in runner.hooks if isinstance(hook, RunCheckpointHook))
            checkpoint.after_val_epoch(runner, {"set/score": SCORES[self.number - 1]})


class LosesAnotherRank(Hook):
    """Is told to stop right after a checkpoint, and finds that another rank is gone.

    Args:
        wrote: how the other rank said that the run ended, if it said anything.
    """

    def __init__(self, wrote: str | None) -> None:
        self.wrote = wrote

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        if runner.iter == 2:
            if self.wrote:
                write_run_state(runner.work_dir, self.wrote, 2, any_rank=True)
            os.kill(os.getpid(), signal.SIGTERM)
            raise RuntimeError("Connection closed by peer")


class FullDisk(Hook):
    """Nothing can be written any more when the training fails."""

    priority = "VERY_HIGH"

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        raise FloatingPointError("the cause")

    def after_failure(self, runner: Runner, error: BaseException) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def run(folder: Path, train_cfg: dict | None = None, hook: dict | None = None, **options: Any) -> Runner:
    optimizer = dict(type="SGD", lr=options.pop("lr", 0.001))
    runner = Runner(
        model=dict(type="OneWeight"),
        work_dir=str(folder),
        train_dataloader=dict(
            batch_size=options.pop("batch_size", 5), num_workers=0, persistent_workers=False,
            sampler=dict(type="EpochOrder"), batch_sampler=dict(type="GlobalBatches"),
            collate_fn=dict(type="default_collate"),
            dataset=dict(type="KeyedDataset", dataset=dict(type="TenNumbers", size=options.pop("size", 10))),
        ),
        train_cfg=dict(type="StepLoop", **(train_cfg or dict(max_epochs=4))),
        optim_wrapper=dict(type="OptimWrapper", optimizer=optimizer),
        default_hooks=dict(checkpoint=dict(type="RunCheckpointHook", **(hook or {}))),
        custom_hooks=options.pop("custom_hooks", []),
        randomness=dict(seed=options.pop("seed", 3)),
        experiment_name=f"{folder.name}_{len(list(folder.parent.rglob('*')))}",
        log_level="ERROR",
        cfg=Config(dict(model=dict(type="OneWeight"), optim_wrapper=dict(optimizer=optimizer))),
        **options,
    )  # fmt: skip
    runner.train()
    return runner


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.pth"))


@pytest.mark.parametrize(
    ("train_cfg", "hook", "expected"),
    [
        (dict(max_epochs=4), {}, ["epoch_1.pth", "epoch_2.pth", "epoch_3.pth", "epoch_4.pth"]),
        (dict(max_epochs=5), dict(interval=2), ["epoch_2.pth", "epoch_4.pth", "epoch_5.pth"]),
        (dict(max_epochs=4), dict(max_keep_ckpts=2), ["epoch_3.pth", "epoch_4.pth"]),
        (dict(max_iters=7), dict(interval=3), ["iter_3.pth", "iter_6.pth", "iter_7.pth"]),
    ],
)
def test_names_and_numbers_of_kept_files(tmp_path: Path, train_cfg: dict, hook: dict, expected: list[str]) -> None:
    run(tmp_path / "work", train_cfg, hook)
    assert names(tmp_path / "work") == expected
    last = tmp_path / "work" / "last_checkpoint"
    assert Path(last.read_text()) == latest_checkpoint(tmp_path / "work") == tmp_path / "work" / max(expected)
    assert json.loads((tmp_path / "work" / "run_state.json").read_text())["state"] == "finished"


def test_file_states_its_true_position_and_what_must_not_change(tmp_path: Path) -> None:
    run(tmp_path / "work", dict(max_epochs=3))
    content = load_restricted(tmp_path / "work" / "epoch_2.pth")
    assert (content["meta"]["epoch"], content["meta"]["iter"]) == (2, 4)
    record = content["clipplus"]
    assert {key: record[key] for key in ("format", "last_val", "global_batch", "seed")} == {
        "format": 1, "last_val": None, "global_batch": 5, "seed": 3,
    }  # fmt: skip
    assert record["data"].startswith("10 samples")
    assert record["hooks"] == {"RunCheckpointHook": {}}


@pytest.mark.parametrize(
    ("changed", "message", "name"),
    [
        (dict(seed=4), "the seed was 3 when .* was saved and is 4 now", "seed"),
        (dict(batch_size=2), "the global batch size was 5 .* is 2 now", "global_batch"),
        (dict(size=12), "the training data was 10 samples.* is 12 samples", "data"),
    ],
)
def test_resuming_another_run_is_refused_unless_asked_for(
    tmp_path: Path, changed: dict, message: str, name: str
) -> None:
    run(tmp_path / "work", dict(max_epochs=1))
    resume = dict(resume=True, load_from=str(tmp_path / "work" / "epoch_1.pth"), **changed)
    with pytest.raises(ValueError, match=rf"{message}.* set default_hooks.checkpoint.allow_changed='{name}'"):
        run(tmp_path / "work", dict(max_epochs=2), **resume)
    resumed = run(tmp_path / "work", dict(max_epochs=2), dict(allow_changed=name), **resume)
    assert resumed.iter == resumed.max_iters
    assert resumed.seed == changed.get("seed", 3)


def test_changed_optimiser_is_said_and_the_saved_one_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(run_record, "print_log", lambda text, *_, **__: said.append(text))
    run(tmp_path / "work", dict(max_epochs=1))
    resume = dict(resume=True, load_from=str(tmp_path / "work" / "epoch_1.pth"))
    resumed = run(tmp_path / "work", dict(max_epochs=2), lr=0.5, **resume)
    assert resumed.optim_wrapper.get_lr() == {"lr": [0.001]}
    assert "(optim_wrapper.optimizer.lr 0.001 -> 0.5), but optimiser and schedules go on as they were saved" in said[0]
    run(tmp_path / "work", dict(max_epochs=2), **resume)
    assert len(said) == 1


def test_file_of_weights_only_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "work", dict(max_epochs=2), dict(save_best="set/score"), custom_hooks=[Scores()])
    best = tmp_path / "work" / "best_set_score_epoch_2.pth"
    torch.save(load_restricted(best)["state_dict"], tmp_path / "plain.pth")
    for path in (best, tmp_path / "plain.pth"):
        with pytest.raises(ValueError, match=rf"{path.name} holds weights only, .* --resume an epoch_N.pth"):
            run(tmp_path / "other", resume=True, load_from=str(path))


def test_lost_rank_is_a_failure_unless_it_left_as_asked_to(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="closed by peer"):
        run(tmp_path / "killed", custom_hooks=[LosesAnotherRank(None)])
    assert json.loads((tmp_path / "killed" / "run_state.json").read_text()) == {"state": "failed", "iteration": 2}
    with pytest.raises(SystemExit) as left:
        run(tmp_path / "left", custom_hooks=[LosesAnotherRank("preempted")])
    assert left.value.code == PREEMPTED
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)


def test_cause_of_a_failure_is_seen_when_its_record_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match="the cause"):
        run(tmp_path / "work", custom_hooks=[FullDisk()])


@pytest.mark.parametrize(("rule", "best"), [("greater", "epoch_4"), ("less", "epoch_1")])
def test_only_the_best_validations_weights_are_kept(tmp_path: Path, rule: str, best: str) -> None:
    hook = dict(save_best="set/score", rule=rule, max_keep_ckpts=1)
    run(tmp_path / "work", dict(max_epochs=5), hook, custom_hooks=[Scores()])
    assert names(tmp_path / "work") == [f"best_set_score_{best}.pth", "epoch_5.pth"]
    assert "optimizer" not in load_restricted(tmp_path / "work" / f"best_set_score_{best}.pth")


def test_unknown_metric_is_named_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"save_best='set/scor' .*did you mean 'set/score'.*known: set/score"):
        run(tmp_path / "work", hook=dict(save_best="set/scor"), custom_hooks=[Scores()])
    assert json.loads((tmp_path / "work" / "run_state.json").read_text()) == {"state": "failed", "iteration": 2}


def test_leftovers_of_a_kill_and_of_an_earlier_end_are_removed(tmp_path: Path) -> None:
    work_dir = tmp_path / "work"
    work_dir.mkdir()
    left = [work_dir / name for name in ("epoch_1.77.partial.pth", "last_checkpoint.77.partial", "epoch_9.pth.partial")]
    for path in [*left, work_dir / "cell.77.partial.json"]:
        path.touch()
    run(work_dir, dict(max_epochs=1))
    assert not any(path.exists() for path in left)
    assert (work_dir / "cell.77.partial.json").exists()


def test_stock_loop_is_refused_by_name() -> None:
    hook, runner = RunCheckpointHook(), SimpleNamespace(_train_loop=object.__new__(StockLoop))
    with pytest.raises(TypeError, match=r"needs train_cfg=dict\(type='StepLoop', ...\), got StockLoop"):
        hook.before_run(runner)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(interval=0), "interval must be at least 1"),
        (dict(max_keep_ckpts=0), "max_keep_ckpts must be at least 1, or -1"),
        (dict(rule="more"), "rule must be 'greater' or 'less'"),
        (dict(signals=("SIGTERN",)), r"no signal is called 'SIGTERN' \(did you mean 'SIGTERM'\?\)"),
        (
            dict(allow_changed="sed"),
            r"allow_changed knows global_batch, seed, data, got 'sed' \(did you mean 'seed'\?\)",
        ),
    ],
)
def test_options_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RunCheckpointHook(**options)


def test_histories_stay_bounded_through_a_resume(tmp_path: Path) -> None:
    runner = run(tmp_path / "work", dict(max_iters=4))
    assert {history.max_length for history in runner.message_hub.log_scalars.values()} == {1000}
    runner.log_processor.window_size = 1500
    bound_histories(runner)
    assert {history.max_length for history in runner.message_hub.log_scalars.values()} == {1500}
    resumed = run(tmp_path / "work", dict(max_iters=6), resume=True, load_from=str(tmp_path / "work" / "iter_4.pth"))
    assert {history.max_length for history in resumed.message_hub.log_scalars.values()} == {1000}
