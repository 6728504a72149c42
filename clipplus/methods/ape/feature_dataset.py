"""Features in the place of pictures, as a data set.

Shape letters of this file: A views of every image, N images, D channels of a feature.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmpretrain.registry import DATASETS
from mmpretrain.structures import DataSample
from safetensors import SafetensorError, safe_open
from torch.utils.data import Dataset

from clipplus.checkpoints.provenance import file_fingerprint
from clipplus.text.class_names import resolve_class_names


@DATASETS.register_module()
class FeatureDataset(Dataset[Any]):
    """Features in the place of pictures: what a tower said once, without the tower.

    Items: `inputs` (D,) float32, and a `DataSample` with `gt_label` and `sample_idx`.

    Args:
        path: safetensors file with `features` (N, D), or `raw` (A, N, D) for A views of every picture, and `labels`
            (N,). `clipplus ape import` writes them. `{num_shots}` in it is replaced.
        num_shots: K of a cache's file, which a table may vary.
        classes: names of the classes.
        view: which view of a `raw` file.

    Attributes:
        features: (N, D), as stored.
        labels: (N,) int64.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a truncated file, other contents, or labels that do not fit.
    """

    def __init__(
        self, path: str, classes: str | Sequence[str] | None = None, view: int = 0, num_shots: int | None = None
    ) -> None:
        if num_shots is not None:
            path = path.format(num_shots=num_shots)
        if not Path(path).is_file():
            raise FileNotFoundError(f"feature file {path} does not exist (clipplus ape import makes it)")
        try:
            with safe_open(path, framework="pt") as file:
                known = set(file.keys())
                if "labels" not in known or not known & {"features", "raw"}:
                    raise ValueError(
                        f"feature file {path} must hold features (or raw) and labels, found {sorted(known)}"
                    )
                self.labels = file.get_tensor("labels").long()
                features = file.get_tensor("features") if "features" in known else file.get_tensor("raw")[view]
        except SafetensorError as error:
            raise ValueError(f"feature file {path} is truncated or no safetensors file ({error})") from error
        self.features = features
        if features.shape[:1] != self.labels.shape:
            raise ValueError(f"{path}: {len(features)} features, but labels of shape {tuple(self.labels.shape)}")
        highest = int(self.labels.max())
        names = tuple(map(str, range(highest + 1))) if classes is None else tuple(resolve_class_names(classes))
        if highest >= len(names):
            raise ValueError(f"{path}: label {highest} is beyond the {len(names)} classes")
        # Names of samples tell one content of a file from another.
        self._digest = file_fingerprint(Path(path))[:16]
        self.metainfo: dict[str, Any] = dict(classes=names)

    def full_init(self) -> None:
        """Already done."""

    def get_data_info(self, index: int) -> dict[str, Any]:
        """A sample as `pipeline` takes it."""
        return dict(
            feature=self.features[index],
            gt_label=int(self.labels[index]),
            key=f"{self._digest}#{index}",
            sample_idx=index,
        )

    def get_cat_ids(self, idx: int) -> list[int]:
        """The label at position `idx`."""
        return [int(self.labels[idx])]

    def pipeline(self, info: dict[str, Any]) -> dict[str, Any]:
        """A packed item from what `get_data_info` told."""
        sample = DataSample(metainfo=dict(sample_idx=info["sample_idx"])).set_gt_label(info["gt_label"])
        return dict(inputs=info["feature"].to(torch.float32), data_samples=sample)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Any:
        return self.pipeline(self.get_data_info(index))
