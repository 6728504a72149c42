"""What a config's model costs per sample: counted by running it on tensors without memory.

The towers are built and run forward and backward under torch's FakeTensorMode (meta tensors that say they are on the
CPU): nothing is allocated, and a ViT-L takes seconds. FLOPs come from torch.utils.flop_counter (a multiply-add is two),
activations are what autograd saves for the backward pass, each storage once, weights not counted.

Such a backward pass starts autograd's threads: a process that has counted can fork no child that computes gradients.
"""

import copy
import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from clipplus.engine.sharding import residual_blocks

# An item's cost is the difference between these batches, so that what does not grow with the batch drops out.
_BATCHES = (2, 4)


def _attention(query: torch.Size, key: torch.Size, value: torch.Size, *_: object, **__: object) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward(
    _: torch.Size, query: torch.Size, key: torch.Size, value: torch.Size, *__: object, **___: object
) -> int:
    """Two products for each of the forward pass; a flash kernel's own recomputation is not counted as useful work."""
    return 2 * sdpa_flop_count(query, key, value)


# torch's counter knows the attention kernels of GPUs; the CPU's has the same products.
_ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


@dataclass(frozen=True)
class TowerCost:
    """One tower; per item is per image or per text.

    Attributes:
        parameters: in all.
        trained: of them with gradients.
        in_blocks: of them in residual blocks, each a unit that FSDP gathers and frees; the rest is gathered once.
        tokens: per item that the blocks see.
        forward_flops, backward_flops: per item, without recomputation.
        activation_bytes: saved for the backward pass, per item.
        blocks: residual blocks; 0 for a ResNet.
        block_input_bytes: input of one block, per item: what gradient checkpointing keeps of it.
        checkpointed: `grad_checkpointing` in the config.
    """

    parameters: int
    trained: int
    in_blocks: int
    tokens: int
    forward_flops: float
    backward_flops: float
    activation_bytes: float
    blocks: int
    block_input_bytes: float
    checkpointed: bool


@dataclass(frozen=True)
class ModelCost:
    """Both towers, and the options of the config that decide about memory.

    Attributes:
        image, text: the towers.
        embed_dim: joint width.
        pixels: of an image, channels included.
        rank_batch: pairs per GPU in the config.
        micro_batch: the model's; None encodes a rank's batch at once.
        tile: the loss's; None keeps whole similarity matrices.
        sharded: the config trains with FSDP.
    """

    image: TowerCost
    text: TowerCost
    embed_dim: int
    pixels: int
    rank_batch: int
    micro_batch: int | None
    tile: int | None
    sharded: bool


def count_model(config: Mapping[str, Any], bf16: bool, text_tokens: int | None = None) -> ModelCost:
    """Count a config's model.

    Args:
        config: with `model.image_tower`, `model.text_tower` and `train_dataloader`.
        bf16: activations under autocast instead of fp32.
        text_tokens: columns of a token matrix; None is the text tower's whole context.

    Raises:
        ValueError: the config trains no pair of towers, or more tokens than the context has.
    """
    model = config.get("model") or {}
    missing = [key for key in ("image_tower", "text_tower") if key not in model] + [
        key for key in ("train_dataloader",) if not config.get(key)
    ]
    if missing:
        raise ValueError(f"the config has no {' and no '.join(missing)}: the cost model knows trainings of a CLIPModel")
    image, text = (_build(model[name]) for name in ("image_tower", "text_tower"))
    with FakeTensorMode():
        for tower in (image, text):
            _pretend_to_be_on_cpu(tower)
        side = image.image_size
        height, width = (side, side) if isinstance(side, int) else side
        length = text.context_length if text_tokens is None else text_tokens
        if not 1 <= length <= text.context_length:
            raise ValueError(f"{length} tokens per text, but the text tower's context is {text.context_length}")
        image_cost = _count(image, lambda n: torch.empty(n, 3, height, width), image, model["image_tower"], bf16)
        encode = text._encode if text.trims else text.text  # `forward` looks at the values of its tokens
        length = length if text.trims else text.context_length
        text_cost = _count(
            text, lambda n: torch.zeros(n, length, dtype=torch.int64), encode, model["text_tower"], bf16, length
        )
    return ModelCost(
        image_cost,
        text_cost,
        image.embed_dim,
        3 * height * width,
        config["train_dataloader"]["batch_size"],
        model.get("micro_batch"),
        (model.get("loss") or {}).get("tile"),
        "Sharded" in str((config.get("strategy") or {}).get("type", "")),
    )


def _build(tower: Mapping[str, Any]) -> Any:
    """The tower without weights, checkpointing and compiling, none of which changes what one pass costs."""
    plain = copy.deepcopy(dict(tower))
    for option in ("pretrained", "grad_checkpointing", "compile"):
        plain.pop(option, None)
    with torch.device("meta"):
        return MODELS.build(plain)


def _pretend_to_be_on_cpu(tower: nn.Module) -> None:
    """Fake tensors of the CPU, whose attention kernels are counted, in place of meta tensors; `Module.to` cannot."""
    for module in tower.modules():
        for name, parameter in module.named_parameters(recurse=False):
            module.register_parameter(name, nn.Parameter(_fake(parameter), requires_grad=parameter.requires_grad))
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, _fake(buffer))


def _fake(tensor: Tensor) -> Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype)


def _count(
    tower: nn.Module,
    draw: Callable[[int], Tensor],
    encode: Callable[[Tensor], Tensor],
    options: Mapping[str, Any],
    bf16: bool,
    tokens: int | None = None,
) -> TowerCost:
    inputs: list[Tensor] = []
    blocks = [module for module in tower.modules() if residual_blocks(module, False, 0)]
    hook = blocks[0].register_forward_pre_hook(lambda _, args: inputs.append(args[0])) if blocks else None
    small, large = (_run(tower, encode, draw(n), bf16) for n in _BATCHES)
    if hook is not None:
        hook.remove()
    forward, backward, saved = ((b - a) / (_BATCHES[1] - _BATCHES[0]) for a, b in zip(small, large, strict=True))
    sizes = [parameter.numel() for parameter in tower.parameters()]
    in_blocks = sum(parameter.numel() for block in blocks for parameter in block.parameters())
    return TowerCost(
        parameters=sum(sizes),
        trained=sum(parameter.numel() for parameter in tower.parameters() if parameter.requires_grad),
        in_blocks=in_blocks,
        tokens=tokens if tokens is not None else (_sequence(inputs) if inputs else 0),
        forward_flops=forward,
        backward_flops=backward,
        activation_bytes=saved,
        blocks=len(blocks),
        block_input_bytes=inputs[0].numel() / _BATCHES[0] * (2 if bf16 else 4) if inputs else 0,
        checkpointed=bool(options.get("grad_checkpointing")),
    )


def _sequence(inputs: list[Tensor]) -> int:
    """Tokens of a block's input (n, tokens, width) of the smaller batch."""
    return math.prod(inputs[0].shape[:-1]) // _BATCHES[0]


def _run(tower: nn.Module, encode: Callable[[Tensor], Tensor], batch: Tensor, bf16: bool) -> tuple[float, float, float]:
    """FLOPs forward and backward, and saved bytes, of one batch."""
    own = {parameter.untyped_storage()._cdata for parameter in tower.parameters()}
    saved: dict[int, Tensor] = {}
    norms: list[int] = []
    hooks = [
        module.register_forward_pre_hook(lambda _, args: norms.append(args[0].numel()))
        for module in tower.modules()
        if isinstance(module, nn.LayerNorm)
    ]

    def keep(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage()._cdata] = tensor
        return tensor

    trains = any(parameter.requires_grad for parameter in tower.parameters())
    autocast = torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext()
    with (
        FlopCounterMode(display=False, custom_mapping=_ATTENTION) as counter,
        autocast,
        saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        output = encode(batch) if trains else torch.no_grad()(encode)(batch)
    forward = counter.get_total_flops()
    for hook in hooks:
        hook.remove()
    kept = sum(t.untyped_storage().nbytes() for key, t in saved.items() if key not in own)
    # On GPUs autocast runs norms in fp32 on a copy of their input, on CPUs it does not.
    kept += 4 * sum(norms) if bf16 and trains else 0
    backward = 0
    if trains:
        with FlopCounterMode(display=False, custom_mapping=_ATTENTION) as counter:
            output.sum().backward()
        backward = counter.get_total_flops()
    return forward, backward, kept
