"""Names clips by a few labelled ones.

Shape letters of this file: S labelled clips, Q queries, T frames, D joint width, W classes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from clipplus.few_shot_video.clip_files import ClipFiles, ReadClip, thumbnails
from clipplus.few_shot_video.episode_dataset import is_unreadable
from clipplus.few_shot_video.episode_sample import EpisodeDataSample
from clipplus.few_shot_video.recognizer_loading import Loaded

# Fewer clips than this need no progress bar.
_LONG = 20
_QUERIES_PER_PASS = 64
_THUMBNAIL = 96


@dataclass
class EncodedClips:
    """Features of clips.

    Attributes:
        paths: of those that could be read.
        features: (N, T, D), not normalised.
        labels: (N,) classes of labelled clips; zeros else.
        unreadable: path -> why, of those that could not.
        repeating: clips with fewer frames than are chosen, which show some of them repeatedly.
        pictures: small frames (T, side, side, 3), where they are kept.
        aspect: width by height of every clip as it was filmed.
    """

    paths: list[Path] = field(default_factory=list)
    features: Tensor = field(default_factory=lambda: torch.empty(0))
    labels: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    unreadable: dict[Path, str] = field(default_factory=dict)
    repeating: list[Path] = field(default_factory=list)
    pictures: list[NDArray[np.uint8]] = field(default_factory=list)
    aspect: list[float] = field(default_factory=list)


class ClipClassifier:
    """A recogniser for clips that lie on the disk.

    Args:
        loaded: the recogniser and how clips are cut out.
        device: where it runs; a GPU when there is one.
        keep_pictures: of all clips, for pictures of alignments.
        skip_unreadable: pass over clips that cannot be read, which are then named in `EncodedClips.unreadable`.
    """

    def __init__(
        self, loaded: Loaded, device: str | None = None, keep_pictures: bool = False, skip_unreadable: bool = False
    ) -> None:
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.model = loaded.model.to(self.device).eval()
        self.files = ClipFiles(loaded.clips)
        self.keep_pictures = keep_pictures
        self.skip_unreadable = skip_unreadable

    @torch.inference_mode()
    def encode_supports(self, classes: Mapping[str, Sequence[Path]]) -> EncodedClips:
        """Features of labelled clips; a class's number is its place.

        Args:
            classes: name -> clips.

        Raises:
            ValueError: a clip that cannot be read and is not passed over, or a class of which none can.
        """
        labelled = [(path, label) for label, paths in enumerate(classes.values()) for path in paths]
        text = self.model.class_text(tuple(classes)) if self.model.needs_text else None
        found = self._encode(labelled, lambda label: None if text is None else text[label : label + 1])
        for label, name in enumerate(classes):
            if not bool((found.labels == label).any()):
                path, why = next((path, found.unreadable[path]) for path in classes[name])
                raise ValueError(f"none of the clips of class '{name}' can be read; the first is {path}: {why}")
        return found

    @torch.inference_mode()
    def encode_queries(self, paths: Iterable[Path]) -> EncodedClips:
        """Features of clips without labels.

        Raises:
            ValueError: a clip that cannot be read and is not passed over.
        """
        return self._encode([(path, 0) for path in paths], lambda _: None)

    @torch.inference_mode()
    def scores(self, query: EncodedClips, support: EncodedClips, names: Sequence[str]) -> Tensor:
        """Probabilities (Q, W) of the classes, on the CPU.

        Args:
            query: clips to name.
            support: labelled ones.
            names: of the classes, W.
        """
        parts = []
        for features in query.features.split(_QUERIES_PER_PASS):
            sample = episode_of(support.labels, len(features), tuple(names))
            (done,) = self.model.predict_features(
                features[None].to(self.device), support.features[None].to(self.device), [sample]
            )
            parts.append(done.pred_score.float().cpu())
        return torch.cat(parts) if parts else torch.empty(0, len(names))

    def _encode(self, labelled: Sequence[tuple[Path, int]], text_of: Callable[[int], Tensor | None]) -> EncodedClips:
        found = EncodedClips()
        features, labels = [], []
        for path, label in tqdm(labelled, "clips", disable=len(labelled) < _LONG):
            clip = self._read(path, found.unreadable)
            if clip is None:
                continue
            found.paths.append(path)
            found.aspect.append(clip.aspect)
            labels.append(label)
            features.append(self._features(clip, text_of(label)))
            if clip.total_frames < len(clip.frames):
                found.repeating.append(path)
            if self.keep_pictures:
                found.pictures.append(thumbnails(clip, _THUMBNAIL))
        found.features = torch.cat(features) if features else torch.empty(0)
        found.labels = torch.tensor(labels, dtype=torch.int64)
        return found

    def _read(self, path: Path, unreadable: dict[Path, str]) -> ReadClip | None:
        try:
            return self.files.read(path)
        # Whatever a decoder raises, see `is_unreadable`.
        except Exception as error:
            if not is_unreadable(error):
                raise
            if not self.skip_unreadable:
                raise ValueError(
                    f"clip {path} cannot be read: {error}; mend it, or pass over it (--skip-unreadable)"
                ) from error
            unreadable[path] = str(error)
            return None

    def _features(self, clip: ReadClip, text: Tensor | None) -> Tensor:
        """Features (1, T, D) of a clip, on the CPU."""
        preprocessor: Any = self.model.data_preprocessor
        frames = clip.frames.to(self.device)
        side = getattr(self.model.backbone, "image_size", None)
        if preprocessor.size is None and preprocessor.crop is None and side is not None:
            frames = _fitted(frames, (side, side) if isinstance(side, int) else side)
        return self.model.encode_clips(preprocessor.evaluation_pixels(frames[None]), text).float().cpu()


def _fitted(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Frames (T, 3, H, W) at the size that the tower wants, where its training data had it and nothing else says it."""
    if tuple(frames.shape[-2:]) == tuple(size):
        return frames
    resized = torch.nn.functional.interpolate(frames.float(), size, mode="bilinear", antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8)


def episode_of(support_label: Tensor, queries: int, names: tuple[str, ...]) -> EpisodeDataSample:
    """The labelled clips as the supports of one episode."""
    return EpisodeDataSample(
        metainfo=dict(episode_id=0, sample_id=0, classes=names),
        support_label=support_label,
        query_label=torch.zeros(queries, dtype=torch.int64),
        way_class=torch.arange(len(names)),
        support_class=support_label,
        query_class=torch.zeros(queries, dtype=torch.int64),
    )
