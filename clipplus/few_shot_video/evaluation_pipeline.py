"""How evaluation cuts a clip out of a video: what a config or a checkpoint says, without how its files are opened.

A description is plain data, a list of transforms from choosing frames to the last change of pixels. Any clip can then
be read in the same way, whatever the training data were stored as.
"""

from collections.abc import Mapping
from typing import Any

# Where pixels come from and how a sample is packed: both are done by whoever reads a clip.
_OPENING = ("ClipInit", "DecordInit", "OpenCVInit", "PyAVInit")
_NOT_DESCRIBED = (*_OPENING, "ClipDecode", "DecordDecode", "OpenCVDecode", "PyAVDecode", "RawFrameDecode",
                  "ArrayDecode", "FormatShape", "PackActionInputs")  # fmt: skip
_SAMPLING = ("SampleFrames", "StrideSampleFrames")

#: Transforms that a checkpoint may name: they compute and do nothing else. Their options are numbers.
HARMLESS = (*_SAMPLING, "Resize", "CenterCrop")

Description = list[dict[str, Any]]


def describe_pipeline(config: Mapping[str, Any]) -> Description | None:
    """The clips of a config's evaluation, or of its training with the draws left out; None where it has no videos."""
    for part in ("val_dataloader", "test_dataloader", "train_dataloader"):
        pipeline = _pipeline(config.get(part))
        if pipeline is not None:
            return _described(pipeline)
    return None


def _pipeline(loader: Any) -> Any:
    """The pipeline of the innermost data set of a loader, or of the first one of its sets."""
    sets = (loader or {}).get("sets")
    part = next(iter(sets.values())) if sets else loader
    while isinstance(part, Mapping):
        if part.get("pipeline"):
            return part["pipeline"]
        part = part.get("dataset")
    return None


def _described(pipeline: Any) -> Description:
    steps: Description = []
    resized: Description = []
    for step in pipeline:
        kind = step["type"] if isinstance(step["type"], str) else step["type"].__name__
        options = {key: _plain(value) for key, value in step.items() if key != "type"}
        if kind in _OPENING and options.get("frame_cache"):
            # What the cache did to a frame is done here, too.
            size = options["frame_cache"].get("size", (256, 256))
            resized = [dict(type="Resize", scale=list(size), keep_ratio=False)]
        if kind in _NOT_DESCRIBED:
            continue
        if kind in _SAMPLING:
            steps.append(dict(options, type=kind, test_mode=True))
            steps += resized
        else:
            steps.append(dict(options, type=kind))
    return steps


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def require_harmless(steps: Any, source: str) -> Description:
    """A description that came with a file, if it can do nothing but choose frames and resize them.

    Raises:
        ValueError: a transform or an option that is not on the list.
    """
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise ValueError(f"{source} does not say how its clips are sampled: give its config, --config CONFIG")
    for step in steps:
        if step.get("type") not in HARMLESS:
            raise ValueError(
                f"{source}: its clips go through {step.get('type')!r:.60}, which is not taken from a file: give its "
                "config, --config CONFIG"
            )
        for key, value in step.items():
            numbers = value if isinstance(value, list) else [value]
            if key != "type" and not all(isinstance(number, int | float | None) for number in numbers):
                raise ValueError(f"{source} is refused: {step['type']}.{key} must be a number, got {value!r:.60}")
    return steps
