"""The loss over 2 and 3 ranks with unequal batches equals one process, in value and every gradient."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from clipplus.losses import softmax_contrast

WORKER = Path(__file__).with_name("rank_worker.py")


def run_ranks(counts: list[int], folder: Path) -> list[dict[str, torch.Tensor]]:
    """What every rank computed."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    arguments = [str(len(counts)), str(folder / "store"), str(folder / "out"), *map(str, counts)]
    ranks = [
        subprocess.Popen([sys.executable, str(WORKER), str(rank), *arguments], env=environment)
        for rank in range(len(counts))
    ]
    assert [rank.wait(timeout=100) for rank in ranks] == [0] * len(counts)
    return [torch.load(folder / f"out.{rank}") for rank in range(len(counts))]


@pytest.mark.parametrize("counts", [[4, 3], [1, 5, 2]])
def test_ranks_with_unequal_batches_equal_one_process(counts: list[int], tmp_path: Path) -> None:
    ranks = run_ranks(counts, tmp_path)
    generator = torch.Generator().manual_seed(0)
    image, text = (
        torch.randn(sum(counts), 6, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(2)
    )
    scale = torch.tensor(7.0, dtype=torch.float64, requires_grad=True)
    loss = softmax_contrast(F.normalize(image, dim=-1), F.normalize(text, dim=-1), scale)
    loss.backward()
    for rank in ranks:
        torch.testing.assert_close(rank["loss"], loss.detach(), rtol=0, atol=1e-12)
    # DDP averages over ranks what each rank computed.
    world = len(counts)
    for name, own in (("image", image), ("text", text)):
        torch.testing.assert_close(torch.cat([rank[name] for rank in ranks]) / world, own.grad, rtol=0, atol=1e-12)
    torch.testing.assert_close(sum(rank["scale"] for rank in ranks) / world, scale.grad, rtol=0, atol=1e-12)
