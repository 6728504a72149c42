"""A search on the shots themselves: the table equals that of caches built without the query, one after another."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clipplus.checkpoints import load_restricted
from clipplus.methods.ape.logits import segment_sum, unit, zero_shot_logits
from clipplus.methods.ape.search import SearchGrid, search_features


def plain_hits(keys: torch.Tensor, text: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, grid: SearchGrid):
    """By the definition: every key is asked about a cache without it, whose class sum is multiplied by n / (n - 1)."""
    hits = torch.zeros(grid.shape, dtype=torch.int64)
    for m, label in enumerate(labels.tolist()):
        others = torch.arange(len(labels)) != m
        shots = int((labels == label).sum())
        distance = 1 - keys[m] @ keys[others].T
        for b, beta in enumerate(grid.betas.tolist()):
            for g in range(len(weights)):
                affinity = weights[g, others] * torch.exp(-beta * distance)
                collected = segment_sum(affinity[None], labels[others], len(text))[0]
                collected[label] *= shots / (shots - 1)
                for a, alpha in enumerate(grid.alphas.tolist()):
                    logits = zero_shot_logits(keys[m : m + 1], text, 3.0)[0] + alpha * collected
                    hits[b, a, g] += int(logits.argmax() == label)
    return hits


@settings(max_examples=15, deadline=None)
@given(
    counts=st.lists(st.integers(2, 5), min_size=2, max_size=5),
    seed=st.integers(0, 10_000),
    betas=st.sampled_from([2, 30]),
)
def test_the_table_is_that_of_caches_without_the_query(counts: list[int], seed: int, betas: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=generator)]
    centres = torch.randn(len(counts), 6, generator=generator, dtype=torch.float64)
    keys = unit(centres[labels] + torch.randn(len(labels), 6, generator=generator, dtype=torch.float64))
    text = unit(centres + torch.randn(len(counts), 6, generator=generator, dtype=torch.float64))
    grid = SearchGrid((7, 7, 1.5), (betas, 5, 2), include_zero_alpha=True)
    weights = torch.exp(grid.gammas[:, None] * torch.rand(len(labels), generator=generator, dtype=torch.float64))

    def terms(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return zero_shot_logits(features, text, 3.0), features @ keys.T

    found = search_features(terms, keys, labels, weights, labels, grid, own_keys=torch.arange(len(labels)))
    assert torch.equal(found.hits, plain_hits(keys, text, labels, weights, grid))


def test_keys_that_are_equal_but_for_the_class_tie_as_by_arg_max() -> None:
    """Distances, and so the ends of winning alphas, coincide exactly: decided one by one."""
    keys = torch.eye(4, dtype=torch.float64)[[0, 1, 0, 1, 0, 1]]
    labels, text = torch.tensor([0, 0, 1, 1, 2, 2]), torch.ones(3, 4, dtype=torch.float64) / 2
    grid, weights = SearchGrid((7, 7), (4, 4)), torch.ones(1, 6, dtype=torch.float64)

    def terms(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return zero_shot_logits(features, text, 3.0), features @ keys.T

    found = search_features(terms, keys, labels, weights, labels, grid, own_keys=torch.arange(6))
    assert torch.equal(found.hits, plain_hits(keys, text, labels, weights, grid))


def without_validation(config: Any) -> Any:
    config.update(val_cfg=None, val_dataloader=None, val_evaluator=None)
    config.train_cfg.search.on = "loo"
    return config


@pytest.mark.parametrize("method", ["ape", "tip-adapter"])
def test_a_fit_without_validation_data_chooses_on_its_shots(
    method: str, fit_config: Callable, build: Callable, tested: Callable
) -> None:
    config = without_validation(fit_config(method))
    build(config).train()
    file = Path(config.work_dir) / "best.pth"
    search = load_restricted(file)["meta"]["ape"]["search"]
    assert search | dict(on="loo", images=28, search_on_test=False, accuracy_before=None) == search
    # Chosen on 28 shots, it is better than CLIP on images that it has not seen.
    build_zero = without_validation(fit_config("zero-shot", work_dir=config.work_dir + "-zero"))
    build_zero.train_cfg.search = None
    build(build_zero).train()
    zero_shot = tested(build_zero, Path(build_zero.work_dir) / "best.pth")["toy/top1"]
    assert tested(config, file)["toy/top1"] > zero_shot + 1


@pytest.mark.parametrize(
    ("method", "keys", "message"),
    [
        ("ape-t", {}, "is for heads that do not train: APETHead has learnt the shots"),
        ("ape", {"train_dataloader.dataset.dataset.num_shots": 1}, "class 0 has one shot only: take num_shots of at"),
        ("ape", {"train_dataloader.dataset.dataset.num_shots": 25}, "is among the shots more than once .*='keep'"),
    ],
)
def test_shots_that_cannot_do_without_one_of_them_are_refused(
    method: str, keys: dict, message: str, fit_config: Callable, build: Callable
) -> None:
    config = without_validation(fit_config(method, **keys))
    with pytest.raises(ValueError, match=message):
        build(config).train()
