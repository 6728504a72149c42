"""Promise 6: the same global batch on 1, 2 or 3 ranks gives the same loss and the same gradients."""

import functools
from collections.abc import Callable

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import Tensor

Updates = list[dict[str, Tensor]]


@pytest.fixture(scope="module")
def cut(in_parts: Callable[[int], Config], gradients: Callable[..., Updates]) -> Callable[[int], Updates]:
    """`cut(ranks)`: the two updates on so many ranks, computed once."""
    return functools.cache(lambda ranks: gradients(in_parts(ranks), ranks))


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_compute_the_loss_and_gradients_of_one(
    cut: Callable[[int], Updates], whole_gradients: Updates, same_gradients: Callable[..., None], ranks: int
) -> None:
    same_gradients(cut(ranks)[0], whole_gradients[0])


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_with_unequal_parts_compute_the_loss_and_gradients_of_one(
    cut: Callable[[int], Updates], whole_gradients: Updates, same_gradients: Callable[..., None],
    in_parts: Callable[[int], Config], ranks: int,
) -> None:  # fmt: skip
    if not getattr(MODELS.get(in_parts(1).model.type), "couples_samples", False):
        pytest.skip("a mean over each rank's samples weights unequal parts unequally: StepLoop cuts evenly")
    same_gradients(cut(ranks)[1], whole_gradients[1])
