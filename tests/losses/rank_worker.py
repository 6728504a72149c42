"""One rank of `test_ranks.py`: its share of the pairs, the loss and the gradients, written to a file.

Usage: rank_worker.py RANK WORLD STORE OUT COUNTS...
"""

import sys

import torch
import torch.distributed as dist

from clipplus.losses import SoftmaxContrastiveLoss

rank, world = int(sys.argv[1]), int(sys.argv[2])
counts = [int(count) for count in sys.argv[5:]]
dist.init_process_group("gloo", init_method=f"file://{sys.argv[3]}", rank=rank, world_size=world)
generator = torch.Generator().manual_seed(0)
image, text = (torch.randn(sum(counts), 6, generator=generator, dtype=torch.float64) for _ in range(2))
first = sum(counts[:rank])
mine = slice(first, first + counts[rank])
image, text = image[mine].clone().requires_grad_(), text[mine].clone().requires_grad_()
scale = torch.tensor(7.0, dtype=torch.float64, requires_grad=True)
loss = SoftmaxContrastiveLoss()(
    torch.nn.functional.normalize(image, dim=-1), torch.nn.functional.normalize(text, dim=-1), scale
)
loss.backward()
torch.save(
    {"loss": loss.detach(), "image": image.grad, "text": text.grad, "scale": scale.grad}, f"{sys.argv[4]}.{rank}"
)
dist.destroy_process_group()
