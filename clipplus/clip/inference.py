"""A trained CLIP as a Python object: embed pictures and texts, name what is in a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from clipplus.checkpoints import load_restricted, read_weights
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
        return Image.open(path).convert("RGB")
    # PIL raises SyntaxError for broken PNG files.
    except (OSError, SyntaxError) as error:
        raise ValueError(f"picture {path} cannot be read: {error}") from error


def load(source: str | Path, pretrained: str | None = None, device: str | None = None) -> Embedder:
    """A CLIP ready to embed and classify.

    Args:
        source: a checkpoint of `tools/train.py` (it knows its own model), or an open_clip model name.
        pretrained: with a model name, its weight tag or a weight file.
        device: 'cpu', 'cuda', ...; a GPU when there is one.

    Raises:
        FileNotFoundError: neither a file nor a known model.
        ValueError: a weight file that does not say which model it belongs to; refused or unfit files.
    """
    if Path(source).is_file():
        return Embedder(_from_checkpoint(Path(source)), device)
    if pretrained is None:
        raise FileNotFoundError(
            f"'{source}' is no checkpoint file; for an open_clip model state its weights: "
            f"load('{source}', pretrained=TAG)"
        )
    tower: dict[str, Any] = dict(model=str(source), pretrained=pretrained)
    return Embedder(
        CLIPModel(
            image_tower=dict(type="CLIPImageTower", **tower),
            text_tower=dict(type="CLIPTextTower", **tower),
            loss=dict(type="SoftmaxContrastiveLoss"),
        ),
        device,
    )


def _from_checkpoint(path: Path) -> CLIPModel:
    """The model that a checkpoint of ours describes, with its weights."""
    record = read_weights(path).record
    config = record.get("model")
    if not isinstance(config, dict) or "image_tower" not in config:
        raise ValueError(
            f"{path} does not describe its model; for a bare weight file use load('MODEL NAME', pretrained='{path}')"
        )
    config = dict(config, image_tower=dict(config["image_tower"]), text_tower=dict(config["text_tower"]))
    for tower in ("image_tower", "text_tower"):
        # The checkpoint's weights replace what training started from.
        config[tower].pop("pretrained", None)
    # Evaluation needs neither the host's preprocessor nor the method's loss.
    config["data_preprocessor"] = {
        k: v for k, v in (config.get("data_preprocessor") or {}).items() if k != "host"
    } or None
    model = CLIPModel(
        **{k: config[k] for k in ("image_tower", "text_tower", "loss", "data_preprocessor") if k in config}
    )
    model.load_state_dict(load_restricted(path)["state_dict"], strict=True)
    return model
