"""Promises 1, 6 and 10 for fits: killed anywhere, on any number of ranks, a fit ends in the same `best.pth`.

A fit computes before and after its updates as well: features, then a search. What happens in updates the other tests
show.
"""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config

from clipplus.checkpoints import load_restricted
from clipplus.engine import latest_checkpoint
from clipplus.engine.launch import build_runner
from clipplus.engine.run_state import PREEMPTED

ROOT = Path(__file__).parents[2]
ENDS_IN_A_FILE = ("FewShotFitLoop",)
FITS = [
    path
    for path in sorted((ROOT / "configs").glob("*/*_shapes.py"))
    if (Config.fromfile(path, import_custom_modules=False).get("train_cfg") or {}).get("type") in ENDS_IN_A_FILE
]
#: Of each kind one is always looked at, one that trains and one that does not.
ALWAYS = [next(p for p in FITS if (Config.fromfile(p).train_cfg.max_epochs > 0) == trains) for trains in (True, False)]


@pytest.fixture(
    scope="module", params=[pytest.param(p, marks=() if p in ALWAYS else pytest.mark.thorough, id=p.stem) for p in FITS]
)
def undisturbed(
    request: pytest.FixtureRequest, shrunk: Callable[..., Config], run_ranks: Callable[..., None],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Config, dict[str, Any]]:  # fmt: skip
    """A config, and what its undisturbed run ended in."""
    config = shrunk(request.param, tmp_path_factory.mktemp("fit") / "work")
    config.train_cfg.update(val_interval=1)
    run_ranks(fit, config)
    return config, result(config.work_dir)


def fit(config: Config) -> None:
    """What a rank does, in short stretches, so that there are several of them."""
    import clipplus.methods.ape.fit_loop as loop_module

    extract = loop_module.cached_features
    loop_module.cached_features = lambda *given, **named: extract(*given, stretch=16, **named)
    build_runner(config).train()


def result(work_dir: str | Path) -> dict[str, Any]:
    content = load_restricted(Path(work_dir) / "best.pth")
    return dict(state=content["state_dict"], record=content["meta"]["ape"], table=table(work_dir))


def table(work_dir: str | Path) -> bytes:
    """The whole table of the search."""
    return (Path(work_dir) / "search.npz").read_bytes()


def require_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found["state"].keys() == expected["state"].keys()
    for name, value in expected["state"].items():
        assert torch.equal(found["state"][name], value), name
    assert found["record"] == expected["record"]
    assert found["table"] == expected["table"]


def elsewhere(config: Config, folder: Path) -> Config:
    """The config in another work directory, with nothing stored."""
    config = config.copy()
    config.work_dir = str(folder / "work")
    return config


def resumed(config: Config) -> Config:
    newest = latest_checkpoint(config.work_dir)
    config.resume, config.load_from = newest is not None, str(newest) if newest else None
    return config


#: Where a run is hit: when this function of the loop is called for the so-manieth time.
PLACES = {
    "texts": ("_fill_head", 1),
    "first features": ("_embed", 2),
    "features of validation": ("_evaluation_features", 1),
    "search": ("_search_images", 1),
    "after the search": ("_write_result", 1),
}


def fit_until(place: str, number: int) -> Callable[[Config], None]:
    """A fit that gets a signal at one of the places."""
    name, times = PLACES[place]

    def main(config: Config) -> None:
        import clipplus.methods.ape.fit_loop as loop_module

        inner, calls = getattr(loop_module.FewShotFitLoop, name), []

        def hit(*given: Any, **named: Any) -> Any:
            calls.append(1)
            if len(calls) == times:
                os.kill(os.getpid(), number)
            return inner(*given, **named)

        setattr(loop_module.FewShotFitLoop, name, hit)
        fit(config)

    return main


@pytest.mark.parametrize("place", PLACES)
def test_killed_fit_ends_in_the_same_file(
    undisturbed: tuple[Config, dict[str, Any]], place: str, tmp_path: Path, start: Callable, run_ranks: Callable
) -> None:
    config = elsewhere(undisturbed[0], tmp_path)
    run = start(config, 1, fit_until(place, signal.SIGKILL))
    assert run.wait() == [-signal.SIGKILL], run.output()
    assert not (tmp_path / "work" / "best.pth").exists()
    run_ranks(fit, resumed(config))
    require_equal(result(config.work_dir), undisturbed[1])


def test_a_fit_that_is_asked_to_stop_in_its_extraction_does(
    undisturbed: tuple[Config, dict[str, Any]], tmp_path: Path, start: Callable, run_ranks: Callable
) -> None:
    config = elsewhere(undisturbed[0], tmp_path)
    run = start(config, 1, fit_until("first features", signal.SIGTERM))
    assert run.wait() == [PREEMPTED], run.output()
    assert json.loads((tmp_path / "work" / "run_state.json").read_text())["state"] == "preempted"
    stored = list((tmp_path / "cache" / "features").glob("*.parts/*.safetensors"))
    assert 0 < len(stored) < 5
    run_ranks(fit, resumed(config))
    require_equal(result(config.work_dir), undisturbed[1])


@pytest.mark.parametrize("ranks", [2, pytest.param(3, marks=pytest.mark.thorough)])
def test_any_number_of_ranks_ends_in_the_same_file(
    undisturbed: tuple[Config, dict[str, Any]], ranks: int, tmp_path: Path, run_ranks: Callable
) -> None:
    config = elsewhere(undisturbed[0], tmp_path)
    if config.train_dataloader.batch_size % ranks:
        pytest.skip("the global batch cannot be cut into as many parts")
    config.train_dataloader.batch_size //= ranks
    run_ranks(fit, config, ranks)
    require_equal(result(config.work_dir), undisturbed[1])
