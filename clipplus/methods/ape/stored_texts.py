"""Class texts from a file, in the place of a text tower."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmpretrain.registry import MODELS
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from clipplus.checkpoints.provenance import file_fingerprint
from clipplus.text.class_names import resolve_class_names


@MODELS.register_module()
class StoredClassTexts:
    """What `ClassTextBank` is to a fit, without a tower: for features that somebody else computed.

    Args:
        path: safetensors file with `text_weight` (C, D); `clipplus ape import` writes it.
        classes: names of the classes (see `resolve_class_names`); None takes those of the training data.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another content, or another number of names.
    """

    #: There is none.
    tower = None

    def __init__(self, path: str, classes: str | Sequence[str] | None = None) -> None:
        if not Path(path).is_file():
            raise FileNotFoundError(f"class text file {path} does not exist (clipplus ape import makes it)")
        try:
            content = load_file(path)
        except SafetensorError as error:
            raise ValueError(f"class text file {path} is truncated or no safetensors file ({error})") from error
        if "text_weight" not in content or content["text_weight"].dim() != 2:
            raise ValueError(f"class text file {path} must hold text_weight (C, D), found {sorted(content)}")
        self.path, self.text = path, content["text_weight"]
        self.classes = None if classes is None else resolve_class_names(classes)
        self._require_names(self.classes)

    def _require_names(self, names: Sequence[str] | None) -> None:
        if names is not None and len(names) != len(self.text):
            raise ValueError(f"{self.path} holds {len(self.text)} class texts, but there are {len(names)} names")

    def class_prompts(self, names: Sequence[str]) -> list[list[str]]:
        """Nobody knows the prompts; what stands for them tells one file from another."""
        return [[f"{file_fingerprint(Path(self.path))}#{label}"] for label in range(len(names))]

    def embeddings(self, tower: Any = None, names: Sequence[str] | None = None, cache: bool = False) -> Tensor:
        """The rows of the file (C, D)."""
        self._require_names(names)
        return self.text.to(torch.float32)
