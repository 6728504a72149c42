"""Data sets of few-shot classification: published splits, few shots of any data set, other classes of one."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from mmpretrain.registry import DATASETS
from torch.utils.data import Dataset

from clipplus.did_you_mean import did_you_mean
from clipplus.methods.ape.coop_split import first_folder, read_split
from clipplus.methods.ape.sampling import Short, few_shot_indices, held_out_indices
from clipplus.text.class_names import readable_names, resolve_class_names


@DATASETS.register_module()
class CoOpSplit(BaseDataset):
    """A split of one of CoOp's benchmarks: `split_zhou_*.json`, or FGVC Aircraft's own lists.

    The file has the last word on names and labels; the host's data sets of the same pictures differ in both.
    Items before the pipeline: `img_path`, `gt_label`, `sample_idx`. Meta information: `classes`.

    Args:
        data_root: the data set's folder, or several names that it may have, of which the first that exists is taken.
        ann_file: the split file, below `data_root`; `{split}` in it is replaced.
        split: 'train', 'val' or 'test'.
        image_folder: what the paths in the file are relative to, below `data_root`.
        expected: number of pictures that is commonly quoted; another one is a warning.
        check_images: look at the start whether the pictures exist; names the first ones that do not.
        pipeline, test_mode, **kwargs: as in mmengine's BaseDataset.

    Raises:
        FileNotFoundError: no such file, or pictures that are missing.
        ValueError: a file of another form, or an empty split.
    """

    def __init__(
        self,
        data_root: str | Sequence[str],
        ann_file: str,
        split: Literal["train", "val", "test"],
        image_folder: str = "",
        expected: int | None = None,
        check_images: bool = True,
        pipeline: Sequence[Any] = (),
        test_mode: bool = False,
        **kwargs: Any,
    ) -> None:
        root = first_folder(data_root)
        self.file = root / ann_file.format(split=split)
        self.image_folder = root / image_folder
        self.split, self.expected, self.check_images = split, expected, check_images
        self._content = read_split(self.file, split)
        super().__init__(
            metainfo=dict(classes=tuple(self._content.classes)), pipeline=list(pipeline), test_mode=test_mode, **kwargs
        )

    def load_data_list(self) -> list[dict[str, Any]]:
        """All items in the order of the file."""
        items = self._content.items
        if not items:
            raise ValueError(f"split file {self.file} has no pictures in '{self.split}'")
        if self.expected not in (None, len(items)):
            print_log(
                f"{self.file}: '{self.split}' has {len(items)} pictures, {self.expected} are usual",
                logger="current", level=logging.WARNING,
            )  # fmt: skip
        samples: list[dict[str, Any]] = [
            dict(img_path=str(self.image_folder / path), gt_label=label) for path, label in items
        ]
        if self.check_images:
            missing = [sample["img_path"] for sample in samples if not Path(sample["img_path"]).is_file()]
            if missing:
                raise FileNotFoundError(
                    f"{len(missing)} of {len(samples)} pictures of {self.file} are missing, first: "
                    f"{', '.join(missing[:3])}"
                )
        return samples

    def get_cat_ids(self, idx: int) -> list[int]:
        """The label at position `idx`."""
        return [self._content.items[idx][1]]


class _View(Dataset[Any]):
    """Some samples of a data set in mmengine's form, in an order of their own and numbered anew (`sample_idx`).

    Attributes:
        dataset: the whole data set.
        indices: positions in it.
    """

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    @property
    def metainfo(self) -> dict[str, Any]:
        """That of the whole data set, classes among it."""
        return self.dataset.metainfo

    @property
    def pipeline(self) -> Any:
        """That of the whole data set, for who wraps this one."""
        return self.dataset.pipeline

    def full_init(self) -> None:
        """Already done: which samples there are must be known from the start."""

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Annotations of a sample, with its number in this selection."""
        return {**self.dataset.get_data_info(self.indices[index]), "sample_idx": index}

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset.pipeline(self.get_data_info(index))


@DATASETS.register_module()
class FewShotSubset(_View):
    """K samples per class of any classification data set of mmengine's form: the host's, and ours.

    Args:
        dataset: config of a data set, or a data set.
        num_shots: K.
        seed: of the draw; the published numbers have 1.
        part: 'shots' are the K samples; 'holdout' are `holdout` further ones per class that are not among them, to
            choose hyper-parameters on where there is no validation set (give it the same `dataset`, `num_shots`,
            `seed`, and the test's pipeline).
        holdout: see `part`.
        nested, replace_short: see `few_shot_indices`.

    Attributes:
        labels: class of each sample.

    Raises:
        ValueError: as `few_shot_indices`; a class without any sample; samples without label.
    """

    def __init__(
        self,
        dataset: dict | Dataset[Any],
        num_shots: int,
        seed: int = 1,
        part: Literal["shots", "holdout"] = "shots",
        holdout: int = 10,
        nested: bool = False,
        replace_short: Short = "repeat",
    ) -> None:
        if part not in ("shots", "holdout"):
            raise ValueError(f"part must be 'shots' or 'holdout', got '{part}'")
        whole = _built(dataset)
        labels = [label_of(whole, index) for index in range(len(whole))]
        _require_all_classes(labels, whole)
        if replace_short == "error":
            _require_enough(labels, whole, num_shots)
        chosen = few_shot_indices(labels, num_shots, seed, nested, replace_short)
        if part == "shots":
            _warn_of_short_classes(labels, whole, num_shots, replace_short)
        else:
            chosen = held_out_indices(labels, chosen, holdout, seed)
            _warn_of_unseen_classes(labels, chosen, whole)
        super().__init__(whole, chosen)
        self.num_shots, self.seed = num_shots, seed
        self.labels = [labels[index] for index in chosen]

    def get_cat_ids(self, idx: int) -> list[int]:
        """The label at position `idx`."""
        return [self.labels[idx]]


def _built(dataset: dict | Dataset[Any]) -> Any:
    whole: Any = dataset
    if isinstance(dataset, dict):
        whole = DATASETS.build(dataset)
    whole.full_init()
    return whole


def label_of(dataset: Any, index: int) -> int:
    """The class of a sample, without reading its picture where the data set can say it.

    Raises:
        ValueError: a sample without label.
    """
    try:
        return int(dataset.get_cat_ids(index)[0])
    # mmengine's base class has the method only to say that a subclass should write it.
    except (AttributeError, NotImplementedError):
        info = dataset.get_data_info(index)
    if info.get("gt_label") is None:
        raise ValueError(f"sample {index} of {type(dataset).__name__} has no gt_label: few-shot data needs classes")
    return int(info["gt_label"])


def _require_all_classes(labels: Sequence[int], dataset: Any) -> None:
    names = dataset.metainfo.get("classes") or ()
    missing = sorted(set(range(len(names))) - set(labels))
    if missing:
        shown = ", ".join(f"{label} '{names[label]}'" for label in missing[:5])
        raise ValueError(
            f"{len(missing)} of {len(names)} classes of {type(dataset).__name__} have no sample: {shown}; every class "
            "needs a shot"
        )


def _short_classes(labels: Sequence[int], dataset: Any, num_shots: int) -> str | None:
    """What to say about classes of fewer than `num_shots` samples, if there are any."""
    counts = Counter(labels)
    short = [f"{_called(dataset, label)} ({n})" for label, n in sorted(counts.items()) if n < num_shots]
    if not short:
        return None
    return f"{len(short)} of {len(counts)} classes have fewer samples than num_shots={num_shots}: {_first(short)}"


def _require_enough(labels: Sequence[int], dataset: Any, num_shots: int) -> None:
    if short := _short_classes(labels, dataset, num_shots):
        raise ValueError(f"{short}; choose fewer shots, or replace_short='repeat' or 'keep'")


def _warn_of_short_classes(labels: Sequence[int], dataset: Any, num_shots: int, replace_short: Short) -> None:
    if short := _short_classes(labels, dataset, num_shots):
        done = "are drawn with repetition" if replace_short == "repeat" else "have that many shots only"
        print_log(f"{short}; they {done} (replace_short='{replace_short}')", logger="current", level=logging.WARNING)


def _warn_of_unseen_classes(labels: Sequence[int], held_out: Sequence[int], dataset: Any) -> None:
    classes = set(labels)
    unseen = [_called(dataset, label) for label in sorted(classes - {labels[index] for index in held_out})]
    if unseen:
        print_log(
            f"{len(unseen)} of {len(classes)} classes have no sample left to hold out: {_first(unseen)}; what is "
            "chosen on the held-out ones does not see them",
            logger="current", level=logging.WARNING,
        )  # fmt: skip


def _called(dataset: Any, label: int) -> str:
    names = dataset.metainfo.get("classes")
    return f"{label} '{names[label]}'" if names else str(label)


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:5])


@DATASETS.register_module()
class FieldClasses(_View):
    """A data set whose classes are the values of a field of its records.

    For `CaptionDataset`, whose records may say more than one kind of class: emoji have a label, a group and a subgroup.

    Args:
        dataset: config of a data set whose items have `fields` (`CaptionDataset`), or such a data set.
        field: name of the field.
        classes: values that count, in the order of their labels; samples of others are left out. None takes all, in
            alphabetical order.

    Raises:
        ValueError: a sample without the field, or a class that no sample has.
    """

    def __init__(self, dataset: dict | Dataset[Any], field: str, classes: Sequence[str] | None = None) -> None:
        whole = _built(dataset)
        values: list[Any] = [(whole.get_data_info(index).get("fields") or {}).get(field) for index in range(len(whole))]
        if None in values:
            raise ValueError(f"sample {values.index(None)} of {type(whole).__name__} has no field '{field}'")
        names = sorted(set(values)) if classes is None else list(classes)
        for name in names:
            if name not in values:
                raise ValueError(f"no sample has {field}='{name}'{did_you_mean(name, set(values))}")
        labels = {name: label for label, name in enumerate(names)}
        super().__init__(whole, [index for index, value in enumerate(values) if value in labels])
        self._labels = [labels[values[index]] for index in self.indices]
        self._names = tuple(readable_names([name.replace("-", " ") for name in names]))

    @property
    def metainfo(self) -> dict[str, Any]:
        """As of the whole data set, with the field's values, as words, as classes."""
        return {**self.dataset.metainfo, "classes": self._names}

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Annotations of a sample with its class by the field."""
        return {**super().get_data_info(index), "gt_label": self._labels[index]}

    def get_cat_ids(self, idx: int) -> list[int]:
        """The label at position `idx`."""
        return [self._labels[idx]]


@DATASETS.register_module()
class RenamedClasses(_View):
    """A data set with other names for its classes; labels stay.

    ImageNet's host data set lists synonyms, and folders of ImageNet-like sets are codes; all of them need the names
    that the class texts are made of.

    Args:
        dataset: config of a data set, or a data set.
        classes: a list, the name of a set, or a file (see `resolve_class_names`).

    Raises:
        ValueError: another number of names than the data set has classes.
    """

    def __init__(self, dataset: dict | Dataset[Any], classes: str | Sequence[str]) -> None:
        whole = _built(dataset)
        self._names = tuple(resolve_class_names(classes))
        old = whole.metainfo.get("classes")
        if old is not None and len(old) != len(self._names):
            raise ValueError(f"{type(whole).__name__} has {len(old)} classes, but {len(self._names)} names are given")
        super().__init__(whole, range(len(whole)))

    @property
    def metainfo(self) -> dict[str, Any]:
        """As of the whole data set, with the new names."""
        return {**self.dataset.metainfo, "classes": self._names}

    def get_cat_ids(self, idx: int) -> list[int]:
        """The label at position `idx`."""
        return [label_of(self.dataset, idx)]


@DATASETS.register_module()
class NumberedFolders(BaseDataset):
    """Pictures in folders whose names are the labels, such as those of ImageNet-V2.

    Folders are sorted as numbers: as text, '10' would come before '2' and every label be wrong.

    Args:
        data_root: folder of the folders `0`, `1`, ... Classes are called by their numbers; see `RenamedClasses`.
        pipeline, **kwargs: as in mmengine's BaseDataset.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: a folder whose name is no number, or no folders.
    """

    def __init__(self, data_root: str, pipeline: Sequence[Any] = (), **kwargs: Any) -> None:
        if not Path(data_root).is_dir():
            raise FileNotFoundError(f"folder {data_root} does not exist")
        folders = [path for path in Path(data_root).iterdir() if path.is_dir()]
        if wrong := sorted(path.name for path in folders if not path.name.isdecimal()):
            raise ValueError(f"{data_root}: folders must be called by their labels 0, 1, ..., found '{wrong[0]}'")
        if not folders:
            raise ValueError(f"{data_root} holds no folders of pictures")
        self._folders = sorted(folders, key=lambda path: int(path.name))
        names = tuple(map(str, range(int(self._folders[-1].name) + 1)))
        super().__init__(metainfo=dict(classes=names), pipeline=list(pipeline), **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """All items, by label and then by name."""
        return [
            dict(img_path=str(path), gt_label=int(folder.name))
            for folder in self._folders
            for path in sorted(folder.iterdir())
            if path.is_file()
        ]
