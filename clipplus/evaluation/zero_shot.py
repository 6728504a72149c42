"""Zero-shot classification: which class text is nearest to the image.

Shape letters of this file: S samples, C classes, E joint width.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from mmengine.registry import METRICS, MODELS
from torch import Tensor, nn

from clipplus.evaluation.set_metric import SetMetric, sample_field
from clipplus.text import ClassTextBank

_SHOWN = 5


def label_ranks(logits: Float[Tensor, "S C"], labels: Int[Tensor, " S"]) -> Int[Tensor, " S"]:
    """How many classes come before the true one: larger logits first, ties by lower index. 0 is a hit."""
    own = logits.gather(1, labels[:, None])
    earlier: Bool[Tensor, "S C"] = torch.arange(logits.shape[1], device=logits.device) < labels[:, None]
    return ((logits > own) | ((logits == own) & earlier)).sum(dim=1)


def mean_class_accuracy(hits: Bool[Tensor, " S"], labels: Int[Tensor, " S"]) -> float:
    """Accuracy in percent averaged over the classes that occur."""
    counts = torch.bincount(labels)
    right = torch.bincount(labels, weights=hits.double(), minlength=len(counts))
    return float((right[counts > 0] / counts[counts > 0]).mean() * 100)


@METRICS.register_module()
class ZeroShotAccuracy(SetMetric):
    """Top-k and mean-per-class accuracy of ranking class texts for images.

    Results: `top<k>` for every k, `mean_class`; in percent. Reads `image_embedding`, or with `texts=None` the
    `logits` that a classifier filled in; the label is `gt_label`, the id `sample_idx`.

    Args:
        texts: config of a `ClassTextBank`; None ranks `logits`.
        topk: the k's.
        collect_device, prefix: as in mmengine.

    Raises:
        RuntimeError: run by a loop that does not show the model first; names the loop to use.
        ValueError: a label outside of the classes, or samples without label.
    """

    def __init__(
        self,
        texts: dict | None = None,
        topk: Sequence[int] = (1, 5),
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix)
        self.topk = tuple(topk)
        self.bank: ClassTextBank | None = None if texts is None else MODELS.build(texts)
        self._classes_CE: Tensor | None = None

    def before_evaluate(self, model: nn.Module) -> None:
        """Embed the class texts with the model as it stands now."""
        super().before_evaluate(model)
        if self.bank is not None:
            self._classes_CE = self.bank.embeddings(
                getattr(model, "text_tower", None), self.class_names, cache=self.final
            ).float()

    def _names(self, classes: int) -> list[str]:
        own = self.bank.classes if self.bank is not None else None
        return own or self.class_names or [str(index) for index in range(classes)]

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Rank the classes for the images of a batch."""
        if self.bank is not None and not self._prepared:
            raise RuntimeError(
                "ZeroShotAccuracy has no class embeddings: run it by val_cfg=dict(type='MultiDatasetValLoop') or "
                "test_cfg=dict(type='MultiDatasetTestLoop')"
            )
        if self.bank is None or self._classes_CE is None:
            logits = torch.stack([sample_field(sample, "logits") for sample in data_samples]).float()
        else:
            embeddings = torch.stack([sample_field(sample, "image_embedding") for sample in data_samples]).float()
            logits = embeddings @ self._classes_CE.T
        labels = torch.as_tensor([self._label(sample, logits.shape[1]) for sample in data_samples])
        labels = labels.to(logits.device)
        ranks = label_ranks(logits, labels)
        scores, order = logits.sort(dim=1, descending=True, stable=True)
        for sample, label, rank, best, score in zip(
            data_samples, labels.tolist(), ranks.tolist(), order[:, :_SHOWN].tolist(), scores.tolist(), strict=True
        ):
            top = [[index, round(value, 6)] for index, value in zip(best, score, strict=False)]
            self.results.append(
                dict(sample_id=int(sample_field(sample, "sample_idx")), label=label, rank=rank, top=top,
                     classes=logits.shape[1])
            )  # fmt: skip

    @staticmethod
    def _label(sample: dict, classes: int) -> int:
        label = sample_field(sample, "gt_label")
        if label is None:
            raise ValueError("ZeroShotAccuracy needs gt_label in every sample: the data set gave none")
        label = int(label)
        if not 0 <= label < classes:
            raise ValueError(
                f"sample {sample_field(sample, 'sample_idx')} has label {label}, but there are {classes} class texts"
            )
        return label

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """See the class."""
        names = self._names(results[0]["classes"])
        self.predictions = [
            dict(sample_id=r["sample_id"], label=r["label"], label_name=names[r["label"]],
                 top=[[names[index], score] for index, score in r["top"]])
            for r in results
        ]  # fmt: skip
        ranks = torch.tensor([r["rank"] for r in results])
        labels = torch.tensor([r["label"] for r in results])
        accuracies = {f"top{k}": float((ranks < k).double().mean() * 100) for k in self.topk}
        return {**accuracies, "mean_class": mean_class_accuracy(ranks == 0, labels)}
