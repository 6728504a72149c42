"""Promise 12: the same evaluation for any batch size, number of loader workers and number of ranks."""

import copy
import functools
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook

from clipplus.engine.launch import build_runner

#: (batch size, workers); the first is what all others are compared with.
PLAIN = (32, 0)
EVERY = tuple(itertools.product((1, 7, 32), (0, 2)))
#: By number of ranks: what is looked at, quickly and thoroughly.
WAYS = [
    (1, ((1, 0), (7, 2))), (2, ((7, 0),)), (3, ((32, 2),)),
    *(pytest.param(ranks, EVERY, marks=pytest.mark.slow) for ranks in (1, 2, 3)),
]  # fmt: skip
NAMES = ["1 rank", "2 ranks", "3 ranks", "1 rank, every setting", "2 ranks, every setting", "3 ranks, every setting"]
# They add no number, and time.
DRAWING = ("PredictionPicturesHook", "ResultTableHook")

Settings = tuple[tuple[int, int], ...]
Results = dict[tuple[int, int], dict[str, Any]]
Evaluate = Callable[..., Results]


class SeenHook(Hook):
    """Ids of the samples of each set that this rank was shown; a loop without sets has one of no name."""

    def __init__(self) -> None:
        self.seen: dict[str, list[int]] = {}

    def after_test_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        loop = runner.test_loop
        name = next((name for name, loader in getattr(loop, "loaders", {}).items() if loader is loop.dataloader), "")
        ids = [sample.get("sample_id", sample.get("sample_idx")) for sample in outputs]
        self.seen.setdefault(name, []).extend(map(int, ids))


def loader_with(loader: dict, batch_size: int, workers: int) -> dict:
    """The loader of a config, and each of its sets, with other sizes."""
    loader = copy.deepcopy(loader)
    for part in [loader, *loader.get("sets", {}).values()]:
        part.update(batch_size=batch_size, num_workers=workers, persistent_workers=False)
    return loader


def samples_of(loop: Any) -> dict[str, int]:
    """Samples of every set."""
    loaders = loop.loaders if hasattr(loop, "loaders") else {"": loop.dataloader}
    return {name: len(loader.dataset) for name, loader in loaders.items()}


def evaluate_in_all_settings(config: Config) -> None:
    """Test once per setting of the config; the main process writes what came out."""
    runner = build_runner(config)
    seen = SeenHook()
    runner.register_hook(seen)
    runner.load_or_resume()
    runner.call_hook("before_run")
    for batch_size, workers in config.settings:
        runner._test_dataloader = loader_with(config.test_dataloader, batch_size, workers)
        runner._test_evaluator = copy.deepcopy(config.test_evaluator)
        runner._test_loop = loop = runner.build_test_loop(copy.deepcopy(config.test_cfg))
        seen.seen = {}
        metrics = loop.run()
        of_sets = getattr(loop, "set_metrics", {})
        predictions = {
            f"{name} {index}": getattr(metric, "predictions", [])
            for name, of_set in of_sets.items()
            for index, metric in enumerate(of_set)
        }
        record = dict(
            metrics=metrics, predictions=predictions, seen=all_gather_object(seen.seen), samples=samples_of(loop)
        )
        if is_main_process():
            (Path(runner.work_dir) / f"{batch_size}_{workers}.json").write_text(json.dumps(record))


@pytest.fixture(scope="session")
def trained(
    shrunk: Callable[..., Config], train: Callable[..., Any], fitting_paths: list[Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[Any], str | None]:  # fmt: skip
    """`trained(model)`: weights of a model after 8 updates, so that similarities differ by more than rounding.

    None where no config trains this model.
    """

    @functools.cache
    def run(path: Path) -> str:
        config = shrunk(path, tmp_path_factory.mktemp("trained") / "work")
        config.update(val_cfg=None, val_dataloader=None, val_evaluator=None)
        train(config)
        return str(max(Path(config.work_dir).glob("*.pth"), key=lambda file: file.stat().st_mtime))

    def of_model(model: Any) -> str | None:
        paths = [path for path in fitting_paths if shrunk(path, Path("unused")).model == model]
        return run(paths[0]) if paths else None

    return of_model


@pytest.fixture(scope="module")
def evaluate(
    any_shapes_path: Path, trained: Callable[[Any], str | None], shrunk: Callable[..., Config],
    run_ranks: Callable[..., None], tmp_path_factory: pytest.TempPathFactory,
) -> Evaluate:  # fmt: skip
    """`evaluate(ranks, settings)`: results by setting, computed once."""

    @functools.cache
    def run(ranks: int, settings: Settings) -> Results:
        config = shrunk(any_shapes_path, tmp_path_factory.mktemp("test") / "work")
        config.load_from = trained(config.model)
        config.update(train_cfg=None, train_dataloader=None, optim_wrapper=None, param_scheduler=None)
        config.update(val_cfg=None, val_dataloader=None, val_evaluator=None, auto_scale_lr=None)
        config.custom_hooks = [hook for hook in config.custom_hooks if hook["type"] not in DRAWING]
        config.settings = settings
        run_ranks(evaluate_in_all_settings, config, ranks)
        return {
            (size, workers): json.loads((Path(config.work_dir) / f"{size}_{workers}.json").read_text())
            for size, workers in settings
        }

    return run


def scores(content: Any) -> Iterator[float]:
    """Every float in predictions, in their order."""
    if isinstance(content, float):
        yield content
    for child in content.values() if isinstance(content, dict) else content if isinstance(content, list) else ():
        yield from scores(child)


@pytest.mark.parametrize(("ranks", "settings"), WAYS, ids=NAMES)
def test_metrics_are_equal_in_every_setting(evaluate: Evaluate, ranks: int, settings: Settings) -> None:
    expected = evaluate(1, (PLAIN,))[PLAIN]["metrics"]
    assert expected
    for setting, result in evaluate(ranks, settings).items():
        assert result["metrics"] == expected, setting


@pytest.mark.parametrize(("ranks", "settings"), WAYS, ids=NAMES)
def test_scores_are_equal_in_every_setting(evaluate: Evaluate, ranks: int, settings: Settings) -> None:
    expected = evaluate(1, (PLAIN,))[PLAIN]["predictions"]
    if not any(expected.values()):
        pytest.skip("the config's metrics keep no predictions")
    for result in evaluate(ranks, settings).values():
        for name, predictions in result["predictions"].items():
            ids = [prediction["sample_id"] for prediction in predictions]
            assert ids == [prediction["sample_id"] for prediction in expected[name]]
            # Similarities are at most 1; logits of a fitted classifier are not.
            assert list(scores(predictions)) == pytest.approx(list(scores(expected[name])), abs=1e-5, rel=1e-5)


@pytest.mark.parametrize(("ranks", "settings"), WAYS, ids=NAMES)
def test_no_sample_is_missing_or_counts_twice(evaluate: Evaluate, ranks: int, settings: Settings) -> None:
    for result in evaluate(ranks, settings).values():
        # Ranks take equally many: the first samples of a set fill up the last ranks, and are counted once.
        for name, samples in result["samples"].items():
            shown = [sample for rank in result["seen"] for sample in rank.get(name, [])]
            assert len(set(shown)) == samples
            assert len(shown) == -(-samples // ranks) * ranks
        for name, predictions in result["predictions"].items():
            ids = [prediction["sample_id"] for prediction in predictions]
            assert not ids or len(ids) == len(set(ids)) == result["samples"][name.rsplit(" ", 1)[0]]
