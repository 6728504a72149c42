"""Image-text batches.

Shape letters of this file: B images, M captions of the batch (sum of K), K captions of an image, L tokens.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.registry import FUNCTIONS
from torch import Tensor
from torch.utils.data import default_collate

_ROUND_TO = 8


@FUNCTIONS.register_module()
def caption_collate(batch: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A batch of what `PackCaptions` packed.

    Args:
        batch: B packed samples; all with tokens, or none.

    Returns:
        `inputs` uint8 (B, 3, H, W); `ids` int64 (B,); `keys`, B strings; with captions `texts`, a list of strings per
        image; with tokens `tokens` int64 (M, L), the captions of an image being neighbours and L the longest rounded up
        to a multiple of 8, at most the context length, and `counts` int64 (B,), captions per image; further entries as
        tensors (B, ...).

    Raises:
        ValueError: samples of different image sizes, shapes or entries; names keys.
    """
    keys = [sample["key"] for sample in batch]
    _require_equal_entries(batch, keys)
    entries = set(batch[0])
    result: dict[str, Any] = {
        "inputs": _stack(batch, "inputs", keys),
        "ids": torch.tensor([sample["id"] for sample in batch], dtype=torch.int64),
        "keys": keys,
    }
    if "texts" in entries:
        result["texts"] = [sample["texts"] for sample in batch]
    if "tokens" in entries:
        result["tokens"] = _trimmed(batch)
        result["counts"] = torch.tensor([len(sample["tokens"]) for sample in batch], dtype=torch.int64)
    for name in sorted(entries - {"inputs", "id", "key", "texts", "tokens", "token_lengths"}):
        result[name] = _stack(batch, name, keys)
    return result


def _require_equal_entries(batch: Sequence[dict[str, Any]], keys: Sequence[str]) -> None:
    for key, sample in zip(keys, batch, strict=True):
        if sample.keys() != batch[0].keys():
            raise ValueError(
                f"samples of a batch must have the same entries, but '{key}' and '{keys[0]}' differ in "
                f"{', '.join(sorted(sample.keys() ^ batch[0].keys()))}: give all data sets the same pipeline"
            )


def _stack(batch: Sequence[dict[str, Any]], name: str, keys: Sequence[str]) -> Tensor:
    tensors = [torch.as_tensor(sample[name]) for sample in batch]
    shapes: dict[tuple[int, ...], str] = {}
    for key, tensor in zip(keys, tensors, strict=True):
        shapes.setdefault(tuple(tensor.shape), key)
    if len(shapes) > 1:
        found = ", ".join(f"'{key}' {shape}" for shape, key in list(shapes.items())[:5])
        cure = (
            "add dict(type='mmpretrain.RandomResizedCrop', scale=...) (training) or dict(type='Resize', scale=(w, h)) "
            "to the pipeline before PackCaptions"
            if name == "inputs"
            else "PackCaptions(keys=...) takes entries of one shape"
        )
        raise ValueError(f"'{name}' differ in shape within a batch: {found}; {cure}")
    # Inside a loader worker torch's own collate stacks into shared memory, which saves a copy.
    return default_collate(tensors)


def _trimmed(batch: Sequence[dict[str, Any]]) -> Tensor:
    """All token rows, (M, L), without the columns that are padding in every row but for the rounding."""
    tokens = torch.cat([sample["tokens"] for sample in batch])
    lengths = torch.cat([_lengths(sample) for sample in batch])
    longest = int(lengths.max()) if len(lengths) else 0
    return tokens[:, : min(-(-longest // _ROUND_TO) * _ROUND_TO, tokens.shape[1])].contiguous()


def _lengths(sample: dict[str, Any]) -> Tensor:
    """Columns of each row up to its end token; samples that do not say are padded with 0, as CLIP's are."""
    if "token_lengths" in sample:
        return sample["token_lengths"]
    return sample["tokens"].shape[1] - sample["tokens"].eq(0).flip(1).cumprod(dim=1).sum(dim=1)
