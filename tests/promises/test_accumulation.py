"""Promise 7: what a device cannot hold at once may be computed in parts, and the update is still that of the whole."""

import inspect
from collections.abc import Callable

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import Tensor

Updates = list[dict[str, Tensor]]
Gradients = Callable[..., Updates]
Configure = Callable[[int], Config]


def couples_samples(config: Config) -> bool:
    return getattr(part_of(config, config.model.type), "couples_samples", False)


def part_of(config: Config, name: str) -> type:
    """A registered class, the host's among them."""
    with MODELS.switch_scope_and_registry(config.default_scope) as registry:
        return registry.get(name)


def in_chunks(config: Config) -> Config:
    """The config with chunks of 5, where its model knows them, and frozen batch norms, where its tower has any."""
    if "micro_batch" not in inspect.signature(part_of(config, config.model.type)).parameters:
        pytest.skip(f"{config.model.type} has no micro_batch")
    config.model.micro_batch = 5
    if "bn_mode" in inspect.signature(part_of(config, config.model.image_tower.type)).parameters:
        config.model.image_tower.bn_mode = "frozen"
    return config


@pytest.mark.parametrize("ranks", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_chunks_give_the_loss_and_gradients_of_the_whole_batch(
    in_parts: Configure, gradients: Gradients, whole_gradients: Updates, same_gradients: Callable[..., None], ranks: int
) -> None:
    chunked = gradients(in_chunks(in_parts(ranks)), ranks)
    for update in range(2):
        same_gradients(chunked[update], whole_gradients[update])


def test_accumulated_means_give_the_loss_and_gradients_of_the_whole_batch(
    in_parts: Configure, gradients: Gradients, whole_gradients: Updates, same_gradients: Callable[..., None]
) -> None:
    config = in_parts(2)
    if couples_samples(config):
        pytest.skip(f"{config.model.type} contrasts samples, which accumulation would hide from each other")
    config.optim_wrapper.accumulative_counts = 2
    same_gradients(gradients(config)[0], whole_gradients[0])


def test_accumulation_that_would_hide_negatives_is_refused(in_parts: Configure, start: Callable) -> None:
    config = in_parts(2)
    if not couples_samples(config):
        pytest.skip(f"{config.model.type} contrasts no samples")
    config.optim_wrapper.accumulative_counts = 2
    run = start(config)
    assert run.wait() == [2]
    assert "accumulative_counts=2 would hide most negatives" in run.output()


def test_chunks_with_training_batch_norms_are_refused(in_parts: Configure, start: Callable) -> None:
    config = in_chunks(in_parts(1))
    if not any("BatchNorm" in type(layer).__name__ for layer in MODELS.build(config.model).modules()):
        pytest.skip(f"{config.model.type} of this config has no batch norm")
    config.model.image_tower.bn_mode = "train"
    run = start(config)
    assert run.wait() == [2]
    assert "micro_batch needs towers that encode each sample alone" in run.output()
