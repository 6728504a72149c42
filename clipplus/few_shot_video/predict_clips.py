"""`clipplus predict` for clips: a table of names, and on request a file and pictures."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from clipplus.checkpoints.atomic import written_aside
from clipplus.few_shot_video.alignment_pictures import draw_predictions, require_pairs
from clipplus.few_shot_video.clip_folders import labelled_clips, query_clips
from clipplus.few_shot_video.clip_prediction import ClipClassifier, EncodedClips
from clipplus.few_shot_video.recognizer_loading import load_recognizer
from clipplus.markdown import markdown_table

# More columns than this would not fit on a screen.
_COLUMNS = 8


def predict_clips(arguments: argparse.Namespace) -> str:
    """Name the clips that a command line asks about.

    Args:
        arguments: `checkpoint`, `pretrained`, `quick_gelu`, `config`, `matcher`, see `load_recognizer`; `supports`,
            `queries`; `skip_unreadable`; `json` and `top`, for what is printed; `out` and `picture`, where the file and
            the pictures go.

    Returns:
        What is to be printed.

    Raises:
        FileNotFoundError: a folder, clip, checkpoint or config that does not exist.
        ValueError: see `load_recognizer`, `labelled_clips`, `query_clips` and `ClipClassifier`.
    """
    classes = labelled_clips(arguments.supports)
    queries = query_clips(arguments.queries)
    _note("is no clip and is left out", [path for found in (*classes.values(), queries) for path in found.others])
    loaded = load_recognizer(
        arguments.checkpoint, arguments.config, arguments.pretrained, arguments.matcher, arguments.quick_gelu
    )
    classifier = ClipClassifier(
        loaded, keep_pictures=arguments.picture is not None, skip_unreadable=arguments.skip_unreadable
    )
    if arguments.picture is not None:
        require_pairs(classifier)
    names = list(classes)
    support = classifier.encode_supports({name: found.clips for name, found in classes.items()})
    query = classifier.encode_queries(queries.clips)
    _note_clips(support, query, loaded.clips)
    if not query.paths:
        raise ValueError("none of the queries can be read")
    scores = classifier.scores(query, support, names)
    if arguments.out is not None:
        _write(Path(arguments.out), _report(names, support, query, scores))
    if arguments.picture is not None:
        pictures = draw_predictions(classifier, query, support, names, scores, Path(arguments.picture))
        sys.stderr.write(f"{len(pictures)} pictures in {arguments.picture}\n")
    if arguments.json:
        return "\n".join(json.dumps(line, ensure_ascii=False) for line in _predictions(names, query, scores))
    return _table(names, query, scores, arguments.top)


def _note(what: str, paths: Sequence[Path]) -> None:
    for path in paths:
        sys.stderr.write(f"note: {path} {what}\n")


def _note_clips(support: EncodedClips, query: EncodedClips, clips: list[dict[str, Any]]) -> None:
    """What a person should know of the clips before trusting the table."""
    for path, why in {**support.unreadable, **query.unreadable}.items():
        sys.stderr.write(f"note: {path} cannot be read and is left out: {why}\n")
    frames = clips[0].get("num_clips") or clips[0].get("num_frames")
    _note(f"has fewer than {frames} frames: some are shown twice", [*support.repeating, *query.repeating])
    known = {path.resolve() for path in support.paths}
    _note("is among the labelled clips, too", [path for path in query.paths if path.resolve() in known])


def _predictions(names: Sequence[str], query: EncodedClips, scores: Tensor) -> list[dict[str, Any]]:
    return [
        {
            "clip": str(path),
            "class": names[int(row.argmax())],
            "scores": {name: round(value, 6) for name, value in zip(names, row.tolist(), strict=True)},
        }
        for path, row in zip(query.paths, scores, strict=True)
    ]


def _report(names: Sequence[str], support: EncodedClips, query: EncodedClips, scores: Tensor) -> dict[str, Any]:
    """All that is known, JSON-able."""
    labels = support.labels.tolist()
    return {
        "classes": {
            name: [str(path) for path, label in zip(support.paths, labels, strict=True) if label == number]
            for number, name in enumerate(names)
        },
        "predictions": _predictions(names, query, scores),
        "unreadable": {str(path): why for path, why in {**support.unreadable, **query.unreadable}.items()},
    }


def _write(path: Path, report: dict[str, Any]) -> None:
    with written_aside(path) as partial:
        partial.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _table(names: Sequence[str], query: EncodedClips, scores: Tensor, top: int) -> str:
    """A line for each clip: its class, and the probability of every class; of many classes the best ones."""
    clips = _called(query.paths)
    if len(names) <= _COLUMNS:
        rows = [
            [clip, names[int(row.argmax())], *(f"{value:.1%}" for value in row.tolist())]
            for clip, row in zip(clips, scores, strict=True)
        ]
        return markdown_table([["clip", "class", *names], *rows])
    rows = []
    for clip, row in zip(clips, scores, strict=True):
        best = row.topk(min(top, len(names)))
        listed = zip(best.values.tolist(), best.indices.tolist(), strict=True)
        rows.append([clip, names[int(row.argmax())], ", ".join(f"{names[i]} {value:.1%}" for value, i in listed)])
    return markdown_table([["clip", "class", f"best of {len(names)}"], *rows])


def _called(paths: Sequence[Path]) -> list[str]:
    """File names, where they tell the clips apart."""
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]
