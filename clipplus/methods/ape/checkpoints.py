"""Fitted heads in files: the published code's own files in and out, and small files to hand on.

Published features are one folder per data set: `text_weights_cupl_t.pt` (D, C), `keys_{K}shots.pt` (D, M),
`values_{K}shots.pt` (M, C) one-hot, `val_f.pt`, `val_l.pt`, `test_f.pt`, `test_l.pt`. Rows are columns there.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from safetensors.torch import save_file
from torch import Tensor

from clipplus.checkpoints import load_restricted
from clipplus.checkpoints.atomic import written_aside
from clipplus.methods.ape.cache_head import CacheHead
from clipplus.methods.ape.fit_record import KEY

TEXTS = "text_weights_cupl_t.pt"
_SPLITS = ("val", "test")


class OfficialFeatures(NamedTuple):
    """A folder of the published code in our orientation.

    Attributes:
        text: (C, D) class texts.
        keys: (M, D).
        labels: (M,) int64.
        splits: 'val', 'test' -> (features (N, D), labels (N,)); a split without files is left out.
    """

    text: Tensor
    keys: Tensor
    labels: Tensor
    splits: dict[str, tuple[Tensor, Tensor]]


def read_official(folder: Path, shots: int, renormalize: bool = True) -> OfficialFeatures:
    """Read the features that the published code stored, in float32.

    Args:
        folder: of one data set.
        shots: K of the cache.
        renormalize: make rows of length 1 again, which half precision left by up to 5e-5; False keeps all bits.

    Raises:
        FileNotFoundError: no texts or no cache of K shots.
        ValueError: shapes that do not belong together, or values that are not one-hot.
    """
    text = _rows(folder / TEXTS, renormalize, transposed=True)
    keys = _rows(folder / f"keys_{shots}shots.pt", renormalize, transposed=True)
    values = _tensor(folder / f"values_{shots}shots.pt")
    if values.shape != (len(keys), len(text)):
        raise ValueError(
            f"{folder}: values_{shots}shots.pt is {tuple(values.shape)}, but there are {len(keys)} keys and "
            f"{len(text)} class texts"
        )
    if not ((values == 0) | (values == 1)).all() or not (values.sum(dim=1) == 1).all():
        raise ValueError(f"{folder}: the rows of values_{shots}shots.pt must be one-hot")
    if keys.shape[1] != text.shape[1]:
        raise ValueError(f"{folder}: keys have {keys.shape[1]} channels, class texts {text.shape[1]}")
    splits = {}
    for split in _SPLITS:
        if (folder / f"{split}_f.pt").is_file():
            features = _rows(folder / f"{split}_f.pt", renormalize)
            splits[split] = (features, _tensor(folder / f"{split}_l.pt").long())
    return OfficialFeatures(text, keys, values.argmax(dim=1), splits)


def _tensor(path: Path) -> Tensor:
    value = load_restricted(path)
    if not isinstance(value, Tensor):
        raise ValueError(f"{path} must hold a tensor, found {type(value).__name__}")
    return value


def _rows(path: Path, renormalize: bool, transposed: bool = False) -> Tensor:
    value = _tensor(path)
    if value.dim() != 2:
        raise ValueError(f"{path} must hold a matrix, found shape {tuple(value.shape)}")
    rows = (value.T if transposed else value).float().contiguous()
    return F.normalize(rows, dim=-1) if renormalize else rows


def write_official(head: CacheHead, folder: Path, shots: int) -> None:
    """Write the texts and the cache of a fitted head as the published code stores them, in float16.

    Raises:
        ValueError: a slim cache, whose keys have lost channels.
    """
    if head.cache_keys.shape[1] != head.text_weight.shape[1]:
        raise ValueError("a slim cache holds the selected channels only: export the full checkpoint")
    keys, text = head.cache_keys.detach(), head.text_weight
    contents = {
        TEXTS: text.half().T,
        f"keys_{shots}shots.pt": keys.half().T,
        f"values_{shots}shots.pt": F.one_hot(head.cache_labels, len(text)).half(),
    }
    for name, value in contents.items():
        with written_aside(folder / name) as partial:
            torch.save(value, partial)


def write_features(features: OfficialFeatures, folder: Path, shots: int) -> list[Path]:
    """Write `texts`, `train-{K}shot` and the splits as the files that `StoredClassTexts` and `FeatureDataset` read."""
    contents = {
        "texts": {"text_weight": features.text},
        f"train-{shots}shot": {"features": features.keys, "labels": features.labels},
        **{split: {"features": rows, "labels": labels} for split, (rows, labels) in features.splits.items()},
    }
    written = []
    for name, tensors in contents.items():
        path = folder / f"{name}.safetensors"
        with written_aside(path) as partial:
            save_file(tensors, partial)
        written.append(path)
    return written


def write_features_config(config: Path, folder: Path, shots: int, splits: Sequence[str]) -> Path:
    """A config like `config` that reads the files of `write_features` instead of pictures, below their folder.

    Everything but towers and data stays: head, training, search. The one view of each shot is the stored key.

    Args:
        config: of a few-shot fit, with one set each in `val_dataloader` and `test_dataloader`, or more.
        folder: of the files.
        shots: K.
        splits: which of 'val' and 'test' there are; where one is missing the other stands in for it, as for ImageNet,
            whose published validation is the test.

    Raises:
        FileNotFoundError: no such config.
        ValueError: neither split.
    """
    if not config.is_file():
        raise FileNotFoundError(f"config {config} does not exist")
    if not splits:
        raise ValueError(
            "a config needs features to search and test on, and there are neither val_f.pt and val_l.pt nor test_f.pt "
            "and test_l.pt: add them, or leave --config out"
        )
    settings = Config.fromfile(config, import_custom_modules=False)
    files = {
        split: str((folder / f"{split if split in splits else splits[0]}.safetensors").resolve()) for split in _SPLITS
    }
    names = {split: next(iter(settings[f"{split}_dataloader"].sets)) for split in _SPLITS}
    train = str((folder / "train-{num_shots}shot.safetensors").resolve())
    texts = str((folder / "texts.safetensors").resolve())
    lines = [
        f"# {config.name} on stored features; written by `clipplus ape import`.",
        f"_base_ = [{str(config.resolve())!r}]",
        "model = dict(",
        f"    image_tower=None, text_bank=dict(_delete_=True, type='StoredClassTexts', path={texts!r}))",
        f"train_data = dict(_delete_=True, type='FeatureDataset', path={train!r}, num_shots={shots})",
        "train_dataloader = dict(num_workers=0, dataset=dict(dataset=train_data))",
        "train_cfg = dict(num_views=1)",
    ]
    for split, name in names.items():
        loader = (
            f"dict(_delete_=True, {name}=dict(collate_fn=dict(type='pseudo_collate'), "
            f"dataset=dict(type='FeatureDataset', path={files[split]!r})))"
        )
        lines += [
            f"{split}_dataloader = dict(num_workers=0, sets={loader})",
            f"{split}_evaluator = dict(sets=dict(_delete_=True, {name}=dict(type='ZeroShotAccuracy', topk=(1, 5))))",
        ]
    lines += ["del train_data", ""]
    path = folder / config.name
    with written_aside(path) as partial:
        partial.write_text("\n".join(lines), encoding="utf-8")
    return path


class _OfficialAPET:
    """Stands in for the published code's module while unpickling: keeps its attributes and runs nothing."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.attributes = dict(state)


def read_official_apet(path: Path) -> dict[str, Tensor]:
    """`residual` (C, Q), `value_weights` (M,) and `channels` (Q,) of a published `APE-T_{K}shots.pt`.

    The file is a pickled module of the class `utils.APE_Training`; that one name is understood, all others are refused.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file asks for another class, or has other contents.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        with torch.serialization.safe_globals([(_OfficialAPET, "utils.APE_Training"), set]):
            module = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        # The rest of torch's text advises to unpickle it all the same.
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        name = wanted.group(1) if wanted else "something that weights do not need"
        raise ValueError(f"{path} is refused: it asks for more than an APE_Training module, namely {name}") from None
    attributes = getattr(module, "attributes", {})
    found = {**attributes, **attributes.get("_parameters", {}), **attributes.get("_buffers", {})}
    missing = [name for name in ("res", "value_weights", "indices") if not isinstance(found.get(name), Tensor)]
    if missing:
        raise ValueError(f"{path} has no {', '.join(missing)}: is it a file of the published APE-T?")
    return dict(
        residual=found["res"].detach().float(),
        value_weights=found["value_weights"].detach().float().flatten(),
        channels=found["indices"].long(),
    )


def load_head(checkpoint: Path) -> tuple[CacheHead, dict[str, Any]]:
    """The head of a `best.pth`, fitted, and the whole checkpoint; no config and no tower are needed.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that no fit wrote.
    """
    content = load_restricted(checkpoint)
    record = (content.get("meta") or {}).get(KEY) if isinstance(content, dict) else None
    if not isinstance(record, Mapping) or "head" not in record:
        raise ValueError(f"{checkpoint} holds no fitted few-shot classifier: it must come from FewShotFitLoop")
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        head: CacheHead = MODELS.build(dict(record["head"]))
    state = content["state_dict"]
    head.load_state_dict({name[5:]: value for name, value in state.items() if name.startswith("head.")})
    return head, content


def save_head(head: CacheHead, checkpoint: dict[str, Any], path: Path) -> None:
    """Write a checkpoint with another state of its head; `.safetensors` keeps the tensors alone."""
    others = {name: value for name, value in checkpoint["state_dict"].items() if not name.startswith("head.")}
    state = {**others, **{f"head.{name}": value.detach() for name, value in head.state_dict().items()}}
    with written_aside(path) as partial:
        if path.suffix == ".safetensors":
            save_file({name: value.contiguous() for name, value in state.items()}, partial)
        else:
            torch.save({**checkpoint, "state_dict": state}, partial)
