"""Order and seeds are functions of positions: the same for any number of ranks and micro-steps."""

import random

import numpy as np
import pytest
import torch

from clipplus.data import EpochOrder, GlobalBatches
from clipplus.data.seeding import mix, seed_all, seed_step


def draws() -> tuple:
    return random.random(), float(np.random.rand()), float(torch.rand(1))


def test_equal_positions_draw_equally_and_different_ones_do_not() -> None:
    seed_all(0, "sample", 3, 7)
    first = draws()
    seed_all(0, "sample", 3, 7)
    assert draws() == first
    others = []
    for key in ((0, "sample", 3, 8), (0, "sample", 4, 7), (1, "sample", 3, 7), (0, "step", 3, 7), (0, "sample", 7, 3)):
        seed_all(key[0], key[1], *key[2:])  # type: ignore[arg-type]
        others.append(draws())
    assert len({first, *others}) == 6


def test_neighbouring_seeds_and_epochs_do_not_collide() -> None:
    assert len({mix(seed, "order", epoch) for seed in range(50) for epoch in range(50)}) == 2500


def test_step_seed_reaches_the_default_device_generator() -> None:
    seed_step(0, 5, 1)
    first = torch.rand(1)
    seed_step(0, 5, 2)
    assert torch.rand(1) != first


def batches_of(samples: int, world: int, rank: int, accumulation: int, batch_size: int, start: int, stop: int) -> list:
    sampler = GlobalBatches(EpochOrder(range(samples), seed=4), batch_size)
    sampler.world_size, sampler.rank = world, rank
    sampler.set_accumulation(accumulation)
    sampler.start, sampler.stop = start, stop
    return list(sampler)


def test_global_batches_do_not_depend_on_ranks_and_micro_steps() -> None:
    """G = 12 cut as 1 rank x 12, 3 ranks x 4, 2 ranks x 2 micro-steps x 3: the same samples in the same parts."""
    whole = batches_of(50, 1, 0, 1, 12, 0, 9)
    for world, accumulation, size in ((3, 1, 4), (2, 2, 3), (1, 4, 3)):
        parts = [batches_of(50, world, rank, accumulation, size, 0, 9) for rank in range(world)]
        for update in range(9):
            cut = slice(update * accumulation, (update + 1) * accumulation)
            joined = [key for rank in range(world) for batch in parts[rank][cut] for key in batch]
            assert joined == whole[update]


def test_a_later_start_continues_the_same_sequence() -> None:
    assert batches_of(50, 1, 0, 1, 12, 5, 9) == batches_of(50, 1, 0, 1, 12, 0, 9)[5:]


def test_every_epoch_is_a_fresh_permutation_without_repeats() -> None:
    epochs = [[key for batch in batches_of(48, 1, 0, 1, 12, 4 * e, 4 * e + 4) for key in batch] for e in range(3)]
    for number, epoch in enumerate(epochs):
        assert sorted(epoch) == [(number, index) for index in range(48)]
    assert [i for _, i in epochs[0]] != [i for _, i in epochs[1]]


def test_data_smaller_than_a_global_batch_is_refused_with_the_numbers() -> None:
    with pytest.raises(
        ValueError, match=r"10 samples, less than one global batch of 12 \(train_dataloader.batch_size=12"
    ):
        GlobalBatches(EpochOrder(range(10)), 12)


def test_other_samplers_are_refused() -> None:
    with pytest.raises(TypeError, match="needs sampler=dict"):
        GlobalBatches(torch.utils.data.SequentialSampler(range(10)), 2)  # type: ignore[arg-type]
