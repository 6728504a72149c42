"""Routes every checkpoint that mmengine reads through the restricted loader.

Importing this module registers it: `Runner.resume`, `load_from` and the hosts' `init_model` all pass through
mmengine's `CheckpointLoader`.
"""

import hashlib
import os
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlparse

import torch
from mmengine.dist import all_gather_object
from mmengine.runner import CheckpointLoader
from safetensors import SafetensorError
from safetensors.torch import load_file

from clipplus.checkpoints import load_restricted
from clipplus.checkpoints.atomic import written_aside


# mmengine's log cuts the first ten characters of a loader's name.
@CheckpointLoader.register_scheme(prefixes="", force=True)
def load_from_restricted(filename: str, map_location: Any = None) -> Any:
    """A local checkpoint: `.safetensors`, or a PyTorch file without foreign code."""
    path = Path(filename).expanduser()
    if path.suffix != ".safetensors":
        content = load_restricted(path, map_location)
        state = content.get("state_dict", content) if isinstance(content, dict) else None
        if not isinstance(state, dict) or not any(isinstance(value, torch.Tensor) for value in state.values()):
            raise ValueError(f"checkpoint {path} holds no weights: expected a state dict")
        return content
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path} does not exist")
    try:
        return {"state_dict": load_file(path), "meta": {}}
    except SafetensorError as error:
        raise ValueError(f"checkpoint {path} is truncated or no safetensors file ({error})") from error


@CheckpointLoader.register_scheme(prefixes=("http://", "https://"), force=True)
def load_from_restricted_url(filename: str, map_location: Any = None) -> Any:
    """A checkpoint behind a URL: downloaded to torch's cache once per machine, then read like a local one.

    Raises:
        OSError: the download failed on some rank.
    """
    # Files of the same name from two addresses are two files.
    name = f"{hashlib.sha256(filename.encode()).hexdigest()[:16]}-{Path(urlparse(filename).path).name}"
    target = Path(torch.hub.get_dir()) / "checkpoints" / name
    failure = ""
    if int(os.environ.get("LOCAL_RANK", "0")) == 0 and not target.is_file():
        try:
            _download(filename, target)
        # Whatever went wrong, the other ranks must hear of it before they wait for the file.
        except Exception as error:  # noqa: BLE001 - raised below, on every rank
            failure = f"{filename} cannot be downloaded: {error}"
    failures = [text for text in all_gather_object(failure) if text]
    if failures:
        raise OSError(failures[0])
    return load_from_restricted(str(target), map_location)


def _download(address: str, target: Path) -> None:
    with written_aside(target) as partial:
        torch.hub.download_url_to_file(address, str(partial), progress=False)


def load_from_other_refused(filename: str, map_location: Any = None) -> NoReturn:  # noqa: ARG001 - as all loaders
    """Model zoos and object stores lead to loaders of mmengine that may run what a file brings along."""
    raise ValueError(f"'{filename}' names a model zoo or store: download the file and state its path or https address")


# All other schemes that mmengine knows: zoos (torchvision://, mmcls://, ...), pavi://, s3://, petrel://.
for _prefix in list(CheckpointLoader._schemes):
    if _prefix not in ("", "http://", "https://"):
        CheckpointLoader.register_scheme(_prefix, load_from_other_refused, force=True)
