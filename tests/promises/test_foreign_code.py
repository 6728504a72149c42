"""Promise 5: nothing that a checkpoint brings along is run, whichever door it comes through.

The model learns nothing, so that a door costs little. What the reader of files itself refuses is tested beside it.
"""

import copy
import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.registry import LOOPS
from mmengine.runner import BaseLoop

import clipplus
from clipplus.engine.launch import build_runner

Door = Callable[[Config, str], None]


class RunsOnLoad:
    """Pickles to a call of `function(*arguments)`."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.call


#: What the file asks for -> (content for a marker file, what the message must name).
HOSTILE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "system": (lambda marker: RunsOnLoad(os.system, f"touch {marker}"), r"posix\.system"),
    "getattr": (lambda marker: RunsOnLoad(getattr, HistoryBuffer, "from_dict"), r"builtins\.getattr"),
    "object array": (
        lambda marker: np.array([RunsOnLoad(os.system, f"touch {marker}")], dtype=object),
        r"numpy\.dtypes\.ObjectDType",
    ),
}  # fmt: skip


def train(config: Config, address: str) -> None:
    """`load_from` of a training."""
    config.load_from = address
    build_runner(config).train()


def resume(config: Config, address: str) -> None:
    config.update(load_from=address, resume=True)
    build_runner(config).train()


def test(config: Config, address: str) -> None:
    config.update(train_cfg=None, train_dataloader=None, optim_wrapper=None, param_scheduler=None)
    config.load_from = address
    config.test_cfg = dict(type="EvaluatesNothing")
    build_runner(config).test()


# pytest would collect the door.
test.__test__ = False  # type: ignore[attr-defined]
DOORS = {"train": train, "resume": resume, "test": test}
#: Every content by path, one of them by http.
WAYS = [*((hostile, "path") for hostile in HOSTILE), ("system", "http")]


@LOOPS.register_module(force=True)
class EvaluatesNothing(BaseLoop):
    """By then the runner has read the checkpoint."""

    def __init__(self, runner: Any, dataloader: dict, evaluator: dict) -> None:
        self._runner = runner

    def run(self) -> dict[str, float]:
        return {}


class Quiet(SimpleHTTPRequestHandler):
    """Says nothing."""

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address at which this machine serves `tmp_path`; downloads go into a cache of their own."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    thread = Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def tiny(training_paths: list[Path], shrunk: Callable[..., Config]) -> Callable[[Path], Config]:
    """`tiny(work_dir)`: a training of one update, hooks in place. Doors are the Runner's: one config stands for all."""

    def configure(work_dir: Path) -> Config:
        config = shrunk(training_paths[0], work_dir, bare=True)
        config.model = dict(type="LearnsNothing", data_preprocessor=config.model.get("data_preprocessor"))
        config.train_cfg = dict(type=config.train_cfg.type, max_iters=1)
        return config

    return configure


@pytest.fixture(scope="module")
def good(
    tiny: Callable[[Path], Config], run_ranks: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """A whole checkpoint of that training."""
    config = tiny(tmp_path_factory.mktemp("good") / "work")

    def train_and_save(config: Config) -> None:
        runner = build_runner(config)
        runner.train()
        runner.save_checkpoint(config.work_dir, "good.pth", save_param_scheduler=True)

    run_ranks(train_and_save, config)
    # As an attacker would, who has no restricted loader.
    return torch.load(Path(config.work_dir) / "good.pth", weights_only=False)


@pytest.fixture
def config(tiny: Callable[[Path], Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """For the doors, which are opened in this process."""
    # Laying the config out for the log takes longer than all else.
    monkeypatch.setattr("mmengine.config.config.FormatCode", lambda text, **style: (text, True))
    return tiny(tmp_path / "work")


@pytest.mark.parametrize(("hostile", "by"), WAYS)
@pytest.mark.parametrize("door", DOORS)
def test_hostile_checkpoints_are_refused_and_nothing_in_them_runs(
    door: str, hostile: str, by: str, config: Config, server: str, tmp_path: Path
) -> None:
    content, named = HOSTILE[hostile]
    marker = tmp_path / "marker"
    torch.save({"state_dict": {"weight": torch.ones(2, 2)}, "extra": content(marker)}, tmp_path / "evil.pth")
    address = f"{server}/evil.pth" if by == "http" else str(tmp_path / "evil.pth")
    with pytest.raises(ValueError, match=rf"evil\.pth is refused: it asks for .*{named}"):
        DOORS[door](config, address)
    assert not marker.exists()


@pytest.mark.parametrize("by", ["path", "http"])
@pytest.mark.parametrize("door", DOORS)
def test_config_text_in_a_checkpoint_is_not_executed(
    door: str, by: str, config: Config, good: dict[str, Any], server: str, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    text = f"import os\nos.system('touch {marker}')\n"
    evil = copy.deepcopy(good)
    evil["meta"] |= {"config": text, "cfg": text}
    evil["message_hub"]["runtime_info"]["cfg"] = text
    torch.save(evil, tmp_path / "evil.pth")
    DOORS[door](config, f"{server}/evil.pth" if by == "http" else str(tmp_path / "evil.pth"))
    assert not marker.exists()


@pytest.mark.parametrize("hostile", HOSTILE)
def test_load_refuses_hostile_checkpoints(hostile: str, tmp_path: Path) -> None:
    content, named = HOSTILE[hostile]
    marker = tmp_path / "marker"
    torch.save({"state_dict": {}, "extra": content(marker)}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match=rf"{re.escape(str(tmp_path))}/evil\.pth is refused: it asks for .*{named}"):
        clipplus.load(tmp_path / "evil.pth")
    assert not marker.exists()


@pytest.mark.parametrize("hostile", HOSTILE)
def test_predicting_clips_refuses_hostile_checkpoints(hostile: str, tmp_path: Path) -> None:
    from clipplus.few_shot_video.recognizer_loading import load_recognizer

    content, named = HOSTILE[hostile]
    marker = tmp_path / "marker"
    torch.save({"state_dict": {}, "extra": content(marker)}, tmp_path / "evil.pth")
    config = tmp_path / "config.py"
    config.write_text(
        "model = dict(type='FewShotRecognizer', backbone=dict())\n"
        "val_dataloader = dict(dataset=dict(pipeline=[dict(type='SampleFrames')]))\n"
    )
    for given in (None, config):
        with pytest.raises(ValueError, match=rf"evil\.pth is refused: it asks for .*{named}"):
            load_recognizer(tmp_path / "evil.pth", given)
    assert not marker.exists()


def test_the_hostile_files_do_what_they_say_where_nothing_protects(tmp_path: Path) -> None:
    """Else the tests above would prove nothing."""
    marker = tmp_path / "marker"
    torch.save({"extra": HOSTILE["system"][0](marker)}, tmp_path / "evil.pth")
    torch.load(tmp_path / "evil.pth", weights_only=False)
    assert marker.exists()
