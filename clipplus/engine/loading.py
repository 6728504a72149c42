"""Routes every checkpoint that mmengine reads through the restricted loader.

Importing this module registers it: `Runner.resume`, `load_from` and the hosts' `init_model` all pass through
mmengine's `CheckpointLoader`.
"""

from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlparse

import torch
from mmengine.dist import barrier, get_dist_info
from mmengine.runner import CheckpointLoader
from safetensors import SafetensorError
from safetensors.torch import load_file

from clipplus.checkpoints import load_restricted

# Model zoos whose loaders lead to torch.hub, which unpickles freely.
_ZOOS = ("torchvision://", "modelzoo://", "open-mmlab://", "openmmlab://", "mmcls://")


# mmengine's log cuts the first ten characters of a loader's name.
@CheckpointLoader.register_scheme(prefixes="", force=True)
def load_from_restricted(filename: str, map_location: Any = None) -> Any:
    """A local checkpoint: `.safetensors`, or a PyTorch file without foreign code."""
    path = Path(filename).expanduser()
    if path.suffix != ".safetensors":
        return load_restricted(path, map_location)
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path} does not exist")
    try:
        return {"state_dict": load_file(path), "meta": {}}
    except SafetensorError as error:
        raise ValueError(f"checkpoint {path} is truncated or no safetensors file ({error})") from error


@CheckpointLoader.register_scheme(prefixes=("http://", "https://"), force=True)
def load_from_restricted_url(filename: str, map_location: Any = None) -> Any:
    """A checkpoint behind a URL: downloaded to torch's cache by one process, then read like a local one."""
    target = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(filename).path).name
    rank, _ = get_dist_info()
    if rank == 0 and not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + ".partial")
        torch.hub.download_url_to_file(filename, str(partial))
        partial.replace(target)
    barrier()
    return load_from_restricted(str(target), map_location)


@CheckpointLoader.register_scheme(prefixes=_ZOOS, force=True)
def load_from_zoo_refused(filename: str, map_location: Any = None) -> NoReturn:  # noqa: ARG001 - as all loaders
    """Zoo names lead to a loader that runs what a file brings along."""
    raise ValueError(f"'{filename}' names a model zoo: download the file and state its path or its https address")
