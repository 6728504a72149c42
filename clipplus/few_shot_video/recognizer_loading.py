"""A recogniser to predict with: from a checkpoint, from a config, or from a CLIP that never saw a video.

What a checkpoint says about itself is plain data and stays that: its classes must be on a list, its options must be
numbers and words, and nothing is fetched or read because a file says so. A config file is a program; it is run because
the user names it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.registry import MODELS, init_default_scope
from torch import Tensor

from clipplus.checkpoints import load_restricted, tower_hash
from clipplus.clip.inference import tag_statistics, tower_options
from clipplus.engine.launch import read_config
from clipplus.engine.loading import load_from_restricted
from clipplus.engine.tower_references import referenced_weights
from clipplus.few_shot_video.evaluation_pipeline import Description, describe_pipeline, require_harmless
from clipplus.few_shot_video.recognizer import FewShotRecognizer

#: Matchers that need no training, by what a command line calls them.
UNTRAINED_MATCHERS = {
    "mean-pool": dict(type="MeanPoolMatcher"),
    "otam": dict(type="OTAMMatcher", smoothing=0.1, shots="distance_mean"),
    "bi-mhm": dict(type="BiMHMMatcher"),
}
# What a checkpoint may name.
_HEADS = ("FewShotHead",)
_MATCHERS = ("OTAMMatcher", "BiMHMMatcher", "TRXMatcher", "MeanPoolMatcher")
_PIXELS = ("mean", "std", "size", "crop")

_FRAMES = 8
# The recipes squash to 256 and cut out 224.
_SQUASHED, _CUT = 256, 224


@dataclass(frozen=True)
class Loaded:
    """A recogniser in eval mode, and how clips are cut out for it."""

    model: FewShotRecognizer
    clips: Description


def load_recognizer(
    checkpoint: str | Path | None = None,
    config: str | Path | None = None,
    pretrained: str | None = None,
    matcher: str | None = None,
    quick_gelu: bool | None = None,
) -> Loaded:
    """A recogniser from whatever there is.

    Args:
        checkpoint: of `tools/train.py`: of few-shot video, or of a CLIP; or with `pretrained` an open_clip name.
        config: of a recogniser; then the checkpoint gives weights alone. Without a checkpoint its backbone must be
            `pretrained`.
        pretrained: weight tag or file of an open_clip name.
        matcher: of `UNTRAINED_MATCHERS`, for a CLIP; mean-pool unless stated.
        quick_gelu: activation, with a weight file that does not say it.

    Raises:
        FileNotFoundError: no such file.
        ValueError: options that do not go together; a file that is refused, damaged or does not fit, or that does not
            describe its model.
    """
    init_default_scope("mmaction")
    if matcher is not None and matcher not in UNTRAINED_MATCHERS:
        raise ValueError(f"unknown matcher '{matcher}'; known: {', '.join(UNTRAINED_MATCHERS)}")
    if config is not None:
        if pretrained is not None or matcher is not None:
            raise ValueError("a config says which weights and which matcher: leave out pretrained and matcher")
        return _from_config(Path(config), checkpoint)
    if checkpoint is None:
        raise ValueError("state a checkpoint, or a config whose backbone is pretrained")
    path = Path(checkpoint).expanduser()
    if pretrained is not None:
        if path.is_file():
            raise ValueError(f"'{checkpoint}' is a checkpoint and brings its weights: leave out '{pretrained}'")
        tower = dict(model=str(checkpoint), pretrained=pretrained, quick_gelu=quick_gelu)
        return _untrained(tower, tag_statistics(str(checkpoint), pretrained), matcher)
    if not path.is_file():
        raise FileNotFoundError(
            f"'{checkpoint}' is no checkpoint file; for an open_clip model state its weights as well, e.g. "
            "ViT-B-16-quickgelu with the tag openai"
        )
    return _from_checkpoint(path, matcher)


def _untrained(tower: dict[str, Any], statistics: dict[str, Any], matcher: str | None) -> Loaded:
    """A CLIP as it is: frames squashed and cut as the recipes do, 8 of a clip."""
    chosen = UNTRAINED_MATCHERS[matcher or "mean-pool"]
    model = FewShotRecognizer(
        backbone=dict(type="CLIPImageTower", frozen=True, **tower),
        cls_head=dict(type="FewShotHead", matcher=chosen),
    )
    side: Any = model.backbone.image_size
    height, width = (side, side) if isinstance(side, int) else side
    squashed = [round(length * _SQUASHED / _CUT) for length in (height, width)]
    pixels = dict(size=squashed, crop=height) if height == width else dict(size=(height, width))
    model.data_preprocessor = MODELS.build(dict(type="FewShotDataPreprocessor", **pixels, **statistics))
    return Loaded(model.eval(), _segments(_FRAMES))


def _segments(frames: int) -> Description:
    return [dict(type="SampleFrames", clip_len=1, frame_interval=1, num_clips=frames, test_mode=True)]


def _from_checkpoint(path: Path, matcher: str | None) -> Loaded:
    content = load_restricted(path)
    meta = content.get("meta") if isinstance(content, dict) else None
    record = meta.get("clipplus") if isinstance(meta, dict) else None
    described = record.get("model") if isinstance(record, dict) else None
    if not isinstance(described, dict):
        raise ValueError(
            f"{path} does not describe its model: give its config, --config CONFIG; or for a bare weight file the "
            f"open_clip name of its model, with --pretrained {path}"
        )
    if "image_tower" in described:
        options = tower_options(path, described, "image_tower", "CLIPImageTower")
        options.pop("tokenizer", None)
        statistics = _pixel_options(path, described, ("mean", "std"))
        return _untrained(dict(options, pretrained=str(path)), statistics, matcher)
    if matcher is not None:
        raise ValueError(f"{path} was trained with a matcher of its own: leave out the matcher '{matcher}'")
    clips = require_harmless((record or {}).get("clips"), str(path))
    options = tower_options(path, described, "backbone", "CLIPImageTower")
    model = FewShotRecognizer(
        backbone=dict(type="CLIPImageTower", **options),
        cls_head=_head(path, described),
        data_preprocessor=dict(type="FewShotDataPreprocessor", **_pixel_options(path, described, _PIXELS)),
    )
    _fill(model, content["state_dict"], path)
    return Loaded(model.eval(), clips)


def _head(path: Path, described: Mapping[str, Any]) -> dict[str, Any]:
    """The head as a checkpoint describes it.

    Raises:
        ValueError: parts other than those that are known to compute alone, or options that are no numbers or words.
    """
    head = described.get("cls_head")
    matcher = head.get("matcher") if isinstance(head, dict) else None
    kinds = [part.get("type") if isinstance(part, dict) else part for part in (head, matcher)]
    others = [part for part in ("neck", "text") if described.get(part) is not None]
    known = isinstance(matcher, dict) and kinds[0] in _HEADS and kinds[1] in _MATCHERS
    if not known or set(head or ()) != {"type", "matcher"} or others:
        parts = [*([] if kinds[1] is None else [repr(kinds[1])[:60]]), *others]
        beside = f" with {', '.join(parts)}" if parts else ""
        raise ValueError(
            f"{path} describes a head {kinds[0]!r:.60}{beside}: not all of it is taken from a file; give its config, "
            "--config CONFIG"
        )
    return dict(type=kinds[0], matcher=_plain(path, matcher))


def _pixel_options(path: Path, described: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    stated = described.get("data_preprocessor")
    stated = stated if isinstance(stated, dict) else {}
    return _plain(path, {name: stated[name] for name in names if stated.get(name) is not None})


def _plain(path: Path, options: Any) -> dict[str, Any]:
    """Options without anything that could be built, fetched or read."""
    for key, value in options.items():
        parts = value if isinstance(value, list | tuple) else [value]
        if not all(isinstance(part, int | float | str | None) for part in parts):
            raise ValueError(f"{path} is refused: its {key} must be a number, a word or a list of them")
    return dict(options)


def _from_config(config_file: Path, checkpoint: str | Path | None) -> Loaded:
    config = read_config(config_file)
    described = config.get("model") or {}
    if described.get("type") != "FewShotRecognizer":
        raise ValueError(f"{config_file} is no config of few-shot video: its model is {described.get('type')}")
    clips = describe_pipeline(config.to_dict())
    if clips is None:
        raise ValueError(f"{config_file} has no videos: how clips are cut out is read from its evaluation's pipeline")
    init_default_scope(config.get("default_scope", "mmaction"))
    if checkpoint is None:
        if not described["backbone"].get("pretrained"):
            raise ValueError(f"the backbone of {config_file} is not pretrained: state a checkpoint")
        return Loaded(MODELS.build(described).eval(), clips)
    content = load_from_restricted(str(checkpoint))
    weights = content.get("state_dict", content)
    named = (content.get("meta") or {}).get("towers") or {}
    if "backbone" not in named and any(key.startswith("backbone.") for key in weights):
        # It would be fetched for nothing.
        described["backbone"].pop("pretrained", None)
    model = MODELS.build(described)
    _fill(model, weights, Path(checkpoint))
    stored = named.get("backbone")
    if stored and tower_hash(referenced_weights(model.backbone)) != stored["hash"]:
        raise ValueError(
            f"{checkpoint} was made with the backbone '{stored['model']}' from '{stored['pretrained']}', but that of "
            f"{config_file} has other weights"
        )
    return Loaded(model.eval(), clips)


def _fill(model: FewShotRecognizer, weights: Mapping[str, Tensor], path: Path) -> None:
    """Take all weights.

    Raises:
        ValueError: some are missing, unknown or of another shape; a backbone that is frozen and was not saved, and that
            the config does not bring.
    """
    wanted = model.state_dict()
    given = {key.removeprefix("module."): value for key, value in weights.items()}
    missing = sorted(wanted.keys() - given.keys())
    backbone: Any = model.backbone
    frozen = f"backbone.{getattr(backbone, 'referenced_prefix', '')}"
    if not any(key.startswith(frozen) for key in given):
        # A frozen one is not saved.
        if not getattr(backbone, "pretrained", None):
            raise ValueError(f"{path} does not hold its backbone: give a config that does, --config CONFIG")
        missing = [key for key in missing if not key.startswith(frozen)]
    unknown = sorted(given.keys() - wanted.keys())
    shapes = sorted(key for key in wanted.keys() & given.keys() if wanted[key].shape != given[key].shape)
    if missing or unknown or shapes:
        raise ValueError(
            f"{path} does not fit this recogniser: {len(missing)} keys missing ({', '.join(missing[:3])}), "
            f"{len(unknown)} unknown ({', '.join(unknown[:3])}), {len(shapes)} of other shape "
            f"({', '.join(shapes[:3])}): is it of another config?"
        )
    model.load_state_dict(given, strict=False)
