"""Pictures with captions of a person's own, small enough to be listed in memory."""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from mmengine.registry import DATASETS

from clipplus.data.caption_readers import Located, read_folder, read_jsonl, read_table
from clipplus.data.caption_records import captions_of
from clipplus.text.class_names import CLASS_SETS, resolve_class_names

Format = Literal["auto", "jsonl", "csv", "tsv", "folder"]
_FORMATS = ("auto", "jsonl", "csv", "tsv", "folder")
_SUFFIXES = {".jsonl": "jsonl", ".csv": "csv", ".tsv": "tsv"}
_CHECKED_BY_DEFAULT = 10_000
_OWN_FIELDS = ("key", "id", "image", "mask", "caption", "captions", "nouns", "types", "scores", "gt_label", "error")


def sample_id(key: str) -> int:
    """63 stable bits of a sample's key, the same in every process and on every machine."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little") >> 1


@DATASETS.register_module()
class CaptionDataset(BaseDataset):
    """Images with one or several captions each, from JSON lines, a table, or a folder.

    * `.jsonl` (or `.jsonl.gz`): `{"image": path, "captions": [text, ...]}` or `{"image": path, "caption": text}`;
      captions may be dicts with `source`, `kind`, `text`, `score`. Optional: `key` (or `id`), `gt_label`, `nouns` (a
      list of strings), `mask` (path of a segmentation mask beside the images).
    * `.csv`, `.tsv`: a header and one row per caption; rows that repeat an image add captions to it.
    * no `ann_file`: every image below the image folder with a text file of the same name, one caption per line.

    Items before the pipeline: `img_path`; `captions`, cleaned (see `caption_records`); `key`, the image's path as
    written unless the record names one; `sample_idx`; where given `gt_label`, `nouns`, and of a mask what mmseg's
    `LoadAnnotations` reads: `seg_map_path`, `seg_fields`, `reduce_zero_label`; `fields`, everything else of the record.

    Args:
        ann_file: one file or several; relative paths are looked up below `data_root`. '' reads a folder.
        data_root: root folder.
        data_prefix: `dict(img_path=...)`, the images' folder below `data_root`.
        format: 'auto' goes by the file's suffix.
        image_column: of tables.
        caption_columns: of tables; a dict from column to kind where they differ in kind.
        classes: names of the classes that `gt_label` counts: a list, a file below `data_root`, or the name of a set.
        check_images: look at the start whether all image files exist; None does for at most 10,000 images or in
            `test_mode` (asking a network disk for millions takes minutes; a missing one then shows when it is read).
        pipeline, test_mode, metainfo, **kwargs: as in `mmengine.dataset.BaseDataset`.

    Raises:
        FileNotFoundError: no such file or folder, or images that are missing.
        ValueError: unknown format, empty data, or a record that breaks a rule; names file, line and key.
    """

    def __init__(
        self,
        ann_file: str | Sequence[str] = "",
        data_root: str = "",
        data_prefix: Mapping[str, str] | None = None,
        format: Format = "auto",
        image_column: str = "image",
        caption_columns: Sequence[str] | Mapping[str, str] = ("caption",),
        classes: str | Sequence[str] | None = None,
        check_images: bool | None = None,
        pipeline: Sequence[Any] = (),
        test_mode: bool = False,
        metainfo: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if format not in _FORMATS:
            raise ValueError(f"unknown format '{format}'; known: {', '.join(_FORMATS)}")
        files = [ann_file] if isinstance(ann_file, str) else list(ann_file)
        self.ann_files = [str(Path(data_root) / file) for file in files if file]
        if not self.ann_files and not data_root:
            raise ValueError("CaptionDataset needs ann_file, or data_root with images and text files beside them")
        self.format = format
        self.image_column = image_column
        self.caption_columns = [caption_columns] if isinstance(caption_columns, str) else caption_columns
        self.check_images = check_images
        names = {} if classes is None else {"classes": tuple(self._class_names(classes, data_root))}
        super().__init__(
            ann_file="",
            metainfo={**(metainfo or {}), **names},
            data_root=data_root,
            data_prefix=dict(data_prefix or {"img_path": ""}),
            pipeline=list(pipeline),
            test_mode=test_mode,
            **kwargs,
        )

    @staticmethod
    def _class_names(classes: str | Sequence[str], data_root: str) -> list[str]:
        if isinstance(classes, str) and classes not in CLASS_SETS:
            classes = str(Path(data_root) / classes)
        return resolve_class_names(classes)

    def load_data_list(self) -> list[dict[str, Any]]:
        """All items in the order of the files; see the class."""
        samples: list[dict[str, Any]] = []
        lines: dict[str, str] = {}
        for where, record in self._records():
            sample = self._sample(where, record)
            first = lines.setdefault(sample["key"], where)
            if first is not where:
                raise ValueError(
                    f"{where}: key '{sample['key']}' was used before in {first}; keys must be unique "
                    f"(the image's path is the key of records without 'key')"
                )
            samples.append(sample)
        name = ", ".join(self.ann_files) or self.data_root
        if not samples:
            raise ValueError(f"no images with captions in {name}: check ann_file and data_root")
        check = self.check_images
        if check is None:
            check = self.test_mode or len(samples) <= _CHECKED_BY_DEFAULT
        if check:
            self._require_images(samples)
        captions = sum(len(sample["captions"]) for sample in samples)
        print_log(f"{name}: {len(samples):,} images, {captions:,} captions", logger="current", level=logging.INFO)
        return samples

    def _records(self) -> Iterator[tuple[str, dict[str, Any]]]:
        if not self.ann_files:
            yield from read_folder(str(Path(self.data_prefix.get("img_path") or self.data_root)))
        for file in self.ann_files:
            yield from self._read(file)

    def _read(self, file: str) -> Located:
        suffix = Path(file.removesuffix(".gz")).suffix.lower()
        kind = _SUFFIXES.get(suffix) if self.format == "auto" else self.format
        if kind == "jsonl":
            return read_jsonl(file)
        if kind in ("csv", "tsv"):
            return read_table(file, "," if kind == "csv" else "\t", self.image_column, self.caption_columns)
        if kind == "folder":
            raise ValueError(f"format 'folder' reads data_root and takes no ann_file, got '{file}'")
        raise ValueError(f"ann_file '{file}': unknown suffix '{suffix}'; state format='jsonl', 'csv' or 'tsv'")

    def _sample(self, where: str, record: dict[str, Any]) -> dict[str, Any]:
        image = record.get("image")
        if not isinstance(image, str) or not image:
            raise ValueError(f"{where}: 'image' must be the path of an image file, got {image!r:.80}")
        key = record.get("key") or record.get("id") or image
        if not isinstance(key, str):
            raise ValueError(f"{where}: 'key' must be a string, got {key!r:.80}")
        sample: dict[str, Any] = {
            "img_path": str(Path(self.data_prefix.get("img_path") or "") / image),
            "captions": captions_of(record, where),
            "key": key,
            "fields": {name: value for name, value in record.items() if name not in _OWN_FIELDS},
        }
        # Cells of tables are strings, and empty where an image has no label.
        if record.get("gt_label") not in (None, ""):
            sample["gt_label"] = self._label(where, key, record["gt_label"])
        if record.get("nouns") is not None:
            sample["nouns"] = _nouns(where, key, record["nouns"])
        if record.get("mask") not in (None, ""):
            sample |= self._mask(where, key, record["mask"])
        return sample

    def _mask(self, where: str, key: str, mask: Any) -> dict[str, Any]:
        if not isinstance(mask, str):
            raise ValueError(f"{where}: 'mask' must be the path of an image file, got {mask!r:.80} for key '{key}'")
        path = str(Path(self.data_prefix.get("img_path") or "") / mask)
        # Values count the classes as they are: 0 is a class too, the background where there is one.
        return {"seg_map_path": path, "seg_fields": [], "reduce_zero_label": False}

    def _label(self, where: str, key: str, label: Any) -> int:
        classes = self._metainfo.get("classes")
        if isinstance(label, str) and label.strip().isdigit():
            label = int(label)
        if isinstance(label, bool) or not isinstance(label, int) or label < 0 or (classes and label >= len(classes)):
            limit = f"an integer below {len(classes)} (the number of classes)" if classes else "an integer from 0"
            raise ValueError(f"{where}: 'gt_label' must be {limit}, got {label!r:.60} for key '{key}'")
        return label

    def _require_images(self, samples: Sequence[dict[str, Any]]) -> None:
        paths = [sample[name] for sample in samples for name in ("img_path", "seg_map_path") if name in sample]
        missing = [path for path in paths if not Path(path).exists()]
        if missing:
            raise FileNotFoundError(
                f"{len(missing)} of {len(paths)} image files are missing, first: {', '.join(missing[:5])}; paths are "
                f"taken below data_root='{self.data_root}' and data_prefix=dict(img_path=...)"
            )


def _nouns(where: str, key: str, nouns: Any) -> list[str]:
    # A table's cell would be a string, whose letters a loop would take for nouns.
    if not isinstance(nouns, list) or not all(isinstance(noun, str) for noun in nouns):
        raise ValueError(f"{where}: 'nouns' must be a list of strings, got {nouns!r:.80} for key '{key}'")
    return nouns
