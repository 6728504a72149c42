"""Encoding in chunks: gradients of one pass, dropout replayed, activations of one chunk at a time, refusals."""

from typing import Any

import pytest
import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

import clipplus.clip  # noqa: F401 - registers the model
from clipplus.clip.chunks import encode_in_chunks

TOWER: dict[str, Any] = dict(
    embed_dim=16,
    quick_gelu=False,
    vision_cfg=dict(image_size=32, patch_size=8, width=32, layers=1, head_width=16),
    text_cfg=dict(context_length=16, vocab_size=50, width=32, heads=2, layers=1),
)


def build(tower: dict[str, Any] = TOWER, **options: Any) -> Any:
    torch.manual_seed(0)
    config = dict(
        type="CLIPModel",
        image_tower=dict(type="CLIPImageTower", model=tower),
        text_tower=dict(type="CLIPTextTower", model=tower),
        loss=dict(type="SoftmaxContrastiveLoss"),
    )
    return MODELS.build(config | options).double()


def batch(pairs: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.zeros(pairs, 16, dtype=torch.int64)
    for row, length in enumerate(torch.randint(2, 16, (pairs,), generator=generator).tolist()):
        tokens[row, :length] = torch.randint(1, 40, (length,), generator=generator)
        tokens[row, length] = 49
    return torch.randn(pairs, 3, 32, 32, dtype=torch.float64, generator=generator), tokens


def gradients(model: Any, images: Tensor, tokens: Tensor) -> dict[str, Tensor]:
    terms = model(images, tokens, mode="loss")
    terms["loss_contrast"].backward()
    return {"loss": terms["loss_contrast"].detach()} | {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.parametrize("loss", ["SoftmaxContrastiveLoss", "SigmoidContrastiveLoss"])
@pytest.mark.parametrize("size", [1, 3, 7, 50])
def test_gradients_in_chunks_are_those_of_the_whole_batch(size: int, loss: str) -> None:
    images, tokens = batch(7)
    whole = gradients(build(loss=dict(type=loss)), images, tokens)
    chunked = gradients(build(loss=dict(type=loss), micro_batch=size), images, tokens)
    assert float(whole["image_tower.visual.conv1.weight"].norm()) > 1e-4
    for name, gradient in whole.items():
        torch.testing.assert_close(chunked[name], gradient, rtol=0, atol=1e-12)


def test_random_layers_draw_the_same_numbers_when_a_chunk_is_encoded_again() -> None:
    layer = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)).double()
    rows = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    encode_in_chunks(layer, rows, 2).square().sum().backward()
    replayed = layer[0].weight.grad.clone()
    layer.zero_grad()
    torch.manual_seed(1)
    torch.cat([layer(chunk) for chunk in rows.split(2)]).square().sum().backward()
    assert torch.equal(replayed, layer[0].weight.grad)


def test_no_more_than_one_chunk_of_activations_is_kept() -> None:
    """Counts what autograd saves in the forward pass: nothing of the encoder's inside."""
    layer = nn.Sequential(nn.Linear(4, 512), nn.GELU(), nn.Linear(512, 4))
    saved: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        saved.append(tensor.numel())
        return tensor

    rows = torch.randn(64, 4)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        encode_in_chunks(layer, rows, 8).sum()
        in_chunks = max(saved, default=0)
        saved.clear()
        layer(rows).sum()
    assert in_chunks < 512 <= 64 * 512 <= max(saved)


def test_evaluation_encodes_the_batch_at_once() -> None:
    calls: list[int] = []

    def encode(rows: Tensor) -> Tensor:
        calls.append(len(rows))
        return rows

    with torch.no_grad():
        encode_in_chunks(encode, torch.zeros(9, 2), 4)
    encode_in_chunks(encode, torch.zeros(9, 2), 4)
    assert calls == [9, 4, 4, 1]


def test_chunks_with_a_training_batch_norm_are_refused() -> None:
    resnet = TOWER | dict(vision_cfg=dict(image_size=64, layers=[1, 1, 1, 1], width=8, head_width=16))
    with pytest.raises(
        ValueError, match=r"micro_batch needs towers .* BatchNorm layers train \(image_tower\..*bn_mode"
    ):
        build(resnet, micro_batch=4)
    build(resnet, micro_batch=4, image_tower=dict(type="CLIPImageTower", model=resnet, bn_mode="frozen"))


def test_chunks_of_no_pair_are_refused() -> None:
    with pytest.raises(ValueError, match="whole number of at least 1 pair, got 0"):
        build(micro_batch=0)
