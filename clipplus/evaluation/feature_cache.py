"""Image features on disk: computed once, used again only for exactly what they were computed from.

Shape letters of this file: A views of every image, N images, D channels of a feature.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from mmengine.logging import print_log
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from clipplus.checkpoints import fingerprint
from clipplus.checkpoints.atomic import remove_partials, written_aside

_FORMAT = 1


@dataclass(frozen=True)
class ImageFeatures:
    """Features of the images of a data set, in its order.

    Attributes:
        features: (A, N, D), as the tower gives them: not normalised. Memory-mapped when read from a file.
        labels: (N,) int64.
        ids: what each image is called: its path below the data's root, or its key.
    """

    features: Tensor
    labels: Tensor
    ids: Sequence[str]

    def unit_features(self, dtype: torch.dtype = torch.float32, view_mean: Literal["raw", "unit"] = "raw") -> Tensor:
        """(N, D) rows of length 1, of the mean over the views, computed in `dtype`.

        With 'raw', views of larger norm weigh more; with 'unit' all views weigh the same.
        """
        views = self.features.to(dtype)
        if view_mean == "unit":
            views = views / views.norm(dim=2, keepdim=True)
        mean = views.mean(dim=0)
        return mean / mean.norm(dim=1, keepdim=True)


class FeatureCache:
    """A folder of files `NAME-FINGERPRINT.safetensors`, each written whole or not at all.

    What features depend on is described by `parts`, a JSON-able dict such as `tower`, `pipeline`, `samples`, `views`,
    `seed`, `dtype`; its SHA-256 is part of the file's name and the dict itself is in the file, so that a miss can say
    which part changed. While a file is computed, finished stretches of it are kept in `NAME-FINGERPRINT.parts/`: a run
    that was killed goes on from them, and ranks exchange their shares there.

    Args:
        folder: where the files lie; made when the first one is written. Several runs may share it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser()

    def path(self, name: str, parts: Mapping[str, Any]) -> Path:
        """The file of `parts`, whether it exists or not."""
        return self.folder / f"{name}-{self._fingerprint(parts)[:16]}.safetensors"

    def read(self, name: str, parts: Mapping[str, Any]) -> ImageFeatures | None:
        """Features that were computed from exactly `parts`, or None with a line in the log that says what changed."""
        path = self.path(name, parts)
        if path.is_file():
            found = _read(path, parts)
            if found is not None:
                print_log(f"features of {name}: read {tuple(found.features.shape)} from {path}", logger="current")
                return found
            print_log(
                f"features of {name}: {path} is damaged and is computed anew", logger="current", level=logging.WARNING
            )
        else:
            print_log(f"features of {name}: {self._miss(name, parts)}", logger="current")
        return None

    def write(self, name: str, parts: Mapping[str, Any], content: ImageFeatures) -> Path:
        """Store features; a kill leaves no half-written file."""
        path = self.path(name, parts)
        _write(path, parts, content)
        return path

    def stretch_path(self, name: str, parts: Mapping[str, Any], first: int) -> Path:
        """Where the stretch of images that begins with number `first` is kept until all are there."""
        return self.path(name, parts).with_suffix(".parts") / f"{first:09d}.safetensors"

    def read_stretch(self, name: str, parts: Mapping[str, Any], first: int) -> ImageFeatures | None:
        """A finished stretch, or None."""
        path = self.stretch_path(name, parts, first)
        return _read(path, parts) if path.is_file() else None

    def write_stretch(self, name: str, parts: Mapping[str, Any], first: int, content: ImageFeatures) -> None:
        """Keep a finished stretch."""
        _write(self.stretch_path(name, parts, first), parts, content)

    def join_stretches(self, name: str, parts: Mapping[str, Any], firsts: Sequence[int]) -> None:
        """Make one file of all stretches, in the order of `firsts`, and remove them.

        Raises:
            RuntimeError: a stretch is missing or damaged.
        """
        found = [self.read_stretch(name, parts, first) for first in firsts]
        missing = [first for first, stretch in zip(firsts, found, strict=True) if stretch is None]
        if missing:
            raise RuntimeError(
                f"features of {name}: the stretch from image {missing[0]} on is not in "
                f"{self.stretch_path(name, parts, missing[0]).parent}: do all ranks see the same folder?"
            )
        stretches = [stretch for stretch in found if stretch is not None]
        content = ImageFeatures(
            torch.cat([stretch.features for stretch in stretches], dim=1),
            torch.cat([stretch.labels for stretch in stretches]),
            [name for stretch in stretches for name in stretch.ids],
        )
        self.write(name, parts, content)
        folder = self.path(name, parts).with_suffix(".parts")
        remove_partials(folder, ("",))
        for first in firsts:
            self.stretch_path(name, parts, first).unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()

    @staticmethod
    def _fingerprint(parts: Mapping[str, Any]) -> str:
        return fingerprint({"format": _FORMAT, **parts})

    def _miss(self, name: str, parts: Mapping[str, Any]) -> str:
        """Why there is no file: which parts differ from the one that differs least."""
        others = [stored_parts(path) for path in self.folder.glob(f"{name}-*.safetensors")]
        changes = [changed_parts(other, parts) for other in others if other is not None]
        if not changes:
            return f"none are stored in {self.folder} yet"
        nearest = min(changes, key=len)
        return f"the stored ones are of {'another ' + ', another '.join(nearest)}" if nearest else "not stored"


def changed_parts(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Names of the parts in which two descriptions differ, sorted."""
    return sorted(key for key in stored.keys() | wanted.keys() if stored.get(key) != wanted.get(key))


def stored_parts(path: Path) -> dict[str, Any] | None:
    """What a file was computed from; None if it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            return json.loads((file.metadata() or {})["parts"])
    except (SafetensorError, OSError, KeyError, ValueError):
        return None


def read_features(path: str | Path) -> ImageFeatures:
    """The features in a file of a `FeatureCache`, whatever they were computed from.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no feature file, or damaged.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"feature file {path} does not exist")
    found = _read(path, None)
    if found is None:
        raise ValueError(f"feature file {path} is truncated or no feature file")
    return found


def _read(path: Path, parts: Mapping[str, Any] | None) -> ImageFeatures | None:
    """Content of a file if it is whole and of `parts` (None: of anything)."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            # By way of JSON, so that tuples and lists are the same.
            if parts is not None and json.loads(metadata["parts"]) != json.loads(json.dumps(parts)):
                return None
            return ImageFeatures(
                file.get_tensor("features"), file.get_tensor("labels"), json.loads(metadata.get("ids", "[]"))
            )
    except (SafetensorError, KeyError, ValueError):
        return None


def _write(path: Path, parts: Mapping[str, Any], content: ImageFeatures) -> None:
    tensors = {"features": content.features.contiguous(), "labels": content.labels.contiguous()}
    metadata = {"parts": json.dumps(parts, sort_keys=True), "ids": json.dumps(list(content.ids), ensure_ascii=False)}
    with written_aside(path) as partial:
        save_file(tensors, partial, metadata=metadata)
