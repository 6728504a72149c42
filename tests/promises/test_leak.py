"""Promise 13: memory and open files stay flat over 2,000 updates with loader workers."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.hooks import Hook

from clipplus.engine.launch import build_runner

UPDATES, NOTED, SAVED = 2000, 20, 800
#: Caches of the allocator and of libraries have their size by then.
WARM = 1000
#: The allocator takes a megabyte now and then; a picture kept per update is 12 kB, a batch or a graph far more.
BYTES_PER_UPDATE = 2500.0

pytestmark = pytest.mark.slow


def processes() -> list[int]:
    """This process and its loader workers."""
    own = os.getpid()
    children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
    return [own, *map(int, children)]


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class ResourceHook(Hook):
    """Every 20 updates: memory and open files of the process and its workers, longest scalar history."""

    priority = "VERY_LOW"

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if runner.iter % NOTED:
            return
        pids = processes()
        record = dict(
            iteration=runner.iter, processes=len(pids), memory=[resident_bytes(pid) for pid in pids],
            files=[len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids],
            history=max(len(buffer.data[0]) for buffer in runner.message_hub.log_scalars.values()),
        )  # fmt: skip
        with (Path(runner.work_dir) / "resources.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")


def train_noting_resources(config: Config) -> None:
    runner = build_runner(config)
    runner.register_hook(ResourceHook())
    runner.train()


@pytest.fixture(scope="module")
def resources(
    shapes_path: Path, shrunk: Callable[..., Config], run_ranks: Callable[..., None],
    tmp_path_factory: pytest.TempPathFactory,
) -> list[dict[str, Any]]:  # fmt: skip
    """Records of a training after it has warmed up; 16 updates to an epoch, so that epochs end often."""
    if not Path("/proc/self/statm").is_file():
        pytest.skip("needs Linux' /proc")
    config = shrunk(shapes_path, tmp_path_factory.mktemp("leak") / "work")
    config.update(val_cfg=None, val_dataloader=None, val_evaluator=None)
    # The first is saved before memory is looked at: a file is built in memory.
    config.default_hooks.checkpoint.interval = SAVED
    config.train_dataloader.update(batch_size=2, num_workers=2)
    config.train_cfg = dict(type=config.train_cfg.type, max_iters=UPDATES)
    run_ranks(train_noting_resources, config, timeout_s=1800)
    lines = (Path(config.work_dir) / "resources.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["iteration"] >= WARM]


def test_memory_does_not_grow(resources: list[dict[str, Any]]) -> None:
    updates = [record["iteration"] for record in resources]
    for process in range(resources[0]["processes"]):
        memory = [record["memory"][process] for record in resources]
        slope = np.polyfit(updates, memory, 1)[0]
        assert slope < BYTES_PER_UPDATE, f"process {process} (0 trains, others load) grows {slope:.0f} bytes per update"


def test_open_files_and_workers_do_not_grow(resources: list[dict[str, Any]], shapes_path: Path) -> None:
    # A fit trains on stored features, which need no loader workers.
    fit = Config.fromfile(shapes_path).train_cfg.type == "FewShotFitLoop"
    assert {record["processes"] for record in resources} == {1 if fit else 3}
    first, last = resources[0]["files"], resources[-1]["files"]
    assert all(after <= before + 2 for before, after in zip(first, last, strict=True)), (first, last)


def test_scalar_histories_are_bounded(resources: list[dict[str, Any]]) -> None:
    assert resources[-1]["history"] == resources[len(resources) // 2]["history"] <= 1500
