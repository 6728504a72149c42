"""One embedding per class, from its name and prompt templates.

Shape letters of this file: C classes, P prompts of all classes, E joint width.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from mmengine.registry import MODELS
from torch import Tensor
from tqdm import tqdm

from clipplus.checkpoints import fingerprint, read_tensors, tower_hash, write_tensors
from clipplus.did_you_mean import did_you_mean
from clipplus.text.class_names import resolve_class_names
from clipplus.text.templates import resolve_templates
from clipplus.text.tokenizer import build_tokenizer
from clipplus.towers import CLIPTextTower

_ROWS_PER_PASS = 256


def cache_folder() -> Path:
    """Where computed class texts are kept: `$CLIPPLUS_CACHE`, or `~/.cache/clipplus`."""
    return Path(os.environ.get("CLIPPLUS_CACHE", Path.home() / ".cache" / "clipplus"))


def average_prompts(
    features: Float[Tensor, "P E"], owner: Int[Tensor, " P"], average: Literal["unit", "raw"], normalize: bool
) -> Float[Tensor, "C E"]:
    """Mean of each class's prompt features.

    Args:
        features: (P, E), not normalised.
        owner: (P,), the class of each prompt; every class 0..C-1 has at least one.
        average: 'unit' normalises each prompt before the mean (CLIP's own way), 'raw' does not.
        normalize: normalise the mean.
    """
    if average == "unit":
        features = F.normalize(features, dim=-1)
    counts = torch.bincount(owner)
    means = features.new_zeros(len(counts), features.shape[1]).index_add_(0, owner, features)
    means = means / counts[:, None].to(means.dtype)
    return F.normalize(means, dim=-1) if normalize else means


def _read_prompts(path: Path) -> dict[str, list[str]]:
    """The prompts of every class from a JSON file.

    Raises:
        ValueError: no such file, no JSON, or another form.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"prompts file {path} cannot be read ({error}): state another as `prompts` of ClassTextBank, or None and "
            "add_templates=False to use the templates alone"
        ) from error
    if not isinstance(content, dict) or not all(isinstance(value, list) for value in content.values()):
        raise ValueError(f"prompts file {path} must hold an object like {{'cat': ['a cat', 'a kitten']}}")
    return content


@MODELS.register_module()
class ClassTextBank:
    """Class embeddings of a text tower, computed once and cached on disk.

    Args:
        classes: names (position = label), the name of a set, or a file (see `resolve_class_names`); None takes the
            names of the data set that is evaluated.
        templates: list of templates with `{}`, or the name of a set (see `TEMPLATE_SETS`).
        prompts: JSON file `{class name: [prompt, ...]}`, used instead of templates. What occurs twice counts twice.
        add_templates: use both, the filled templates in front of the class's own prompts.
        average: 'unit' or 'raw', see `average_prompts`.
        normalize: normalise the class embeddings.
        tower: config of a text tower of its own; otherwise `embeddings` is given the model's.

    Raises:
        ValueError: unknown names, templates or average; `add_templates` without prompts; prompts that miss a class.
    """

    def __init__(
        self,
        classes: str | Sequence[str] | None = None,
        templates: str | Sequence[str] = "photo",
        prompts: str | None = None,
        average: Literal["unit", "raw"] = "unit",
        normalize: bool = True,
        tower: dict | CLIPTextTower | None = None,
        add_templates: bool = False,
    ) -> None:
        if add_templates and prompts is None:
            raise ValueError("add_templates=True adds templates to prompts: state prompts, or leave it out")
        if average not in ("unit", "raw"):
            raise ValueError(f"average must be 'unit' or 'raw', got '{average}'")
        self.classes = None if classes is None else resolve_class_names(classes)
        self.templates = resolve_templates(templates)
        self.prompts_file = prompts
        self.prompts = None if prompts is None else _read_prompts(Path(prompts))
        self.add_templates = add_templates
        self.average: Literal["unit", "raw"] = average
        self.normalize = normalize
        self.tower = MODELS.build(tower) if isinstance(tower, dict) else tower

    def class_prompts(self, names: Sequence[str]) -> list[list[str]]:
        """The prompts of each class, in label order.

        Raises:
            ValueError: the prompts file misses classes (all are named, with the nearest name that it has), or leaves
                one without any prompt.
        """
        filled = [[template.replace("{}", name) for template in self.templates] for name in names]
        if self.prompts is None:
            return filled
        missing = [f"'{name}'{did_you_mean(name, self.prompts)}" for name in names if name not in self.prompts]
        if missing:
            raise ValueError(f"{self.prompts_file} has no prompts for {len(missing)} classes: {', '.join(missing)}")
        empty = [f"'{name}'" for name in names if not self.prompts[name]]
        if empty and not self.add_templates:
            raise ValueError(
                f"{self.prompts_file} has an empty list for {', '.join(empty)}: write a prompt, or use templates as "
                "well (add_templates=True)"
            )
        own = [self.prompts[name] for name in names]
        return [[*texts, *more] for texts, more in zip(filled, own, strict=True)] if self.add_templates else own

    @torch.no_grad()
    def embeddings(
        self, tower: CLIPTextTower | None = None, names: Sequence[str] | None = None, cache: bool = False
    ) -> Tensor:
        """The class embeddings (C, E) on the tower's device.

        Args:
            tower: the model's text tower, when the bank has none of its own.
            names: the data set's class names, when the bank has none of its own.
            cache: read and write the disk cache. Not for a tower that is being trained; a frozen one is cached anyway.

        Raises:
            ValueError: no tower or no names from either side.
        """
        tower = self.tower or tower
        names = self.classes or (list(names) if names is not None else None)
        if tower is None or names is None:
            raise ValueError("ClassTextBank needs a text tower and class names: state `tower` and `classes`")
        prompts = self.class_prompts(names)
        device = next(tower.parameters()).device
        if not (cache or tower.frozen):
            return self._compute(tower, prompts)
        settings = {
            "tower": tower_hash(tower.state_dict()), "prompts": fingerprint(prompts),
            # What the weights do not show: activation, heads, pooling, context, tokenizer.
            "config": fingerprint([tower.config.text_cfg, tower.config.quick_gelu, tower.tokenizer, str(tower.model)]),
            "average": self.average, "normalize": self.normalize,
        }  # fmt: skip
        path = cache_folder() / "class_texts" / f"{fingerprint(settings)[:32]}.safetensors"
        stored, _ = read_tensors(path, settings)
        if stored is not None:
            return stored["embeddings"].to(device)
        embeddings = self._compute(tower, prompts)
        write_tensors(path, {"embeddings": embeddings}, settings)
        return embeddings

    def _compute(self, tower: CLIPTextTower, prompts: list[list[str]]) -> Tensor:
        device = next(tower.parameters()).device
        tokenizer = build_tokenizer(tower.model, tower.tokenizer)
        texts = [prompt for of_class in prompts for prompt in of_class]
        # Files of generated prompts repeat themselves; each text is encoded once and counts as often as it occurs.
        position = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        tokens = tokenizer(list(position))
        owner = torch.repeat_interleave(torch.arange(len(prompts)), torch.tensor([len(p) for p in prompts]))
        parts = tokens.split(_ROWS_PER_PASS)
        was_training = tower.training
        tower.eval()
        features = torch.cat(
            [tower(tower.trim(part).to(device)).float() for part in tqdm(parts, "class texts", disable=len(parts) < 20)]
        )
        tower.train(was_training)
        features = features[[position[text] for text in texts]]
        return average_prompts(features, owner.to(device), self.average, self.normalize)
