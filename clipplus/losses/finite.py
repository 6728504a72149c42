"""Which samples a non-finite loss comes from."""

from collections.abc import Sequence

import torch
from torch import Tensor


def non_finite_rows(rows: Sequence[Tensor]) -> list[int]:
    """Positions of the samples with a nan or an infinity in any of several tensors.

    Args:
        rows: tensors (B, ...) with one row per sample, in the same order; none gives [].
    """
    if not rows:
        return []
    bad = torch.zeros(len(rows[0]), dtype=torch.bool, device=rows[0].device)
    for part in rows:
        bad |= ~torch.isfinite(part.detach()).flatten(1).all(dim=1)
    return bad.nonzero().flatten().tolist()
