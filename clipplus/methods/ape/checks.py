"""What a classifier of cached features refuses, with the class, picture or option in the message.

Shape letters of this file: N rows, C classes, D channels of a feature.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

_SHOWN = 5


def require_usable_rows(features: Tensor, what: str, names: Sequence[str] | None = None) -> None:
    """Refuse rows that have no direction.

    Args:
        features: (N, D).
        what: how messages call a row: 'key', 'text', 'feature'.
        names: what each row was made from, e.g. the pictures' paths; None numbers them.

    Raises:
        ValueError: a row that is zero or not finite.
    """
    finite = features.isfinite().all(dim=1)
    bad = ~finite | (features == 0).all(dim=1)
    if not bad.any():
        return
    row = int(bad.nonzero()[0])
    name = f"'{names[row]}'" if names is not None else f"number {row}"
    state = "not finite" if not finite[row] else "zero in all channels"
    raise ValueError(
        f"the {what} of {name} is {state} ({int(bad.sum())} of {len(bad)} rows are unusable): "
        "is the picture broken, or the tower's weights?"
    )


def require_widths(text: Tensor, keys: Tensor) -> None:
    """Refuse keys of another width than the class texts.

    Raises:
        ValueError: they differ.
    """
    if text.shape[1] != keys.shape[1]:
        raise ValueError(
            f"class texts have {text.shape[1]} channels, but keys {keys.shape[1]}: image and text tower must be of "
            "one CLIP"
        )


def require_labels(labels: Tensor, keys: Tensor, classes: int, class_names: Sequence[str] | None) -> None:
    """Refuse labels that do not fit the keys or the class texts.

    Raises:
        ValueError: another number of labels than keys, a label without text, or a class without a key.
    """
    if labels.shape != keys.shape[:1]:
        raise ValueError(f"there are {len(keys)} keys, but labels of shape {tuple(labels.shape)}")
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(
            f"labels must lie in 0..{classes - 1}, since there are {classes} class texts; "
            f"got {int(labels.min())}..{int(labels.max())}: do data and text bank name the same classes?"
        )
    empty = (torch.bincount(labels, minlength=classes) == 0).nonzero().flatten().tolist()
    if empty:
        shown = [f"{c} '{class_names[c]}'" if class_names is not None else str(c) for c in empty[:_SHOWN]]
        raise ValueError(f"{len(empty)} of {classes} classes have no key: {', '.join(shown)}; each needs a picture")


def require_same_classes(names: Sequence[str], other: Sequence[str], what: str, than: str) -> None:
    """Refuse two lists of classes that differ.

    Args:
        names: one list.
        other: the list to compare with.
        what: how messages call `names`.
        than: how messages call `other`.

    Raises:
        ValueError: names the first class that differs, or the first that only one of them has.
    """
    for label, (name, another) in enumerate(zip(names, other, strict=False)):
        if name != another:
            raise ValueError(f"class {label} is '{name}' in {what}, but '{another}' in {than}: the lists must be equal")
    if len(names) != len(other):
        longer, where = (names, what) if len(names) > len(other) else (other, than)
        first = min(len(names), len(other))
        raise ValueError(f"{what} has {len(names)} classes, {than} {len(other)}: '{longer[first]}' is in {where} only")
