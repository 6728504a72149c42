"""Skipped updates: what stays, what goes on, what is said, and when it is enough."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import Dataset

from clipplus.engine import NonFiniteHook

NAN, INF = float("nan"), float("inf")


@DATASETS.register_module()
class KeyedNumbers(Dataset):
    """Item i is the vector (i, i, i) under the key 'number i'."""

    metainfo: dict = {}

    def __init__(self, size: int = 40) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, Any]:
        return dict(inputs=torch.full((3,), float(index)), keys=f"number {index}")


@MODELS.register_module()
class Breakable(BaseModel):
    """A normalised line. Forward pass n does what `accidents[n]` says: 'loss', 'gradient', 'row' or 'hidden'.

    'hidden' is a term that is not finite while every gradient is.
    """

    couples_samples = False

    def __init__(self, accidents: dict[int, str] | None = None) -> None:
        super().__init__()
        self.norm, self.line = nn.BatchNorm1d(3), nn.Linear(3, 1)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.accidents, self.calls = accidents or {}, 0

    def forward(self, inputs: Tensor, keys: list[str], mode: str = "tensor") -> dict[str, Tensor]:
        accident = self.accidents.get(self.calls)
        self.calls += 1
        self.seen = self.seen + len(inputs)
        if accident in ("loss", "row"):
            inputs = inputs.index_fill(0, torch.tensor([1]), INF)
        rows = self.line(self.norm(inputs))
        fit = rows.square().mean()
        if accident == "row":
            self.rows_behind_loss = (inputs.detach(),)
        if accident == "gradient":
            # Finite itself, but the slope of a square root at zero is not.
            fit = fit + (self.line.bias - self.line.bias.detach()).abs().sum().sqrt()
        extra = torch.tensor(NAN if accident == "hidden" else 0.5)
        return {"loss_fit": fit, "loss_extra": [extra], "scale": torch.tensor(NAN)}


class Watch(Hook):
    """Weights, optimiser state, buffers and learning rate after every update."""

    priority = "LOWEST"

    def __init__(self) -> None:
        self.updates: list[dict[str, Tensor]] = []
        self.rates: list[float] = []
        self.moments: list[float] = []

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.updates.append({key: value.clone() for key, value in runner.model.state_dict().items()})
        self.rates.append(runner.optim_wrapper.get_lr()["lr"][0])
        state = runner.optim_wrapper.optimizer.state
        self.moments.append(sum(float(of["exp_avg"].abs().sum()) for of in state.values()))


def train(
    folder: Path, accidents: dict[int, str], updates: int = 6, accumulation: int = 1, clip_grad: Any = None,
    hook: NonFiniteHook | None = None, train_cfg: dict | None = None, **options: Any,
) -> tuple[Watch, NonFiniteHook, Runner]:  # fmt: skip
    """Train `Breakable` for some updates of four numbers."""
    watch, hook = Watch(), hook or NonFiniteHook()
    stock = train_cfg is not None
    runner = Runner(
        model=dict(type="Breakable", accidents=accidents),
        work_dir=str(folder),
        train_dataloader=dict(
            batch_size=4, num_workers=0, collate_fn=dict(type="default_collate"),
            **(
                dict(sampler=dict(type="DefaultSampler", shuffle=False), dataset=dict(type="KeyedNumbers"))
                if stock
                else dict(
                    sampler=dict(type="EpochOrder"), batch_sampler=dict(type="GlobalBatches"),
                    dataset=dict(type="KeyedDataset", dataset=dict(type="KeyedNumbers")),
                )
            ),
        ),
        train_cfg=train_cfg or dict(type="StepLoop", max_iters=updates),
        optim_wrapper=dict(
            type="OptimWrapper", optimizer=dict(type="AdamW", lr=0.1, weight_decay=0.1),
            accumulative_counts=accumulation, clip_grad=clip_grad,
        ),
        param_scheduler=dict(type="ExponentialLR", gamma=0.5, by_epoch=False),
        custom_hooks=[watch, hook],
        default_hooks=dict(checkpoint=None),
        randomness=dict(seed=3),
        experiment_name=f"{folder.name}_{len(accidents)}_{updates}_{accumulation}",
        log_level="WARNING",
        **options,
    )  # fmt: skip
    runner.train()
    return watch, hook, runner


@pytest.mark.parametrize("clip_grad", [None, dict(max_norm=1.0)], ids=["unclipped", "clipped"])
@pytest.mark.parametrize("accident", ["loss", "gradient", "hidden"])
def test_a_skipped_update_changes_nothing_but_the_position(tmp_path: Path, accident: str, clip_grad: Any) -> None:
    watch, hook, runner = train(tmp_path, {3: accident}, clip_grad=clip_grad)
    before, after, later = watch.updates[2:5]
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert watch.moments[3] == watch.moments[2]
    assert not torch.equal(after["line.weight"], later["line.weight"])
    assert int(later["norm.num_batches_tracked"]) == 4
    assert watch.rates[:5] == pytest.approx([0.1 * 0.5**n for n in range(1, 6)])
    assert (hook.in_a_row, hook.total, runner.iter) == (0, 1, 6)
    assert all(torch.isfinite(value).all() for value in runner.model.state_dict().values())


def test_a_run_without_accidents_is_that_without_the_hook(tmp_path: Path) -> None:
    with_hook, _, _ = train(tmp_path / "with", {})
    without, _, _ = train(tmp_path / "without", {}, hook=Hook())
    for one, other in zip(with_hook.updates, without.updates, strict=True):
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_the_whole_accumulation_is_skipped(tmp_path: Path) -> None:
    # The second of three micro-steps of the second update.
    watch, hook, _ = train(tmp_path, {4: "loss"}, updates=3, accumulation=3)
    assert all(torch.equal(watch.updates[0][key], watch.updates[1][key]) for key in watch.updates[0])
    assert not torch.equal(watch.updates[1]["line.weight"], watch.updates[2]["line.weight"])
    assert hook.total == 1


def test_stock_loops_skip_whole_accumulations_too(tmp_path: Path) -> None:
    cfg = dict(by_epoch=False, max_iters=9)
    watch, hook, _ = train(tmp_path, {4: "loss"}, accumulation=3, train_cfg=cfg)
    assert all(torch.equal(watch.updates[2][key], watch.updates[5][key]) for key in watch.updates[2])
    assert not torch.equal(watch.updates[5]["line.weight"], watch.updates[8]["line.weight"])
    assert hook.total == 1


@pytest.mark.parametrize(
    ("accident", "message"),
    [
        ("loss", r"update 2 is skipped: loss term 'loss_fit' is nan \(samples ('number \d+'(, )?){4}\); finite terms: "
         r"loss_extra 0.5; 1 in a row, 1 in all"),
        ("row", r"update 2 is skipped: loss term 'loss_fit' is nan \(samples 'number \d+'\)"),
        ("hidden", r"'loss_extra' is nan .*; finite terms: loss_fit [\d.]+;"),
        ("gradient", r"update 2 is skipped: the gradient of 'line.bias' is not finite; terms: loss_fit"),
    ],
)  # fmt: skip
def test_the_warning_names_terms_values_samples_and_update(
    tmp_path: Path, accident: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path, {1: accident}, updates=3)
    said = capfd.readouterr()
    lines = [line for line in (said.out + said.err).splitlines() if "is skipped" in line]
    assert len(lines) == 1
    assert re.search(message, lines[0]), lines[0]


def test_updates_in_a_row_stop_the_run_with_names(tmp_path: Path) -> None:
    hook = NonFiniteHook(max_in_a_row=2)
    with pytest.raises(FloatingPointError, match=r"^updates skipped in a row: 2 \(.*update 4: .*'loss_fit' is nan"):
        train(tmp_path, {0: "loss", 2: "loss", 3: "loss"}, hook=hook)
    assert (hook.in_a_row, hook.total) == (2, 3)


def test_a_fraction_of_the_run_stops_it(tmp_path: Path) -> None:
    accidents = {0: "loss", 2: "loss", 4: "loss"}
    with pytest.raises(FloatingPointError, match=r"updates skipped in all: 3 \(max_fraction=0.25 of 8\)"):
        train(tmp_path, accidents, updates=8, hook=NonFiniteHook(max_in_a_row=2, max_fraction=0.25))


def test_stock_loops_are_stopped_as_well(tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match="updates skipped in a row: 1"):
        train(tmp_path, {2: "loss"}, hook=NonFiniteHook(1), train_cfg=dict(by_epoch=True, max_epochs=1))


def test_counts_go_on_after_a_resume(tmp_path: Path) -> None:
    resumed = NonFiniteHook(max_in_a_row=3)
    resumed.load_state_dict({"in_a_row": 2, "total": 4})
    assert resumed.state_dict() == {"in_a_row": 2, "total": 4}
    with pytest.raises(FloatingPointError, match="updates skipped in a row: 3"):
        train(tmp_path, {0: "loss"}, hook=resumed)
    assert resumed.state_dict() == {"in_a_row": 3, "total": 5}


def test_non_finite_weights_are_named_and_never_saved(tmp_path: Path) -> None:
    runner = train(tmp_path, {}, updates=1)[2]
    with torch.no_grad():
        runner.model.line.weight[0, 1] = INF
    with pytest.raises(FloatingPointError, match=r"weights 'line.weight' are not finite at update 1: no checkpoint"):
        runner.save_checkpoint(str(tmp_path), "bad.pth")
    assert not (tmp_path / "bad.pth").exists()


def test_limits_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="max_in_a_row must be at least 1"):
        NonFiniteHook(max_in_a_row=0)
    with pytest.raises(ValueError, match=r"max_fraction lie in \[0, 1\], got 5 and 2"):
        NonFiniteHook(max_fraction=2)
