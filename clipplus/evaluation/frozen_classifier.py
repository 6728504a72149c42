"""What classifiers on frozen features share: a labelled training set, and scores of the evaluated set.

Shape letters of this file: S samples, C classes, E feature width.
"""

import logging
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.logging import print_log
from torch import Tensor, nn

from clipplus.evaluation.frozen_features import LabelledFeatures, extract_features, labelled_record, stack_records
from clipplus.evaluation.loaders import build_evaluation_loader, dataset_of
from clipplus.evaluation.set_metric import SetMetric, on_main_process
from clipplus.evaluation.zero_shot import label_ranks, mean_class_accuracy

_SHOWN = 5


class FrozenClassifierAccuracy(SetMetric):
    """Accuracy of a classifier that is fitted to the features of a labelled training set; the model stays as it is.

    Results: `top<k>` for every k, `mean_class`; in percent, behind the metric's prefix. Features are the model's
    `image_embedding`. The classifier is fitted before the first evaluated sample is seen, by the main process.

    Args:
        train: loader config of the training set: `dataset`, `batch_size`, and what else a loader takes. It should
            neither augment nor shuffle.
        topk: the k's.
        seed: of everything that is drawn: in the training set's pipeline and by the classifier.
        collect_device, prefix: as in mmengine; the default prefix is the classifier's name.

    Raises:
        ValueError: `train` without data set or batch size; labels outside of the classes, classes that differ
            between training and evaluated set, samples without label.
        RuntimeError: run by a loop that does not show the model first; names the loop to use.
    """

    def __init__(
        self,
        train: dict,
        topk: Sequence[int] = (1, 5),
        seed: int = 0,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix)
        missing = [key for key in ("dataset", "batch_size") if key not in train]
        if missing:
            raise ValueError(
                f"{type(self).__name__}: train must be the loader config of a labelled training set; "
                f"missing: {', '.join(missing)}"
            )
        self.train = train
        self.topk = tuple(topk)
        self.seed = seed
        self._classes = 0
        self._device = torch.device("cpu")
        self._scores: Callable[[Tensor], Tensor] | None = None

    def before_evaluate(self, model: nn.Module) -> None:
        """Embed the training set with the model as it stands now, and fit the classifier to it."""
        super().before_evaluate(model)
        training, class_names = self._training_set(model)
        if class_names and self.class_names and list(class_names) != self.class_names:
            raise ValueError(
                f"{type(self).__name__}: the classes of train.dataset and of the evaluated set differ: "
                f"{len(class_names)} and {len(self.class_names)}, or in another order"
            )
        self._classes = len(self.class_names or ()) or int(training.labels.max()) + 1
        self._check_labels(training.labels, "train.dataset")
        absent = self._classes - len(training.labels.unique())
        if absent:
            print_log(
                f"{type(self).__name__}: {absent} of {self._classes} classes have no training sample and will not "
                "be recognised",
                logger="current",
                level=logging.WARNING,
            )
        self._device = next((parameter.device for parameter in model.parameters()), self._device)
        on_main_process(lambda: self._fit(training))

    def _fit(self, training: LabelledFeatures) -> None:
        on_device = LabelledFeatures(*(part.to(self._device) for part in training))
        self._scores = self.fit(on_device, self._classes)

    def _training_set(self, model: nn.Module) -> tuple[LabelledFeatures, Sequence[str] | None]:
        """Features of `train`, and its class names if it has any."""
        # Metrics of one evaluation with the same training set embed it once.
        key = f"{ConfigDict(self.train)!r} {self.seed}"
        known = {} if self.shared is None else self.shared
        if key not in known:
            known[key] = self._embed(model)
        return known[key]

    def _embed(self, model: nn.Module) -> tuple[LabelledFeatures, Sequence[str] | None]:
        where = f"{type(self).__name__}: train"
        loader = build_evaluation_loader(self.train, self.seed, where)
        dataset = dataset_of(loader)
        dataset.seed = self.seed
        return extract_features(model, loader, where), dataset.metainfo.get("classes")

    def _check_labels(self, labels: Tensor, where: str) -> None:
        wrong = labels[(labels < 0) | (labels >= self._classes)]
        if len(wrong):
            raise ValueError(
                f"{type(self).__name__}: label {int(wrong[0])} in {where} is outside of the {self._classes} classes"
            )

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep features and labels of a batch."""
        if not self._prepared:
            raise RuntimeError(
                f"{type(self).__name__} has no training features: run it by "
                "val_cfg=dict(type='MultiDatasetValLoop') or test_cfg=dict(type='MultiDatasetTestLoop')"
            )
        self.results += [labelled_record(sample, type(self).__name__) for sample in data_samples]

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """See the class."""
        features, labels = stack_records(results)
        self._check_labels(labels, "the evaluated set")
        assert self._scores is not None
        scores = self._scores(features.to(self._device)).cpu()
        # A large training set should not stay in memory while the model trains on.
        self._scores = None
        ranks = label_ranks(scores, labels)
        names = self.class_names or [str(index) for index in range(self._classes)]
        values, order = scores.sort(dim=1, descending=True, stable=True)
        self.predictions = [
            dict(metric=self.prefix, sample_id=record["sample_id"], label=record["label"],
                 label_name=names[record["label"]],
                 top=[[names[index], round(value, 6)] for index, value in zip(best, own, strict=True)])
            for record, best, own in zip(
                results, order[:, :_SHOWN].tolist(), values[:, :_SHOWN].tolist(), strict=True
            )
        ]  # fmt: skip
        accuracies = {f"top{k}": float((ranks < k).double().mean() * 100) for k in self.topk}
        return {**accuracies, "mean_class": mean_class_accuracy(ranks == 0, labels)}

    @abstractmethod
    def fit(self, training: LabelledFeatures, classes: int) -> Callable[[Tensor], Tensor]:
        """Fit the classifier; called on the main process only.

        Args:
            training: on the model's device; labels in 0..classes-1.
            classes: C.

        Returns:
            From features (S, E) on that device to scores (S, C), larger for likelier classes.
        """
