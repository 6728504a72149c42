"""What stored features of videos depend on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipplus.checkpoints import fingerprint, tower_hash
from clipplus.evaluation import feature_parts
from clipplus.few_shot_video.episode_dataset import EpisodeDataset
from clipplus.few_shot_video.recognizer import FewShotRecognizer

# What says where a backbone's weights come from or how it is trained; the weights themselves are looked at.
_TRAINING = ("pretrained", "frozen", "init_cfg", "grad_checkpointing")


def video_feature_parts(
    model: FewShotRecognizer,
    backbone: Mapping[str, Any],
    episodes: EpisodeDataset,
    videos: Mapping[str, Any],
) -> dict[str, Any]:
    """Parts of a `FeatureCache`'s fingerprint.

    The videos count with their names below the data's root, their sizes in bytes and, where a support knows the text of
    its class, with their classes and those texts.

    Args:
        model: the recogniser, with the weights that are evaluated.
        backbone: its config.
        episodes: over the videos.
        videos: config of the videos.
    """
    texts = None
    if model.needs_text:
        classes = fingerprint(episodes.class_of_video.tolist())
        texts = dict(classes=classes, texts=tower_hash({"texts": model.class_text(episodes.classes)}))
    preprocessor: Any = model.data_preprocessor
    settings = [str(sorted((key, str(value)) for key, value in backbone.items() if key not in _TRAINING))]
    parts = feature_parts(
        dict(settings=fingerprint([*settings, repr(model.backbone)]), weights=tower_hash(model.backbone.state_dict())),
        preprocessor.evaluation_settings, episodes.dataset, videos, seed=episodes.seed, record=_video_record,
    )  # fmt: skip
    return {**parts, "texts": texts}


def _video_record(dataset: Any, index: int) -> tuple[Any, ...]:
    """Name of a video below the data's root, and how large it is."""
    info = dataset.get_data_info(index)
    place = info.get("filename") or info.get("frame_dir")
    if place is None:
        return str(info.get("key", index)), None
    path, root = Path(place), (getattr(dataset, "data_prefix", None) or {}).get("video", "")
    name = path.relative_to(root).as_posix() if root and path.is_relative_to(root) else path.as_posix()
    if path.is_dir():
        return name, sum(1 for _ in path.iterdir())
    return name, path.stat().st_size if path.is_file() else None
