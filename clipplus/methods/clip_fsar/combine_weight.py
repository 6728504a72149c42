"""How much texts should count besides few shots: chosen on validation classes, stored with the weights."""

import copy
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import METRICS
from torch import Tensor

from clipplus.checkpoints import load_restricted
from clipplus.checkpoints.atomic import written_aside
from clipplus.engine.launch import build_runner
from clipplus.evaluation.set_metric import SetMetric, sample_field
from clipplus.methods.clip_fsar.combination import combined_log_score

#: What a published switch that was left alone means; ties go to the weight that is nearest to it.
PUBLISHED = 0.9
_KEY = "cls_head.text_coefficient"
_TINY = torch.finfo(torch.float32).tiny


@METRICS.register_module()
class CombineSweep(SetMetric):
    """Accuracy of the combined answers for every weight of the texts.

    Results: `b=<weight>`, the mean over episodes of the share of right queries, in percent.

    Args:
        steps: number of weights, equally spaced from 0 to 1.
    """

    def __init__(self, steps: int = 21, collect_device: str = "cpu", prefix: str | None = None) -> None:
        super().__init__(collect_device, prefix)
        if steps < 2:
            raise ValueError(f"steps must be at least 2, the weights 0 and 1, got {steps}")
        self.weights = [round(step / (steps - 1), 6) for step in range(steps)]

    def process(self, data_batch: Any, data_samples: Any) -> None:
        """Note the share of right queries for every weight."""
        for sample in data_samples:
            # Log probabilities are minus the distances, up to what all ways of a query have in common.
            few_shot, text = (_log(sample_field(sample, name)) for name in ("pred_score", "text_score"))
            label = sample_field(sample, "query_label")
            right = [
                float((combined_log_score(text, few_shot, weight)[0].argmax(-1) == label).double().mean())
                for weight in self.weights
            ]
            self.results.append(dict(sample_id=int(sample_field(sample, "sample_id")), right=right))

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """See the class."""
        means = torch.tensor([record["right"] for record in results], dtype=torch.float64).mean(dim=0)
        return {f"b={weight:g}": 100 * float(mean) for weight, mean in zip(self.weights, means, strict=True)}


def _log(score: Tensor) -> Tensor:
    return score[None].double().cpu().clamp_min(_TINY).log()


def sweep(config: Config, checkpoint: Path, steps: int = 21) -> dict[float, float]:
    """Accuracy of every weight on the validation episodes, mean over the sets, in percent.

    Args:
        config: of a CLIP-FSAR training; its `val_dataloader` is read and nothing else.
        checkpoint: weights.
        steps: see `CombineSweep`.

    Raises:
        ValueError: no validation data, or episodes of the test split among it.
    """
    sets = (config.get("val_dataloader") or {}).get("sets")
    if not sets:
        raise ValueError("the config has no val_dataloader.sets: the weight of texts is chosen on validation classes")
    tested = [name for name, loader in sets.items() if loader["dataset"].get("split") == "test"]
    if tested:
        raise ValueError(f"val_dataloader.sets.{tested[0]} is of the test split: nothing is chosen on it")
    config = copy.deepcopy(config)
    config.test_dataloader = config.val_dataloader
    config.test_cfg = dict(type="FeatureCacheTestLoop")
    config.test_evaluator = dict(sets={name: dict(type="CombineSweep", steps=steps) for name in sets})
    for part in ("train", "val"):
        for piece in ("cfg", "dataloader"):
            config[f"{part}_{piece}"] = None
    config.val_evaluator = config.optim_wrapper = config.param_scheduler = None
    config.load_from = str(checkpoint)
    found = build_runner(config).test()
    weights = CombineSweep(steps).weights
    return {weight: sum(found[f"{name}/b={weight:g}"] for name in sets) / len(sets) for weight in weights}


def best_weight(accuracies: dict[float, float]) -> float:
    """The weight of the highest accuracy; among equals the one nearest to the published 0.9."""
    top = max(accuracies.values())
    return min((w for w, value in accuracies.items() if value == top), key=lambda w: (abs(w - PUBLISHED), w))


def store_weight(checkpoint: Path, out: Path, accuracies: dict[float, float]) -> float:
    """Write the checkpoint with the best weight in it, and where that came from in `meta['clip_fsar']`.

    Raises:
        ValueError: a checkpoint of another head.
    """
    content = load_restricted(checkpoint)
    if _KEY not in (content.get("state_dict") or {}):
        raise ValueError(f"{checkpoint} has no {_KEY}: it is no checkpoint of a CLIPFSARHead")
    weight = best_weight(accuracies)
    content["state_dict"][_KEY] = torch.tensor(weight, dtype=torch.float64)
    content.setdefault("meta", {})["clip_fsar"] = dict(
        text_coefficient=weight, chosen_on="val", accuracies=[[w, value] for w, value in accuracies.items()]
    )
    with written_aside(out) as partial:
        torch.save(content, partial)
    return weight
