"""Training and validation on stored features: batches that all ranks share, and data sets of features.

Shape letters of this file: A views of every image, N images, D channels of a feature, W ranks, K micro-steps.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from mmengine.registry import MODEL_WRAPPERS, OPTIM_WRAPPERS, OPTIMIZERS
from mmpretrain.registry import DATA_SAMPLERS, OPTIM_WRAPPER_CONSTRUCTORS
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torch.optim import SGD
from torch.utils.data import Dataset

from clipplus.data import GlobalBatches, KeyedDataset
from clipplus.evaluation import ImageFeatures


@DATA_SAMPLERS.register_module()
class ReplicatedBatches(GlobalBatches):
    """The whole global batch on every rank, so that any number of ranks computes the same numbers to the last bit.

    For models that are so small, on data so small, that sharing the work would cost more than doing it. The last batch
    of an epoch may be smaller, as in the published trainings; with accumulation the rest is left out.

    Args:
        sampler: an `EpochOrder`.
        batch_size: samples per rank and micro-step; the global batch is W * K times as large, as in other trainings.
    """

    #: Every rank sees what all see.
    replicated = True

    def _check_size(self) -> None:
        """Nothing: a batch may be larger than the data."""

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        """Batches of (epoch, index), K per update."""
        order, known = np.empty(0, dtype=np.int64), -1
        for update in range(self.start, self.start + len(self) if self.stop is None else self.stop):
            epoch, position = divmod(update, len(self))
            if epoch != known:
                order, known = self.sampler.order(epoch), epoch
            whole = order[position * self.global_batch_size :][: self.global_batch_size]
            for part in np.array_split(whole, self.accumulation) if self.accumulation > 1 else [whole]:
                yield [(epoch, int(index)) for index in part]

    def __len__(self) -> int:
        """Updates per epoch."""
        whole, rest = divmod(len(self.sampler), self.global_batch_size)
        return whole + bool(rest) if self.accumulation == 1 or not whole else whole


# mmengine looks wrappers up in its own registry only.
@MODEL_WRAPPERS.register_module()
class ReplicatedModel(nn.Module):
    """Stands for a distributed model where every rank takes the same steps on the same batches: nothing to exchange.

    It takes the place of DDP, which refuses models without trainable parameters, also in a test.

    Args:
        module: the model.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *arguments: Any, **named: Any) -> Any:
        """As the model."""
        return self.module(*arguments, **named)

    def train_step(self, *arguments: Any, **named: Any) -> Any:
        """As the model."""
        return self.module.train_step(*arguments, **named)  # type: ignore[operator]

    def val_step(self, *arguments: Any, **named: Any) -> Any:
        """As the model."""
        return self.module.val_step(*arguments, **named)  # type: ignore[operator]

    def test_step(self, *arguments: Any, **named: Any) -> Any:
        """As the model."""
        return self.module.test_step(*arguments, **named)  # type: ignore[operator]


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class FewShotOptimWrapperConstructor:
    """One group of what trains, all of it decayed (as published: the keys' weights, a vector, are too).

    A head without anything to train gets an optimiser of nothing, since mmengine's Runner wants one.

    Args:
        optim_wrapper_cfg: the `optim_wrapper` of the config.
        paramwise_cfg: must be empty.

    Raises:
        ValueError: a `paramwise_cfg`.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        if paramwise_cfg:
            raise ValueError("FewShotOptimWrapperConstructor has one fixed rule: remove paramwise_cfg")
        self.config = dict(optim_wrapper_cfg)

    def __call__(self, model: nn.Module) -> Any:
        """Build optimiser and wrapper for `model`."""
        config = dict(self.config)
        config.setdefault("type", "OptimWrapper")
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        options = dict(config.pop("optimizer", None) or dict(type="SGD", lr=0.0))
        if trained:
            optimizer: Any = OPTIMIZERS.build({**options, "params": trained})
        else:
            optimizer = SGD([nn.Parameter(next(model.buffers()).new_zeros(1).float())], lr=0.0)
        return OPTIM_WRAPPERS.build(config, default_args=dict(optimizer=optimizer))


class StoredFeatures(Dataset[Any]):
    """Features of a data set as its samples: items are `inputs` (D,) and a `DataSample`.

    Args:
        content: (A, N, D) features with labels and ids.
        classes: names of the classes.
    """

    def __init__(self, content: ImageFeatures, classes: Sequence[str] | None) -> None:
        self.content = content
        self.metainfo: dict[str, Any] = {} if classes is None else dict(classes=tuple(classes))

    def full_init(self) -> None:
        """Already done."""

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Label and name of an image."""
        return dict(gt_label=int(self.content.labels[index]), key=self.content.ids[index], sample_idx=index)

    def get_cat_ids(self, idx: int) -> list[int]:
        """The label at position `idx`."""
        return [int(self.content.labels[idx])]

    def view(self, view: int, index: int) -> dict[str, Any]:
        """One view of an image."""
        feature: Tensor = self.content.features[view % len(self.content.features), index].float()
        known = dict(sample_idx=index, key=self.content.ids[index])
        sample = DataSample(metainfo=known).set_gt_label(int(self.content.labels[index]))
        return dict(inputs=feature, data_samples=sample)

    def __len__(self) -> int:
        return len(self.content.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.view(0, index)


class StoredViews(KeyedDataset):
    """Stored features in training: epoch e sees view e mod A of every image.

    Args:
        dataset: the features.
    """

    dataset: StoredFeatures

    def __getitem__(self, key: tuple[int, int] | int) -> Any:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        return self.dataset.view(epoch, index)
