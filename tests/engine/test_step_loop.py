"""The loop's positions: updates, epochs, accumulation, validation, resume."""

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

import clipplus.engine  # noqa: F401 - registers the loop


@DATASETS.register_module()
class NoisyNumbers(Dataset):
    """Item i is (i, i plus noise from the global generator)."""

    metainfo: dict = {}

    def __init__(self, size: int = 20) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, Any]:
        return dict(inputs=torch.tensor([index + float(torch.rand(1))]), index=index)


@MODELS.register_module()
class DropoutLine(BaseModel):
    """Fits a line under dropout; notes what it was given."""

    couples_samples = False

    def __init__(self) -> None:
        super().__init__()
        self.line, self.dropout = nn.Linear(1, 1), nn.Dropout(0.5)

    def forward(self, inputs: torch.Tensor, index: torch.Tensor, mode: str = "loss") -> dict[str, torch.Tensor]:
        return {"loss_square": (self.line(self.dropout(inputs)) - 1).square().mean()}


class Trace(Hook):
    """Every hook point with the positions that it saw."""

    def __init__(self) -> None:
        self.points: list[tuple] = []
        self.samples: list[list[int]] = []
        self.losses: list[float] = []

    def before_train_epoch(self, runner: Runner) -> None:
        self.points.append(("epoch", runner.epoch, runner.iter))

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.points.append(("iter", runner.epoch, runner.iter, batch_idx))
        self.samples.append(data_batch["index"].tolist())
        self.losses.append(float(outputs["loss"]))

    def after_step(self, runner: Runner) -> None:
        self.points.append(("step", runner.epoch, runner.iter))


def run(folder: Path, train_cfg: dict, stop_at: int | None = None, **options: Any) -> tuple[Trace, Runner]:
    """Train the toy; `stop_at` ends it after so many updates, as a kill would."""
    trace = Trace()

    class Stop(Hook):
        def after_step(self, runner: Runner) -> None:
            if runner.iter == stop_at:
                runner.save_checkpoint(str(folder), "stopped.pth", meta=dict(epoch=runner.epoch, iter=runner.iter))
                runner.train_loop.stop_training = True

    runner = Runner(
        model=dict(type="DropoutLine"),
        work_dir=str(folder),
        train_dataloader=dict(
            batch_size=options.pop("batch_size", 4),
            num_workers=options.pop("num_workers", 0),
            persistent_workers=False,
            sampler=dict(type="EpochOrder"),
            batch_sampler=dict(type="GlobalBatches"),
            collate_fn=dict(type="default_collate"),
            dataset=dict(type="KeyedDataset", dataset=dict(type="NoisyNumbers")),
        ),
        train_cfg=dict(type="StepLoop", **train_cfg),
        optim_wrapper=dict(
            type="OptimWrapper",
            optimizer=dict(type="AdamW", lr=0.01),
            accumulative_counts=options.pop("accumulative_counts", 1),
        ),
        param_scheduler=dict(type="ExponentialLR", gamma=0.9, by_epoch=False),
        custom_hooks=[trace, Stop()],
        default_hooks=dict(checkpoint=None),
        randomness=dict(seed=3),
        experiment_name=f"{folder.name}_{len(list(folder.parent.iterdir()))}_{stop_at}",
        log_level="ERROR",
        **options,
    )
    runner.train()
    return trace, runner


def test_points_and_positions_of_two_epochs(tmp_path: Path) -> None:
    trace, runner = run(tmp_path, dict(max_epochs=2), batch_size=10)
    assert trace.points == [
        ("epoch", 0, 0), ("iter", 0, 0, 0), ("step", 0, 1), ("iter", 0, 1, 1), ("step", 1, 2),
        ("epoch", 1, 2), ("iter", 1, 2, 0), ("step", 1, 3), ("iter", 1, 3, 1), ("step", 2, 4),
    ]  # fmt: skip
    assert runner.max_iters == 4


def test_max_iters_ends_within_an_epoch(tmp_path: Path) -> None:
    trace, runner = run(tmp_path, dict(max_iters=7))
    assert len(trace.losses) == 7
    assert runner.max_epochs == 2


@pytest.mark.parametrize("stop_at", [3, 5])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_resumed_training_equals_an_undisturbed_one(tmp_path: Path, stop_at: int, num_workers: int) -> None:
    whole, trained = run(tmp_path / "whole", dict(max_epochs=2))
    first, _ = run(tmp_path / "cut", dict(max_epochs=2), stop_at=stop_at)
    second, resumed = run(
        tmp_path / "cut", dict(max_epochs=2), resume=True, load_from=str(tmp_path / "cut" / "stopped.pth"),
        num_workers=num_workers,
    )  # fmt: skip
    assert first.samples + second.samples == whole.samples
    assert first.losses + second.losses == whole.losses
    for own, other in zip(resumed.model.parameters(), trained.model.parameters(), strict=True):
        assert torch.equal(own, other)


def test_accumulation_takes_the_same_samples_and_counts_updates(tmp_path: Path) -> None:
    trace, runner = run(tmp_path, dict(max_epochs=1), batch_size=5, accumulative_counts=2)
    assert len(trace.losses) == 2 == runner.iter
    assert len(runner.train_dataloader) == 2


def test_accumulation_is_refused_for_losses_that_couple_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DropoutLine, "couples_samples", True)
    with pytest.raises(ValueError, match=r"accumulative_counts=2 would hide most negatives .*batch_size instead"):
        run(tmp_path, dict(max_epochs=1), accumulative_counts=2)


@pytest.mark.parametrize("train_cfg", [{}, dict(max_epochs=1, max_iters=3)])
def test_exactly_one_length_is_asked_for(tmp_path: Path, train_cfg: dict) -> None:
    with pytest.raises(ValueError, match="train_cfg needs max_epochs or max_iters"):
        run(tmp_path, train_cfg)
