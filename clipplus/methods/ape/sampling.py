"""Which pictures are the few shots: drawn as the published code draws them, so that numbers can be compared.

Everything is a function of labels and seed alone; Python's own generator draws, whose streams do not change.
"""

import random
from collections.abc import Hashable, Sequence
from typing import Literal

Short = Literal["repeat", "keep", "error"]


def few_shot_indices(
    labels: Sequence[Hashable], num_shots: int, seed: int, nested: bool = False, replace_short: Short = "repeat"
) -> list[int]:
    """Positions of the chosen items, class by class in the order in which the classes first appear in `labels`.

    As CoOp's code and all that follow it: the generator is seeded once, then every class in turn is sampled. Another
    number of shots is another draw: the one shot is not among the two shots.

    Args:
        labels: of all items.
        num_shots: K, items per class.
        seed: published numbers use 1.
        nested: make the K-shot items the first K of those of any larger K. Not published.
        replace_short: for a class of fewer than K items: 'repeat' draws with repetition (as published), 'keep' takes
            all it has, 'error' refuses.

    Raises:
        ValueError: fewer than one shot, an unknown `replace_short`, or with 'error' a class of fewer than K items.
    """
    if isinstance(num_shots, bool) or not isinstance(num_shots, int) or num_shots < 1:
        raise ValueError(f"num_shots must be a whole number of at least 1, got {num_shots!r}")
    if replace_short not in ("repeat", "keep", "error"):
        raise ValueError(f"replace_short must be 'repeat', 'keep' or 'error', got {replace_short!r}")
    generator = random.Random(seed)
    chosen: list[int] = []
    for label, items in _by_class(labels).items():
        if len(items) < num_shots and replace_short == "error":
            raise ValueError(
                f"class {label} has {len(items)} items, fewer than num_shots={num_shots}: choose fewer shots, or "
                "replace_short='repeat' or 'keep'"
            )
        chosen += (_draw_nested if nested else _draw)(generator, items, num_shots, replace_short == "repeat")
    return chosen


def held_out_indices(labels: Sequence[Hashable], taken: Sequence[int], per_class: int, seed: int) -> list[int]:
    """Further items, disjoint from the `taken` ones, to choose hyper-parameters on where there is no validation set.

    Args:
        labels: of all items.
        taken: positions that must not be drawn.
        per_class: items per class; a class takes what it has left.
        seed: another stream than that of the shots.

    Raises:
        ValueError: fewer than one item per class, or nothing is left.
    """
    if per_class < 1:
        raise ValueError(f"holdout must be at least 1 item per class, got {per_class}")
    generator = random.Random(f"holdout {seed}")
    used = set(taken)
    chosen: list[int] = []
    for items in _by_class(labels).values():
        left = [item for item in items if item not in used]
        chosen += generator.sample(left, min(per_class, len(left)))
    if not chosen:
        raise ValueError(f"all {len(labels)} items are among the shots: nothing is left to hold out")
    return chosen


def _by_class(labels: Sequence[Hashable]) -> dict[Hashable, list[int]]:
    items: dict[Hashable, list[int]] = {}
    for position, label in enumerate(labels):
        items.setdefault(label, []).append(position)
    return items


def _draw(generator: random.Random, items: list[int], num: int, repeat: bool) -> list[int]:
    if len(items) < num and repeat:
        return generator.choices(items, k=num)
    return generator.sample(items, min(num, len(items)))


def _draw_nested(generator: random.Random, items: list[int], num: int, repeat: bool) -> list[int]:
    """The first `num` of one order of all items, which goes round where there are too few."""
    order = generator.sample(items, len(items))
    return [order[i % len(order)] for i in range(num if repeat else min(num, len(order)))]
