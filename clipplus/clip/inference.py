"""A trained CLIP as a Python object: embed pictures and texts, name what is in a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from clipplus.checkpoints import load_restricted
from clipplus.clip.model import CLIPModel
from clipplus.text import ClassTextBank, build_tokenizer

Picture = str | Path | Image.Image | np.ndarray
_PER_PASS = 64


class Embedder:
    """A CLIP in eval mode with its own preprocessing.

    Args:
        model: the CLIP.
        device: where it runs; a GPU when there is one.
    """

    def __init__(self, model: CLIPModel, device: str | None = None) -> None:
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.model = model.to(self.device).eval()
        size = model.image_tower.image_size
        if not isinstance(size, int) and size[0] != size[1]:
            raise ValueError(f"pictures are cropped to squares, but the image tower wants {size}")
        self.image_size: int = size if isinstance(size, int) else size[0]
        self.tokenize = build_tokenizer(model.text_tower.model, model.text_tower.tokenizer)

    @torch.inference_mode()
    def embed_images(self, images: Sequence[Picture]) -> Tensor:
        """Normalised embeddings (N, E) on the CPU.

        Args:
            images: paths, PIL images, or uint8 RGB arrays (H, W, 3). The shorter side is resized to the tower's size
                (bicubic), then the centre is cropped.

        Raises:
            FileNotFoundError: no such file.
            ValueError: unreadable file or another kind of array; no picture at all.
        """
        if not images:
            raise ValueError("no pictures to embed")
        parts = []
        for start in range(0, len(images), _PER_PASS):
            pixels = np.stack([self._pixels(image) for image in images[start : start + _PER_PASS]])
            batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self.device)
            parts.append(self.model.embed_images(self.model.data_preprocessor.normalize(batch)).float().cpu())
        return torch.cat(parts)

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Normalised embeddings (N, E) on the CPU."""
        if not texts:
            raise ValueError("no texts to embed")
        rows = self.tokenize(texts).split(_PER_PASS)
        return torch.cat([self.model.embed_texts(row.to(self.device)).float().cpu() for row in rows])

    @torch.inference_mode()
    def classify(
        self, images: Sequence[Picture], names: Sequence[str], templates: str | Sequence[str] = "photo"
    ) -> list[list[tuple[str, float]]]:
        """The class names of each picture with their probabilities, best first.

        Args:
            images: as in `embed_images`.
            names: class names.
            templates: list of templates with `{}`, or the name of a set.

        Returns:
            For each picture all (name, probability), probabilities from the model's own scale.
        """
        bank = ClassTextBank(classes=list(names), templates=templates)
        classes = bank.embeddings(self.model.text_tower).float().cpu()
        logits = self.model.logit_scale.exp().cpu() * self.embed_images(images) @ classes.T
        best = logits.softmax(dim=1).sort(dim=1, descending=True)
        return [
            [(bank.classes[i], p) for i, p in zip(order, row, strict=True)]  # type: ignore[index]
            for order, row in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    def _pixels(self, image: Picture) -> np.ndarray:
        """(size, size, 3) uint8 RGB."""
        picture = _open(image)
        scale = self.image_size / min(picture.size)
        width, height = (max(self.image_size, round(side * scale)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BICUBIC)
        left, top = (width - self.image_size) // 2, (height - self.image_size) // 2
        return np.asarray(picture.crop((left, top, left + self.image_size, top + self.image_size)))


def _open(image: Picture) -> Image.Image:
    if isinstance(image, Image.Image):
        return image.convert("RGB")
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"picture arrays must be uint8 (H, W, 3) RGB, got {image.dtype} {image.shape}")
        return Image.fromarray(image)
    path = Path(image)
    if not path.is_file():
        raise FileNotFoundError(f"picture {path} does not exist")
    try:
        # Cameras store the rotation beside the pixels; the readers of training apply it, too.
        return ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    # PIL raises SyntaxError for broken PNG files.
    except (OSError, SyntaxError) as error:
        raise ValueError(f"picture {path} cannot be read: {error}") from error


def load(
    source: str | Path,
    pretrained: str | None = None,
    device: str | None = None,
    quick_gelu: bool | None = None,
) -> Embedder:
    """A CLIP ready to embed and classify.

    Args:
        source: a checkpoint of `tools/train.py` (it knows its own model), or an open_clip model name.
        pretrained: with a model name, its weight tag or a weight file.
        device: 'cpu', 'cuda', ...; a GPU when there is one.
        quick_gelu: with a weight file of unknown origin, the activation that it was trained with.

    Raises:
        FileNotFoundError: neither a file nor a known model.
        ValueError: a weight file that does not say which model it belongs to; refused or unfit files.
    """
    path = Path(source).expanduser()
    if path.is_file() and pretrained is not None:
        raise ValueError(f"'{source}' is a checkpoint and brings its weights: leave out pretrained='{pretrained}'")
    if path.is_file():
        return Embedder(_from_checkpoint(path), device)
    if pretrained is None:
        raise FileNotFoundError(
            f"'{source}' is no checkpoint file; for an open_clip model state its weights: "
            f"load('{source}', pretrained=TAG)"
        )
    tower: dict[str, Any] = dict(model=str(source), pretrained=pretrained, quick_gelu=quick_gelu)
    return Embedder(_build(tower, tower, tag_statistics(str(source), pretrained), needs_bias=False), device)


def _build(image: dict[str, Any], text: dict[str, Any], statistics: dict[str, Any], needs_bias: bool) -> CLIPModel:
    """A CLIP from tower options; the loss plays no part in inference."""
    model = CLIPModel(
        image_tower=dict(type="CLIPImageTower", **image),
        text_tower=dict(type="CLIPTextTower", **text),
        loss=dict(type="SoftmaxContrastiveLoss"),
        data_preprocessor=dict(type="CaptionDataPreprocessor", **statistics),
    )
    if needs_bias:
        model.logit_bias = nn.Parameter(torch.tensor(0.0))
    return model


def tag_statistics(name: str, tag: str) -> dict[str, list[float]]:
    """Pixel mean and std that open_clip lists for a weight tag, on 0..255; nothing for those of CLIP itself."""
    listed = open_clip.get_pretrained_cfg(name, tag) or {}
    return {key: [255 * value for value in listed[key]] for key in ("mean", "std") if listed.get(key)}


# What a checkpoint's own description may say about a tower. Everything is plain data, and the classes are ours: a type
# that a file names would be imported and called.
_TOWER_OPTIONS = ("model", "image_size", "quick_gelu", "tokenizer", "bn_mode")


def _from_checkpoint(path: Path) -> CLIPModel:
    """The model that a checkpoint of ours describes, with its weights."""
    content = load_restricted(path)
    meta = content.get("meta") if isinstance(content, dict) else None
    record = meta.get("clipplus") if isinstance(meta, dict) else None
    described = record.get("model") if isinstance(record, dict) else None
    if not isinstance(described, dict) or not isinstance(described.get("image_tower"), dict):
        raise ValueError(
            f"{path} does not describe its model; for a bare weight file use load('MODEL NAME', pretrained='{path}')"
        )
    preprocessor = described.get("data_preprocessor") or {}
    statistics = {key: [float(value) for value in preprocessor[key]] for key in ("mean", "std") if key in preprocessor}
    weights = content["state_dict"]
    model = _build(
        tower_options(path, described, "image_tower", "CLIPImageTower"),
        tower_options(path, described, "text_tower", "CLIPTextTower"),
        statistics,
        needs_bias="logit_bias" in weights,
    )
    model.load_state_dict(weights, strict=True)
    return model


def tower_options(path: Path, described: dict[str, Any], part: str, expected: str) -> dict[str, Any]:
    """Options of a tower as a checkpoint states them.

    Raises:
        ValueError: another class than ours, or a model that is to be fetched or read from somewhere.
    """
    tower = described.get(part)
    if not isinstance(tower, dict) or tower.get("type") != expected:
        kind = tower.get("type") if isinstance(tower, dict) else tower
        raise ValueError(f"{path} is refused: its {part} is described as {kind!r:.60}, expected '{expected}'")
    options = {key: tower[key] for key in _TOWER_OPTIONS if tower.get(key) is not None}
    refuse_fetching(options.get("model"), path, part)
    return options


def refuse_fetching(model: Any, path: Path, part: str) -> None:
    """A file must not decide what is downloaded: no hub address, and no weights besides its own."""
    if isinstance(model, dict):
        for key, value in model.items():
            if key in ("timm_model_pretrained", "hf_model_pretrained") and value:
                raise ValueError(f"{path} is refused: its {part} says {key}={value!r}, which would fetch weights")
            refuse_fetching(value, path, part)
    elif isinstance(model, str) and ":" in model:
        raise ValueError(
            f"{path} is refused: its {part} names the model '{model}', which would be fetched from elsewhere"
        )
