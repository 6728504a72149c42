"""One rank of `test_ranks.py`: its share of the pairs, every loss and its gradients, written to a file.

Usage: rank_worker.py RANK WORLD STORE OUT COUNTS...
"""

import sys
from typing import Any

import torch
import torch.distributed as dist
from mmengine.registry import MODELS
from torch.nn.functional import normalize

import clipplus.losses  # noqa: F401 - registers what LOSSES names

#: By name: config of a loss. The tiles are smaller than, equal to and larger than the ranks' shares.
LOSSES = {
    "softmax": dict(type="SoftmaxContrastiveLoss"),
    "softmax smoothed": dict(type="SoftmaxContrastiveLoss", smoothing=0.2),
    "softmax tile 1": dict(type="SoftmaxContrastiveLoss", tile=1),
    "softmax tile 3 smoothed": dict(type="SoftmaxContrastiveLoss", tile=3, smoothing=0.2),
    "softmax tile 100": dict(type="SoftmaxContrastiveLoss", tile=100),
    "sigmoid": dict(type="SigmoidContrastiveLoss"),
    "sigmoid tile 1": dict(type="SigmoidContrastiveLoss", tile=1),
    "sigmoid tile 3": dict(type="SigmoidContrastiveLoss", tile=3),
    "sigmoid tile 100": dict(type="SigmoidContrastiveLoss", tile=100),
}


def loss_and_gradients(config: dict[str, Any], pairs: int, mine: slice) -> dict[str, torch.Tensor]:
    """The loss of drawn pairs (D = 6, float64), of which this process holds `mine`, and all gradients."""
    generator = torch.Generator().manual_seed(0)
    image, text = (
        torch.randn(pairs, 6, generator=generator, dtype=torch.float64)[mine].clone().requires_grad_() for _ in range(2)
    )
    scale, bias = (torch.tensor(number, dtype=torch.float64, requires_grad=True) for number in (7.0, -3.0))
    contrast = MODELS.build(config)
    inputs = {"image": image, "text": text, "scale": scale} | ({"bias": bias} if contrast.needs_bias else {})
    loss = contrast(normalize(image, dim=-1), normalize(text, dim=-1), scale, *([bias] if contrast.needs_bias else []))
    loss.backward()
    return {"loss": loss.detach()} | {name: part.grad for name, part in inputs.items()}


def main() -> None:
    """Join the group, compute, write."""
    torch.set_num_threads(1)
    rank, world = int(sys.argv[1]), int(sys.argv[2])
    counts = [int(count) for count in sys.argv[5:]]
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[3]}", rank=rank, world_size=world)
    mine = slice(sum(counts[:rank]), sum(counts[: rank + 1]))
    results = {name: loss_and_gradients(config, sum(counts), mine) for name, config in LOSSES.items()}
    torch.save(results, f"{sys.argv[4]}.{rank}")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
