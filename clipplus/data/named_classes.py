"""A classification data set as zero-shot evaluation needs it: labels as words, only classes that name a thing."""

from collections.abc import Sequence
from typing import Any

from mmengine.registry import DATASETS
from torch.utils.data import Dataset

from clipplus.did_you_mean import did_you_mean
from clipplus.text.class_names import readable_names


@DATASETS.register_module()
class NamedClasses(Dataset[Any]):
    """Wraps a data set in mmengine's form: class names become words, and some classes are left out.

    The remaining classes keep their order and are numbered anew from 0; so are the samples (`sample_idx`).

    Args:
        dataset: config of a data set with `metainfo['classes']`, or such a data set.
        drop: classes to leave out with all their samples, spelled as the data set spells them.

    Raises:
        ValueError: the data set names no classes, or a class of `drop` is none of them.
    """

    def __init__(self, dataset: dict | Dataset[Any], drop: Sequence[str] = ()) -> None:
        wrapped: Any = dataset
        if isinstance(dataset, dict):
            wrapped = DATASETS.build(dataset)
        wrapped.full_init()
        labels = wrapped.metainfo.get("classes")
        if not labels:
            raise ValueError(
                f"{type(wrapped).__name__} names no classes: leave NamedClasses out and name them in the "
                f"evaluator, texts=dict(type='ClassTextBank', classes=...)"
            )
        for name in drop:
            if name not in labels:
                hint = did_you_mean(name, labels)
                raise ValueError(f"drop: '{name}' is no class of {type(wrapped).__name__}{hint}")
        kept = [label for label, name in enumerate(labels) if name not in set(drop)]
        self.dataset = wrapped
        self.metainfo: dict[str, Any] = {
            **wrapped.metainfo,
            "classes": tuple(readable_names([labels[label] for label in kept])),
        }
        self._new_label = {label: new for new, label in enumerate(kept)}
        self._indices: Sequence[int] = range(len(wrapped))
        if drop:
            self._indices = [i for i in self._indices if wrapped.get_data_info(i)["gt_label"] in self._new_label]

    def full_init(self) -> None:
        """Already done: which samples remain must be known from the start."""

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Annotations of a sample, with its new label and number."""
        info = self.dataset.get_data_info(self._indices[index])
        return {**info, "gt_label": self._new_label[info["gt_label"]], "sample_idx": index}

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset.pipeline(self.get_data_info(index))
