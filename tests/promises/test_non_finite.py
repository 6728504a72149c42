"""Promise 9: a step that is not finite is skipped on all ranks, says why, and stops the run when it repeats."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.hooks import Hook

from clipplus.checkpoints import load_restricted
from clipplus.engine.hooks import unwrapped
from clipplus.engine.launch import build_runner


class Poison(Hook):
    """Spoils one rank's forward passes of some updates.

    'pixels': a sample behind the preprocessor, so that nearly everything is nan. 'term': a term of the loss alone; all
    gradients stay finite, and no other rank sees anything of it.
    """

    def __init__(self, kind: str, rank: int, updates: range) -> None:
        self.kind, self.rank, self.updates = kind, rank, updates

    def before_train(self, runner: Any) -> None:
        def add_term(model: Any, inputs: tuple, named: dict[str, Any], outputs: Any) -> Any:
            if named.get("mode") == "loss" and runner.iter in self.updates and get_rank() == self.rank:
                outputs = {**outputs, "loss_poison": torch.tensor(float("nan"))}
            return outputs

        def spoil(model: Any, inputs: tuple, named: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
            if named.get("mode") == "loss" and runner.iter in self.updates and get_rank() == self.rank:
                named["inputs"] = [pixels.float() for pixels in named["inputs"]]
                named["inputs"][1] = torch.full_like(named["inputs"][1], float("nan"))
                named["inputs"] = torch.stack(named["inputs"])
            return inputs, named

        if self.kind == "term":
            unwrapped(runner.model).register_forward_hook(add_term, with_kwargs=True)
        else:
            unwrapped(runner.model).register_forward_pre_hook(spoil, with_kwargs=True)


class Digest(Hook):
    """After each update and rank a line: whether the state is finite, and digests of weights, buffers and optimiser."""

    priority = "LOWEST"

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        model = unwrapped(runner.model)
        moments = [v for of in runner.optim_wrapper.optimizer.state.values() for v in of.values()]
        line = dict(
            finite=all(bool(torch.isfinite(tensor).all()) for tensor in model.state_dict().values()),
            weights=digest(model.parameters()), buffers=digest(model.buffers()), optimizer=digest(moments),
            lr=runner.optim_wrapper.get_lr()["lr"][0],
        )  # fmt: skip
        with Path(f"{runner.work_dir}.rank{get_rank()}.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")


def digest(tensors: Any) -> str:
    content = hashlib.sha256()
    for tensor in tensors:
        content.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return content.hexdigest()


def poisoned_training(kind: str, rank: int, updates: range) -> Callable[[Config], None]:
    def main(config: Config) -> None:
        runner = build_runner(config)
        runner.register_hook(Poison(kind, rank, updates))
        runner.register_hook(Digest())
        runner.train()

    return main


def without_validation(config: Config) -> None:
    config.val_cfg = config.val_dataloader = config.val_evaluator = None


def lines_of(config: Config, rank: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(f"{config.work_dir}.rank{rank}.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("ranks", "kind"), [(1, "pixels"), (2, "pixels"), (2, "term")])
def test_a_bad_step_of_one_rank_is_skipped_on_all_and_named(
    shapes_path: Path, shrunk: Callable[..., Config], start: Callable[..., Any], tmp_path: Path, ranks: int, kind: str
) -> None:
    shapes_config = shrunk(shapes_path, tmp_path / "work", bare=True)
    shapes_config.train_dataloader.batch_size //= ranks
    run = start(shapes_config, ranks, poisoned_training(kind, ranks - 1, range(3, 4)))
    assert run.wait() == [0] * ranks, run.output()
    for rank in range(ranks):
        lines = lines_of(shapes_config, rank)
        assert len(lines) == 8
        assert all(line["finite"] for line in lines)
        before, after, later = lines[2:5]
        assert (before["weights"], before["optimizer"]) == (after["weights"], after["optimizer"])
        # With several ranks, DDP hands out rank 0's statistics before the next forward pass.
        assert before["buffers"] == after["buffers"]
        assert after["weights"] != later["weights"]
        assert after["lr"] != before["lr"] or before["lr"] == later["lr"]
        assert [line["weights"] for line in lines] == [line["weights"] for line in lines_of(shapes_config, 0)]
    said = [line for line in run.logs[0].read_text().splitlines() if "is skipped" in line]
    assert len(said) == 1
    assert re.search(r"update 4 is skipped: loss term 'loss\w*' is nan \(samples '[^']+'", said[0]), said


def test_bad_steps_in_a_row_stop_all_ranks_and_leave_finite_checkpoints(
    shapes_config: Config, start: Callable[..., Any]
) -> None:
    without_validation(shapes_config)
    shapes_config.train_dataloader.batch_size //= 2
    shapes_config.default_hooks.non_finite.max_in_a_row = 3
    run = start(shapes_config, 2, poisoned_training("pixels", 1, range(4, 100)))
    assert run.wait() == [2, 2], run.output()
    for rank in range(2):
        message = run.logs[rank].read_text().splitlines()[-2]
        assert re.search(
            r"error: updates skipped in a row: 3 .*; the last, update 7: loss term 'loss\w*' is nan", message
        )
        assert "samples '" in message
        assert len(lines_of(shapes_config, rank)) == 7
    files = sorted(Path(shapes_config.work_dir).glob("*.pth"))
    # The position at which the run stopped is among them.
    assert Path(shapes_config.work_dir, "iter_7.pth") in files
    assert load_restricted(files[-1])["clipplus"]["hooks"]["NonFiniteHook"] == {"in_a_row": 3, "total": 3}
    for file in files:
        state = load_restricted(file)["state_dict"]
        assert all(bool(torch.isfinite(tensor).all()) for tensor in state.values())


def test_counts_go_on_after_a_resume(shapes_config: Config, start: Callable[..., Any]) -> None:
    without_validation(shapes_config)
    for epochs in (1, 2):
        shapes_config.train_cfg.max_epochs = epochs
        shapes_config.resume = epochs > 1
        run = start(shapes_config, 1, poisoned_training("term", 0, range(1, 2)))
        assert run.wait() == [0], run.output()
    newest = Path((Path(shapes_config.work_dir) / "last_checkpoint").read_text())
    assert newest.name == "epoch_2.pth"
    assert load_restricted(newest)["clipplus"]["hooks"]["NonFiniteHook"] == {"in_a_row": 0, "total": 1}
