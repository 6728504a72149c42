"""Weight files of CLIPs, ours and foreign ones, as open_clip state dicts.

Every file that holds one of the towers is read alike: open_clip's own files, our checkpoints
(`image_tower.`/`text_tower.` before open_clip's keys), and checkpoints of methods and hosts that keep a tower as
`backbone.` or `clip.`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from clipplus.checkpoints.restricted import load_restricted

# What may stand before open_clip's own key names.
TOWER_PREFIXES = ("module.", "image_tower.", "text_tower.", "backbone.", "clip.")


@dataclass
class WeightFile:
    """Weights under open_clip's key names, and what the file says about itself.

    Attributes:
        path: where it was read from.
        weights: open_clip state dict; may hold one tower only.
        record: the `clipplus` entry of our own checkpoints (`meta`), empty for foreign files.
    """

    path: Path
    weights: dict[str, Tensor]
    record: dict[str, Any] = field(default_factory=dict)


def read_weights(path: str | Path) -> WeightFile:
    """Read a `.safetensors` or PyTorch file of CLIP weights.

    EMA: a checkpoint written with mmengine's EMAHook holds the averaged weights as its `state_dict`, and these are
    what is read.

    Raises:
        FileNotFoundError: no such file.
        ValueError: refused (see `load_restricted`), unreadable, or without any tensor.
    """
    path = Path(path).expanduser()
    if path.suffix == ".safetensors":
        if not path.is_file():
            raise FileNotFoundError(f"weight file {path} does not exist")
        try:
            content: Any = load_file(path)
        except SafetensorError as error:
            raise ValueError(f"weight file {path} is truncated or no safetensors file ({error})") from error
    else:
        content = load_restricted(path)
    meta = content.get("meta") if isinstance(content, dict) else None
    record = meta.get("clipplus") if isinstance(meta, dict) else None
    record = record if isinstance(record, dict) else {}
    while isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    weights = {k: v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, dict) else {}
    if not weights:
        raise ValueError(f"weight file {path} holds no tensors: expected a state dict of a CLIP")
    return WeightFile(path, {_open_clip_key(key): value for key, value in weights.items()}, record)


def _open_clip_key(key: str) -> str:
    """`key` without what stands before open_clip's own name."""
    for prefix in TOWER_PREFIXES:
        key = key.removeprefix(prefix)
    return key


def rename_for(model_keys: Iterable[str], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`weights` under the model's own key names, whatever stands before open_clip's part on either side.

    Keys that the model does not have are kept as they are.
    """
    own = set(model_keys)
    by_open_clip_key = {_open_clip_key(key): key for key in own}
    return {
        key if key in own else by_open_clip_key.get(_open_clip_key(key), key): value for key, value in weights.items()
    }
