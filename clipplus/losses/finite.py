"""Stop before a non-finite loss reaches the weights."""

from collections.abc import Mapping, Sequence

import torch
from mmengine.logging import MessageHub
from torch import Tensor

from clipplus.losses.gather import is_distributed


def require_finite(terms: Mapping[str, Tensor], rows: Sequence[Tensor], keys: Sequence[str] | None) -> None:
    """Raise when a loss term is nan or infinite, naming the term, the update and the samples behind it.

    Args:
        terms: loss terms by name, each ().
        rows: tensors with one row per sample, from which the samples are told: those with a non-finite row, or
            the whole batch when all rows are finite (of several ranks, only those with bad rows name samples).
        keys: the samples' keys, when the batch carries them.

    Raises:
        FloatingPointError: a term is not finite.
    """
    finite = torch.isfinite(torch.stack([term.detach().float() for term in terms.values()]))
    if bool(finite.all()):
        return
    bad_terms = [f"'{name}' is {term.item()}" for (name, term), ok in zip(terms.items(), finite, strict=True) if not ok]
    others = [f"{name} {term.item():.3g}" for (name, term), ok in zip(terms.items(), finite, strict=True) if ok]
    bad_rows = torch.zeros(len(rows[0]), dtype=torch.bool, device=rows[0].device)
    for part in rows:
        bad_rows |= ~torch.isfinite(part.detach()).flatten(1).all(dim=1)
    indices = bad_rows.nonzero().flatten().tolist()
    if not indices and not is_distributed():
        indices = list(range(len(bad_rows)))
    names = [f"'{keys[i]}'" if keys is not None else f"row {i}" for i in indices]
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    shown = shown or "none of this rank's"
    step = MessageHub.get_current_instance().get_info("iter", "unknown")
    rest = ", ".join(others) or "none"
    raise FloatingPointError(f"loss term {', '.join(bad_terms)} at step {step} (samples {shown}); finite terms: {rest}")
