"""How often queries are recognised: accuracy over episodes, its interval, and accuracy per class.

Shape letters of this file: Q queries, W ways, N episodes.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from mmengine.registry import METRICS
from torch import Tensor

from clipplus.did_you_mean import did_you_mean
from clipplus.evaluation.set_metric import SetMetric, sample_field

#: What a head may predict by, and the field of the sample that holds it.
MODES = {"few_shot": "pred_score", "text": "text_score", "combine": "fused_score"}


def mean_and_interval(accuracies: Float[Tensor, " N"]) -> tuple[float, float]:
    """Mean over episodes, and half the width of its 95 % interval, 1.96 * deviation / sqrt(N).

    The deviation is the population's, as in TRX's code; equal accuracies give a width of 0.
    """
    deviation = float(accuracies.std(correction=0))
    return float(accuracies.mean()), 1.96 * deviation / math.sqrt(len(accuracies))


@METRICS.register_module()
class FewShotAccuracy(SetMetric):
    """Accuracy of episodes, in percent.

    Results: `accuracy`, the mean over episodes of the share of right queries; `ci95`, half the width of its 95 %
    interval over episodes; `mean_class`, the mean over classes of the share of right queries of a class;
    `episodes`, how many there were. Of modes other than the first one the names are `<mode>_accuracy` and so on.

    The interval is about which episodes were drawn, not about other videos or classes: episodes share both.

    After an evaluation `predictions` has a record per episode: `sample_id`, `way_class`, `way_name`, `query_class`,
    `label`, `support_video`, `query_video`, and for each mode `predicted` and `score`.
    `tools/analysis/compare_episodes.py` compares two such dumps.

    Args:
        modes: what to count, of 'few_shot' (reads `pred_score`), 'text' (`text_score`) and 'combine' (`fused_score`).
        per_class: add `class/<name>`, the accuracy of every class that occurs (in the first mode).
        collect_device, prefix: as in mmengine.

    Raises:
        ValueError: unknown mode, or none; when evaluating, a head that does not predict a mode, or a label that is no
            way.
    """

    def __init__(
        self,
        modes: Sequence[str] = ("few_shot",),
        per_class: bool = False,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix)
        if not modes:
            raise ValueError(f"FewShotAccuracy.modes is empty; known: {', '.join(MODES)}")
        for mode in modes:
            if mode not in MODES:
                raise ValueError(f"unknown mode '{mode}'; known: {', '.join(MODES)}{did_you_mean(mode, MODES)}")
        self.modes = tuple(modes)
        self.per_class = per_class

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Note who was recognised as what."""
        for sample in data_samples:
            label = sample_field(sample, "query_label").tolist()
            scores = {mode: self._score(sample, mode) for mode in self.modes}
            ways = next(iter(scores.values())).shape[-1]
            if not all(0 <= way < ways for way in label):
                raise ValueError(
                    f"episode {sample_field(sample, 'sample_id')}: query labels must be 0..{ways - 1}, got {label}"
                )
            self.results.append(
                dict(
                    sample_id=int(sample_field(sample, "sample_id")),
                    label=label,
                    predicted={mode: score.argmax(dim=-1).tolist() for mode, score in scores.items()},
                    score={mode: _rounded(score) for mode, score in scores.items()},
                    **{
                        field: sample_field(sample, field).tolist()
                        for field in ("way_class", "query_class", "support_video", "query_video")
                        if sample_field(sample, field) is not None
                    },
                )
            )

    @staticmethod
    def _score(sample: dict, mode: str) -> Tensor:
        score = sample_field(sample, MODES[mode])
        if score is None:
            raise ValueError(
                f"FewShotAccuracy.modes has '{mode}', but the head predicts no '{MODES[mode]}': leave the mode out, or "
                "switch it on in the head"
            )
        return score.cpu()

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """See the class."""
        self.predictions = [self._named(record) for record in results]
        values: dict[str, float] = {}
        for mode in self.modes:
            start = "" if mode == self.modes[0] else f"{mode}_"
            values |= {start + name: value for name, value in _accuracies(results, mode).items()}
        values["episodes"] = float(len(results))
        if self.per_class:
            by_class = _class_accuracies(results, self.modes[0])
            values |= {f"class/{self._class_name(number)}": value for number, value in by_class.items()}
        return values

    def _class_name(self, number: int) -> str:
        return self.class_names[number] if self.class_names else str(number)

    def _named(self, record: dict[str, Any]) -> dict[str, Any]:
        names = [self._class_name(number) for number in record.get("way_class", ())]
        return {**record, "way_name": names} if names else record


def _rounded(score: Tensor) -> list[list[float]]:
    return [[round(value, 6) for value in row] for row in score.tolist()]


def _accuracies(results: list[dict[str, Any]], mode: str) -> dict[str, float]:
    episodes = torch.tensor([_share_right(r["predicted"][mode], r["label"]) for r in results], dtype=torch.float64)
    mean, half_width = mean_and_interval(100 * episodes)
    by_class = _class_accuracies(results, mode)
    values = {"accuracy": mean, "ci95": half_width}
    return {**values, "mean_class": sum(by_class.values()) / len(by_class)} if by_class else values


def _share_right(predicted: list[int], label: list[int]) -> float:
    return sum(p == t for p, t in zip(predicted, label, strict=True)) / len(label)


def _class_accuracies(results: list[dict[str, Any]], mode: str) -> dict[int, float]:
    """Percent of right queries by class id, ascending; empty where classes are not known."""
    asked: dict[int, int] = {}
    right: dict[int, int] = {}
    for record in results:
        rows = zip(record.get("query_class", ()), record["predicted"][mode], record["label"], strict=False)
        for number, predicted, label in rows:
            asked[number] = asked.get(number, 0) + 1
            right[number] = right.get(number, 0) + (predicted == label)
    return {number: 100 * right[number] / asked[number] for number in sorted(asked)}
