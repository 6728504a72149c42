"""Every loss over 2 and 3 ranks with unequal batches equals one process, in value and every gradient."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

WORKER = Path(__file__).with_name("rank_worker.py")
COUNTS = ([4, 3], [1, 5, 2])

Results = list[dict[str, dict[str, torch.Tensor]]]


def load_worker() -> ModuleType:
    """The ranks' script, for the losses that it runs and for one process to run the same."""
    spec = importlib.util.spec_from_file_location("rank_worker", WORKER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


worker = load_worker()


def run_ranks(counts: list[int], folder: Path) -> Results:
    """What every rank computed."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    arguments = [str(len(counts)), str(folder / "store"), str(folder / "out"), *map(str, counts)]
    ranks = [
        subprocess.Popen([sys.executable, str(WORKER), str(rank), *arguments], env=environment)
        for rank in range(len(counts))
    ]
    assert [rank.wait(timeout=100) for rank in ranks] == [0] * len(counts)
    return [torch.load(folder / f"out.{rank}") for rank in range(len(counts))]


@pytest.fixture(scope="module", params=COUNTS, ids=str)
def ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Results]:
    """Number of pairs and the ranks' results; one start of the processes for all losses."""
    return sum(request.param), run_ranks(request.param, tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("name", worker.LOSSES)
def test_ranks_with_unequal_batches_equal_one_process(name: str, ranks: tuple[int, Results]) -> None:
    pairs, results = ranks[0], [rank[name] for rank in ranks[1]]
    alone = worker.loss_and_gradients(worker.LOSSES[name], pairs, slice(None))
    for rank in results:
        torch.testing.assert_close(rank["loss"], alone["loss"], rtol=0, atol=1e-12)
    # DDP averages over ranks what each rank computed.
    for key in alone.keys() - {"loss"}:
        parts = [rank[key] for rank in results]
        over_ranks = sum(parts) if parts[0].ndim == 0 else torch.cat(parts)
        torch.testing.assert_close(over_ranks / len(parts), alone[key], rtol=0, atol=1e-12)
