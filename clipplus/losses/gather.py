"""Rows of all ranks with exact gradients, for losses that couple the samples of a global batch.

A loss that sums the terms of its own rows over the gathered rows of all ranks is exact under DDP when
every rank (a) gathers with gradient and (b) passes its sum through `global_loss`.
"""

from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor


class GatheredRows(NamedTuple):
    """All ranks' rows, and where this rank's own begin."""

    rows: Tensor
    offset: int


def is_distributed() -> bool:
    """Whether there is more than one process to talk to."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


class _GatherRows(torch.autograd.Function):
    """Concatenate over ranks; the gradient of a row is the sum of what all ranks send back to it."""

    @staticmethod
    def forward(ctx: Any, local: Tensor, counts: list[int]) -> Tensor:
        ctx.counts, ctx.rank = counts, dist.get_rank()
        padded = local.new_zeros((max(counts), *local.shape[1:]))
        padded[: len(local)] = local
        received = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(received, padded)
        return torch.cat([rows[:count] for rows, count in zip(received, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        # A reduce-scatter would move half as much, but needs equal counts and is missing in some back ends.
        # A copy: autograd may hand the same gradient to others.
        grad = grads[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(grad)
        first = sum(ctx.counts[: ctx.rank])
        return grad[first : first + ctx.counts[ctx.rank]], None


def gather_rows(local: Tensor) -> GatheredRows:
    """Rows of all ranks in rank order; ranks may hold different numbers of rows.

    Args:
        local: (B_r, ...), this rank's rows.

    Returns:
        (sum_r B_r, ...) and the index of this rank's first row in it. One process gets its own rows back.
    """
    if not is_distributed():
        return GatheredRows(local, 0)
    own = torch.tensor([len(local)], device=local.device)
    received = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(received, own)
    counts = [int(count) for count in torch.cat(received)]
    rows: Tensor = _GatherRows.apply(local, counts)
    return GatheredRows(rows, sum(counts[: dist.get_rank()]))


def global_loss(local_sum: Tensor) -> Tensor:
    """The sum over ranks as value, with the gradient that DDP's *mean* over ranks turns into the exact one.

    Args:
        local_sum: (), this rank's part of the global loss; the parts of all ranks add up to it.
    """
    if not is_distributed():
        return local_sum
    value = local_sum.detach().clone()
    dist.all_reduce(value)
    scaled = local_sum * dist.get_world_size()
    return value + (scaled - scaled.detach())


def global_logsumexp(local: Tensor) -> Tensor:
    """log(sum_r exp(local_r)), element by element over ranks; without gradient.

    Args:
        local: any shape, the same on all ranks; -inf where a rank has nothing to add.
    """
    if not is_distributed():
        return local
    top = local.clone()
    dist.all_reduce(top, op=dist.ReduceOp.MAX)
    total = (local - top).exp_()
    dist.all_reduce(total)
    return total.log_().add_(top)
