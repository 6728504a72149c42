"""Every `_shapes` config of the tree, made small, and runs of it in forked processes that leave a trace.

A promise is tested on what configs describe, so that a new method is held to it by having a config. Processes are
forked from pytest's, which has imported everything: importing costs more than a run.
"""

import copy
import hashlib
import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

# Every Runner's visualizer would import it again in the child.
import matplotlib.backends.backend_agg
import matplotlib.figure  # noqa: F401
import numpy as np
import pytest
import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATA_SAMPLERS, MODELS, RUNNERS, TRANSFORMS
from mmengine.runner import Runner
from mmengine.utils import ManagerMixin, apply_to
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from clipplus.data import GlobalBatches
from clipplus.engine.launch import build_runner, run_tool

ROOT = Path(__file__).parents[2]
# The plain CLIP first: where one config stands for all, it does.
SHAPES = sorted((ROOT / "configs").glob("*/*_shapes.py"), key=lambda path: (path.parent.name != "clip", path))


def trains(path: Path) -> bool:
    """Whether a config updates weights; some only test, or fit without an update."""
    length = Config.fromfile(path, import_custom_modules=False).get("train_cfg")
    return bool(length) and length.get("max_epochs") != 0


TRAINS = [path for path in SHAPES if trains(path)]
FITS = [path for path in SHAPES if Config.fromfile(path, import_custom_modules=False).get("train_cfg")]
TRACE = "trace.jsonl"

#: Sizes of a shrunk config: 4 updates per epoch, 2 epochs.
BATCH, UPDATES, EPOCHS = 8, 4, 2
EVALUATED = 11
DEADLINE_S = 300

#: Promises of loop, hooks and files, which a model has little part in: one config shows them, the others with
#: `-m thorough`. Of all other promises the first config of every method does.
OF_THE_ENGINE = {
    "test_atomic_checkpoints", "test_bad_data", "test_cheap_resume", "test_elastic_order", "test_failures",
    "test_non_finite", "test_preemption", "test_provenance", "test_wrapped",
}  # fmt: skip

Trace = list[dict[str, Any]]
Main = Callable[[Config], object]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Known where this folder or a file of it is named on the command line."""
    parser.addoption("--update-curves", action="store_true", help="write the golden curves of tests/data/curves anew")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what another config shows already."""
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        path = parameters.get("shapes_path") or parameters.get("any_shapes_path")
        if path is None or item.path.parent != Path(__file__).parent:
            continue
        first = TRAINS[0] if item.path.stem in OF_THE_ENGINE else next(p for p in SHAPES if p.parent == path.parent)
        if path != first:
            item.add_marker("thorough")


@MODELS.register_module(force=True)
class LearnsNothing(BaseModel):
    """Takes any batch and has one weight: for promises about data, where the model costs time only."""

    couples_samples = False

    def __init__(self, data_preprocessor: dict | None = None) -> None:
        super().__init__(data_preprocessor)
        self.weight = torch.nn.Parameter(torch.ones(2, 2))

    def forward(self, *inputs: Any, mode: str = "tensor", **extra: Any) -> Any:
        return {"loss_weight": self.weight.square().sum()}


@TRANSFORMS.register_module(force=True)
class NoisePixels:
    """Augments with draws of all three global generators, so that pixels tell how each of them was seeded."""

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        shift = np.uint8(random.randrange(64) + np.random.randint(64) + int(torch.randint(64, ())))
        if "img" in results:
            results = {**results, "img": results["img"] ^ shift}
        if "array" in results:
            results = {**results, "array": NoisyFrames(results["array"], shift)}
        return results


class NoisyFrames:
    """A video whose frames are drawn when they are asked for, with noise."""

    def __init__(self, frames: Any, shift: np.uint8) -> None:
        self.frames, self.shift = frames, shift

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, number: int) -> np.ndarray:
        return self.frames[number] ^ self.shift


# ---------------------------------------------------------------------------------------------------- shrunk configs


def shrink(path: Path, work_dir: Path, bare: bool = False, noisy: bool = False) -> Config:
    """The config with few scenes, small batches, no workers, and validation at the end.

    Args:
        path: of the config.
        work_dir: of the run; logs of the processes go beside it.
        bare: without validation and checkpoints, for what is about training alone.
        noisy: with an augmentation of the pixels by all global generators.
    """
    config = Config.fromfile(path)
    # The host's own modules would otherwise be imported by every child.
    import_module(f"{config.default_scope}.utils").register_all_modules(init_default_scope=False)
    _start_anywhere(config.model)
    _shrink_data(config._cfg_dict, BATCH * UPDATES)
    if noisy:
        _add_noise(config.train_dataloader.dataset)
    for mode in ("val", "test"):
        _shrink_data(config.get(f"{mode}_dataloader") or {}, EVALUATED)
    if config.get("train_cfg"):
        length = {"max_iters": UPDATES * EPOCHS} if "max_iters" in config.train_cfg else {"max_epochs": EPOCHS}
        # What fits without an update keeps to it.
        if config.train_cfg.get("max_epochs") != 0:
            config.train_cfg.update(length, val_interval=next(iter(length.values())))
    config.default_hooks.logger.interval = 1
    if bare:
        config.update(val_cfg=None, val_dataloader=None, val_evaluator=None)
        config.default_hooks.checkpoint = None
    config.work_dir = str(work_dir)
    return config


def _start_anywhere(part: Any) -> None:
    """Towers start from random weights: a test has no checkpoint."""
    if isinstance(part, dict):
        part.pop("pretrained", None)
    for child in part.values() if isinstance(part, dict) else ():
        _start_anywhere(child)


def _shrink_data(part: Any, scenes: int) -> None:
    """Every data set and loader below `part`."""
    if isinstance(part, dict):
        if part.get("type") == "FewShotSubset":
            # One of each class, of as many scenes as it takes to find one.
            part["num_shots"] = 1
            part.dataset.num_scenes = 1000
            return
        if "num_views" in part:
            part["num_views"] = 2
        if "steps" in part:
            part["steps"] = [3] * len(part["steps"])
        if str(part.get("type", "")).startswith("Shapes") and "num_scenes" in part:
            part["num_scenes"] = scenes
        if part.get("type") == "EpisodeDataset":
            # Videos are drawn one by one: the smallest episode is episode enough.
            part.update(num_episodes=scenes, way=2, queries=1)
        if "batch_size" in part:
            part.update(batch_size=BATCH, num_workers=0, persistent_workers=False)
            part.pop("prefetch_factor", None)
    for child in part.values() if isinstance(part, dict) else part if isinstance(part, list | tuple) else ():
        _shrink_data(child, scenes)


def _add_noise(dataset: Any) -> None:
    """Before everything else that happens to the pictures."""
    while "dataset" in dataset:
        dataset = dataset["dataset"]
    dataset["pipeline"] = [dict(type="NoisePixels"), *dataset["pipeline"]]


@pytest.fixture(scope="session", params=TRAINS, ids=lambda path: path.stem)
def shapes_path(request: pytest.FixtureRequest) -> Path:
    """Every `_shapes` config that trains."""
    return request.param


@pytest.fixture(scope="session", params=SHAPES, ids=lambda path: path.stem)
def any_shapes_path(request: pytest.FixtureRequest) -> Path:
    """Every `_shapes` config, those that only test as well."""
    return request.param


@pytest.fixture(scope="session")
def training_paths() -> list[Path]:
    """All configs of `shapes_path` at once."""
    return TRAINS


@pytest.fixture(scope="session")
def fitting_paths() -> list[Path]:
    """All configs whose run ends in a checkpoint, with updates or without."""
    return FITS


def learn_nothing(config: Config) -> Config:
    """The config with a model that learns nothing, unless the loop computes what it trains on with the model."""
    if config.train_cfg.type == "StepLoop":
        config.model = dict(type="LearnsNothing", data_preprocessor=config.model.get("data_preprocessor"))
    return config


@pytest.fixture(scope="session")
def without_learning() -> Callable[[Config], Config]:
    """`learn_nothing`."""
    return learn_nothing


@pytest.fixture(scope="session")
def shrunk() -> Callable[..., Config]:
    """`shrunk(path, work_dir, bare=False, noisy=False)`: `shrink` for tests with several runs, or that share some."""
    return shrink


@pytest.fixture
def shapes_config(shapes_path: Path, tmp_path: Path) -> Config:
    """A fresh, shrunk config with random augmentation, and `tmp_path / 'work'` as its work directory."""
    return shrink(shapes_path, tmp_path / "work", noisy=True)


# ------------------------------------------------------------------------------------------------------------- trace


class TraceHook(Hook):
    """One line per update: what was learnt from, and what came out; of all ranks, in the order of the global batch.

    `iteration` (from 0), `loss` (mean over ranks, float.hex), `lr` (per parameter group), `samples` (ids, where the
    batch has any), `pixels` (a digest per sample), `pixel_sum`, `captions`, `model` (class that the runner trains).
    With accumulation the samples are those of the last micro-step. Where all ranks learn from the whole global batch,
    that is shown once.
    """

    # Before the schedulers: the rate that the update used.
    priority = "ABOVE_NORMAL"

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        own = dict(
            loss=float(outputs["loss"].detach()), samples=_ids(data_batch),
            pixels=[_digest(part) for part in _inputs(data_batch)],
            pixel_sum=sum(float(part.double().sum()) for part in _inputs(data_batch)),
            captions=data_batch.get("texts") or [],
        )  # fmt: skip
        ranks = all_gather_object(own)
        if getattr(runner.train_loop.batches, "replicated", False):
            assert all(rank == ranks[0] for rank in ranks)
            ranks = ranks[:1]
        record = dict(
            iteration=runner.iter, loss=(sum(rank["loss"] for rank in ranks) / len(ranks)).hex(),
            lr=[group["lr"] for group in runner.optim_wrapper.param_groups],
            pixel_sum=sum(rank["pixel_sum"] for rank in ranks), model=type(runner.model).__name__,
        )  # fmt: skip
        record |= {key: [one for rank in ranks for one in rank[key]] for key in ("samples", "pixels", "captions")}
        if is_main_process():
            _append(Path(runner.work_dir) / TRACE, record)


def _append(path: Path, record: dict[str, Any]) -> None:
    """One write for one line, so that a kill leaves whole lines."""
    with path.open("ab", buffering=0) as file:
        file.write(json.dumps(record).encode() + b"\n")


def _inputs(batch: Any) -> list[torch.Tensor]:
    """Pixels of every sample, whatever the collate function made of them."""
    inputs = batch["inputs"]
    return list(inputs) if isinstance(inputs, torch.Tensor | list | tuple) else list(inputs.values())


def _digest(pixels: torch.Tensor) -> str:
    return hashlib.blake2b(pixels.contiguous().numpy().tobytes(), digest_size=8).hexdigest()


def _ids(batch: Any) -> list[int]:
    """Sample ids of our batches or of a host's data samples."""
    if batch.get("ids") is not None:
        return [int(number) for number in batch["ids"]]
    samples = batch.get("data_samples") or []
    found = [getattr(sample, "sample_idx", getattr(sample, "sample_id", None)) for sample in samples]
    return [int(number) for number in found if number is not None]


def read_trace(work_dir: str | Path) -> Trace:
    """Records in the order of updates; a resumed run repeats some, and the last one counts."""
    path = Path(work_dir) / TRACE
    lines = path.read_text().splitlines() if path.is_file() else []
    records = {record["iteration"]: record for record in map(json.loads, lines)}
    return [records[iteration] for iteration in sorted(records)]


@pytest.fixture(scope="session")
def trace() -> Callable[[str | Path], Trace]:
    """Reads the trace of a work directory."""
    return read_trace


# --------------------------------------------------------------------------------------------------- forked processes


class Run:
    """The ranks of one run, each a child of this process, together one process group.

    Attributes:
        pids: of the ranks.
        group: the process group, to which loader workers belong as well.
    """

    def __init__(self, main: Main, config: Config, world_size: int) -> None:
        self.work_dir = Path(config.work_dir)
        self.work_dir.mkdir(parents=True, exist_ok=True)
        self.logs = [self.work_dir.with_name(f"{self.work_dir.name}.rank{rank}.txt") for rank in range(world_size)]
        store = self.work_dir.with_name(f"{self.work_dir.name}.store")
        store.unlink(missing_ok=True)
        config = copy.deepcopy(config)
        config.launcher = "pytorch" if world_size > 1 else "none"
        self.pids: list[int] = []
        self.codes: dict[int, int] = {}
        self.group = 0
        sys.stdout.flush()
        sys.stderr.flush()
        for rank in range(world_size):
            pid = os.fork()
            if pid == 0:
                _child(main, config, rank, world_size, store, self.logs[rank], self.group)
            self.group = self.group or pid
            os.setpgid(pid, self.group)
            self.pids.append(pid)

    def signal(self, number: int, ranks: list[int] | None = None) -> None:
        """Send a signal to all ranks, or to some."""
        for rank in range(len(self.pids)) if ranks is None else ranks:
            if self.running(rank):
                os.kill(self.pids[rank], number)

    def running(self, rank: int) -> bool:
        """Whether a rank has not ended yet."""
        pid = self.pids[rank]
        if pid not in self.codes:
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                self.codes[pid] = os.waitstatus_to_exitcode(status)
        return pid not in self.codes

    def ended(self) -> bool:
        """Whether all ranks have."""
        return not any(self.running(rank) for rank in range(len(self.pids)))

    def wait(self, timeout_s: float = DEADLINE_S) -> list[int]:
        """Exit codes of the ranks (minus the signal where one ended them) when all are done."""
        self._until(self.ended, timeout_s)
        return [self.codes[pid] for pid in self.pids]

    def wait_for(self, iteration: int, timeout_s: float = DEADLINE_S) -> None:
        """Return when the trace holds update `iteration`.

        Raises:
            AssertionError: the run ended before.
        """

        def arrived() -> bool:
            records = read_trace(self.work_dir)
            return bool(records) and records[-1]["iteration"] >= iteration

        self._until(lambda: arrived() or self.ended(), timeout_s)
        assert arrived(), f"the run ended before update {iteration}:\n{self.output()}"

    def kill(self) -> None:
        """End what is left of it, workers as well."""
        if not self.ended():
            os.killpg(self.group, signal.SIGKILL)
            self.wait()

    def output(self) -> str:
        """The end of what the ranks said."""
        return "\n".join(f"--- {log.name}\n{log.read_text()[-3000:]}" for log in self.logs if log.is_file())

    def _until(self, condition: Callable[[], bool], timeout_s: float) -> None:
        end = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > end:
                os.killpg(self.group, signal.SIGKILL)
                raise TimeoutError(f"{self.work_dir.name} took more than {timeout_s} s:\n{self.output()}")
            time.sleep(0.01)


def _child(main: Main, config: Config, rank: int, world_size: int, store: Path, log: Path, group: int) -> None:
    """Life of a forked rank; never returns."""
    code = 1
    try:
        os.setpgid(0, group)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        _prepare_process(rank, world_size, store)
        run_tool(lambda: main(config))
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - the parent reads the log
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Not through the interpreter's exit: pytest's own clean-up belongs to the parent.
        os._exit(code)


def _prepare_process(rank: int, world_size: int, store: Path) -> None:
    """A process of one rank, on the CPU, that knows nothing of earlier runs in its parent."""
    for kind in ManagerMixin.__subclasses__():
        kind._instance_dict.clear()
    # The parent's tests may have looked for a GPU; curves and bits are promised for the CPU.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import_module("mmengine.device.utils").DEVICE = "cpu"
    os.environ["CLIPPLUS_CACHE"] = str(store.with_name("cache"))
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(world_size), LOCAL_RANK=str(rank))
    torch.set_num_threads(1)
    # mmengine lays the config out with yapf for the log and every checkpoint: longer than the training itself.
    import_module("mmengine.config.config").FormatCode = lambda text, **style: (text, True)
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    if world_size > 1:
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world_size)


def traced_training(config: Config) -> None:
    """What a rank of `train` does."""
    runner = build_runner(config)
    runner.register_hook(TraceHook())
    runner.train()


Start = Callable[..., Run]


@pytest.fixture(scope="session")
def start() -> Iterator[Start]:
    """`start(config, world_size=1, main=traced_training) -> Run`: ranks that run `main(config)`; does not wait."""
    runs: list[Run] = []

    def start_run(config: Config, world_size: int = 1, main: Main = traced_training) -> Run:
        runs.append(Run(main, config, world_size))
        return runs[-1]

    yield start_run
    for run in runs:
        run.kill()


@pytest.fixture(scope="session")
def run_ranks(start: Start) -> Callable[..., None]:
    """`run_ranks(main, config, world_size=1, timeout_s)`: `main(config)` on every rank; fails with their output."""

    def run(main: Main, config: Config, world_size: int = 1, timeout_s: float = DEADLINE_S) -> None:
        ranks = start(config, world_size, main)
        codes = ranks.wait(timeout_s)
        assert codes == [0] * world_size, f"exit codes {codes}\n{ranks.output()}"

    return run


@pytest.fixture(scope="session")
def train(run_ranks: Callable[..., None]) -> Callable[..., Trace]:
    """`train(config, world_size=1) -> Trace`: trains to the end and reads the trace."""

    def run(config: Config, world_size: int = 1) -> Trace:
        run_ranks(traced_training, config, world_size)
        return read_trace(config.work_dir)

    return run


# ---------------------------------------------------------------------------------------------- gradients in float64


@RUNNERS.register_module(force=True)
class Float64Runner(Runner):
    """Trains in float64, where rounding stays far below every tolerance."""

    def wrap_model(self, model_wrapper_cfg: dict | None, model: torch.nn.Module) -> torch.nn.Module:
        model.double()
        model.data_preprocessor.register_forward_hook(lambda module, inputs, output: _float64(output))
        return super().wrap_model(model_wrapper_cfg, model)


@RUNNERS.register_module(force=True)
class SampleWiseRunner(Float64Runner):
    """Without what depends on a sample's part of the batch as well: dropout and batch statistics."""

    def wrap_model(self, model_wrapper_cfg: dict | None, model: torch.nn.Module) -> torch.nn.Module:
        for layer in model.modules():
            if isinstance(layer, _BatchNorm | _DropoutNd) or type(layer).__name__ == "DropPath":
                layer.eval()
                layer.train = lambda mode=True, layer=layer: layer
        return super().wrap_model(model_wrapper_cfg, model)


def _float64(batch: Any) -> Any:
    return apply_to(
        batch, lambda part: isinstance(part, torch.Tensor) and part.is_floating_point(), torch.Tensor.double
    )


@DATA_SAMPLERS.register_module(force=True)
class UnequalBatches(GlobalBatches):
    """Every second update of a run is cut into parts of unequal size: 7 + 5, or 5 + 4 + 3."""

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for update, batch in zip(range(self.start, self.stop), super().__iter__(), strict=True):
            if update % 2 == 0:
                yield batch
                continue
            epoch, position = divmod(update, len(self))
            whole = self.sampler.order(epoch)[position * self.global_batch_size :][: self.global_batch_size]
            sizes = [self.batch_size + (self.world_size - 1) // 2 - rank for rank in range(self.world_size)]
            if self.world_size == 2:
                sizes = [self.batch_size + 1, self.batch_size - 1]
            part = whole[sum(sizes[: self.rank]) :][: sizes[self.rank]]
            yield [(epoch, int(index)) for index in part]


class GradientHook(Hook):
    """Saves loss (mean over ranks) and gradients of every update as the optimiser gets them."""

    def before_train(self, runner: Any) -> None:
        names = {parameter: name.removeprefix("module.") for name, parameter in runner.model.named_parameters()}

        def keep(optimizer: torch.optim.Optimizer, *arguments: Any) -> None:
            parts = [part for group in optimizer.param_groups for part in group["params"]]
            self.gradients = {names[part]: _rows_in_use(part.grad) for part in parts if part.grad is not None}

        runner.optim_wrapper.optimizer.register_step_pre_hook(keep)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        losses = all_gather_object(float(outputs["loss"].detach()))
        if is_main_process():
            content = {"loss": torch.tensor(sum(losses) / len(losses), dtype=torch.float64), **self.gradients}
            torch.save(content, Path(runner.work_dir) / f"gradients_{runner.iter}.pt")


def _rows_in_use(gradient: torch.Tensor) -> torch.Tensor:
    """Without the zeros of unused tokens, which would be most of what is written."""
    used = (gradient != 0).any(dim=1) if len(gradient.shape) == 2 else None
    # What comes before a layer of zeros has no gradient in the first update.
    return gradient.clone() if used is None or not used.any() else gradient[used]


def train_noting_gradients(config: Config) -> None:
    """Two small steps of plain descent, which carries no rounding error on to the next."""
    accumulation = config.optim_wrapper.get("accumulative_counts", 1)
    # It cuts updates, not the parts of one.
    if config.train_dataloader.batch_sampler.type == "GlobalBatches" and accumulation == 1:
        config.train_dataloader.batch_sampler.type = "UnequalBatches"
    config.update(runner_type="SampleWiseRunner", param_scheduler=None)
    config.train_cfg = dict(type=config.train_cfg.type, max_iters=2)
    descent = dict(type="SGD", lr=1e-3)
    config.optim_wrapper = dict(type="OptimWrapper", accumulative_counts=accumulation, optimizer=descent)
    runner = build_runner(config)
    runner.register_hook(GradientHook())
    runner.train()


@pytest.fixture(scope="session")
def gradients(run_ranks: Callable[..., None]) -> Callable[..., list[dict[str, torch.Tensor]]]:
    """`gradients(config, world_size=1)`: loss and all gradients of an update cut equally, and of one cut unequally."""

    def run(config: Config, world_size: int = 1) -> list[dict[str, torch.Tensor]]:
        run_ranks(train_noting_gradients, config, world_size)
        return [torch.load(Path(config.work_dir) / f"gradients_{iteration}.pt") for iteration in range(2)]

    return run


@pytest.fixture(scope="session")
def in_parts(shapes_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Config]:
    """`in_parts(parts)`: a bare config whose batch is a part of a global batch of 12."""

    def configure(parts: int) -> Config:
        config = shrink(shapes_path, tmp_path_factory.mktemp("parts") / "work", bare=True)
        config.train_dataloader.batch_size = 12 // parts
        return config

    return configure


@pytest.fixture(scope="session")
def whole_gradients(
    in_parts: Callable[[int], Config], gradients: Callable[..., list[dict[str, torch.Tensor]]]
) -> list[dict[str, torch.Tensor]]:
    """`gradients` of one process that holds the global batch."""
    return gradients(in_parts(1))


def assert_same_gradients(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """Equal to 1e-6 of each parameter's largest gradient; not all of them zero."""
    assert {n: g.shape for n, g in found.items()} == {n: g.shape for n, g in expected.items()}
    assert sum(float(gradient.abs().max()) > 1e-6 for gradient in expected.values()) > len(expected) / 2
    off = {
        name: (float((found[name] - gradient).abs().max()), float(gradient.abs().max()))
        for name, gradient in expected.items()
    }
    wrong = {name: pair for name, pair in off.items() if not pair[0] <= 1e-6 * pair[1] + 1e-12}
    assert not wrong, f"{len(wrong)} of {len(off)} differ (largest difference, largest gradient): {wrong}"


@pytest.fixture(scope="session")
def same_gradients() -> Callable[..., None]:
    """`assert_same_gradients`."""
    return assert_same_gradients
