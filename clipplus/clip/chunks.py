"""Large contrastive batches in the memory of a small one: encoding in chunks that the backward pass recomputes."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from clipplus.towers.batch_norm import training_batch_norms


def encode_in_chunks(encode: Callable[[Tensor], Tensor], rows: Tensor, size: int) -> Tensor:
    """`encode(rows)`, with the activations of at most `size` rows alive at a time.

    The forward pass keeps nothing but the embeddings; the backward pass encodes each chunk again, with the random
    numbers (dropout) of the first time. A loss of all embeddings therefore sees every pair of the batch, its gradients
    are those of one pass, and DDP sees one forward and one backward pass. This is GradCache (Gao et al. 2021,
    arXiv 2101.06983) in terms of activation checkpointing: one more forward pass in exchange for the memory.

    Args:
        encode: (b, ...) -> (b, E), row by row: no row may depend on the others of its chunk.
        rows: (B, ...).
        size: rows per chunk; the last chunk may be smaller.

    Returns:
        (B, E).
    """
    if len(rows) <= size or not torch.is_grad_enabled():
        return encode(rows)
    # The reentrant form gives wrong gradients under DDP, silently.
    return torch.cat([checkpoint(encode, chunk, use_reentrant=False) for chunk in rows.split(size)])


def require_independent_rows(model: nn.Module) -> None:
    """Refuse layers that would make a chunk's embeddings depend on the chunk.

    Raises:
        ValueError: a BatchNorm layer in training mode: each chunk would be normalised alone, and counted twice in the
            running statistics.
    """
    coupled = training_batch_norms(model)
    if coupled:
        raise ValueError(
            f"micro_batch needs towers that encode each sample alone, but {len(coupled)} BatchNorm layers train "
            f"({coupled[0]}, ...): use image_tower.bn_mode='frozen' (with pretrained weights), a ViT, or no micro_batch"
        )
