"""Predictions as JSON lines."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from clipplus.checkpoints.atomic import written_aside


def save_predictions(path: str | Path, predictions_by_set: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
    """Write one line per sample: the metric's record with the name of its set in front.

    Args:
        path: target file; written aside, then renamed.
        predictions_by_set: set name -> the `predictions` of its metrics.

    Raises:
        TypeError: a record that JSON cannot hold; names the set and the sample.
    """
    with written_aside(Path(path)) as partial, partial.open("w", encoding="utf-8") as lines:
        for name, predictions in predictions_by_set.items():
            for record in predictions:
                try:
                    line = json.dumps({"set": name, **record}, ensure_ascii=False)
                except TypeError as error:
                    raise TypeError(f"set '{name}', sample {record.get('sample_id')}: {error}") from error
                lines.write(line + "\n")
