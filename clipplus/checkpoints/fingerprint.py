"""Names for contents: of towers (weights) and of settings (JSON)."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def tower_hash(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over sorted keys, dtypes, shapes and bytes of an open_clip state dict.

    Args:
        weights: state dict with open_clip's key names (no `image_tower.`/`text_tower.` prefix).

    Returns:
        64 hexadecimal digits; equal weights give equal hashes on every machine and device.
    """
    digest = hashlib.sha256()
    for key in sorted(weights):
        value = weights[key].detach().cpu().contiguous()
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def fingerprint(settings: Any) -> str:
    """SHA-256 of a JSON-able value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
