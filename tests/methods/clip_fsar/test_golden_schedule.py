"""The published learning rates, by iteration, from mmengine's own schedulers."""

import json

import pytest
import torch
from mmengine.registry import PARAM_SCHEDULERS, init_default_scope
from torch import nn


@pytest.mark.golden("clip_fsar", "lr_schedule")
def test_clip_fsar_golden_lr_schedule(golden) -> None:
    init_default_scope("mmaction")
    for name, recipe in json.loads(golden.metadata["recipes"]).items():
        base, warm_up = recipe["BASE_LR"], recipe["STEPS_ITER"]
        # The published loop counts the part of an epoch twice: epoch 4 is reached after 2 x S iterations.
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=base)
        drops = [first_iteration(step, warm_up) for step in recipe["STEPS"][1:]]
        schedulers = [
            PARAM_SCHEDULERS.build(part, default_args=dict(optimizer=optimizer))
            for part in (
                dict(
                    type="LinearLR", start_factor=recipe["WARMUP_START_LR"] / base, begin=0, end=warm_up + 1,
                    by_epoch=False,
                ),
                dict(type="MultiStepLR", milestones=drops, gamma=0.1, by_epoch=False),
            )
        ]  # fmt: skip
        wanted = dict(zip(golden[f"{name}.iter"].tolist(), golden[f"{name}.lr"].tolist(), strict=True))
        for iteration in range(max(wanted) + 1):
            if iteration in wanted:
                assert optimizer.param_groups[0]["lr"] == pytest.approx(wanted[iteration], rel=1e-10), (name, iteration)
            optimizer.step()
            for scheduler in schedulers:
                scheduler.step()


def first_iteration(epoch: int, per_epoch: int) -> int:
    """When floor(i / S) + i / S reaches an epoch."""
    return next(i for i in range(epoch * per_epoch + 1) if i // per_epoch + i / per_epoch >= epoch)
