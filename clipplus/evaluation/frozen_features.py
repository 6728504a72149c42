"""Features of a labelled data set under a frozen model: what probes and neighbours are trained on.

Shape letters of this file: S samples, E feature width.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from mmengine.dist import all_gather_object, is_main_process
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from clipplus.evaluation.loaders import readable_size
from clipplus.evaluation.set_metric import sample_field


class LabelledFeatures(NamedTuple):
    """Features with their labels, in ascending order of sample ids.

    Attributes:
        features: (S, E) float32 on the CPU, the model's `image_embedding`.
        labels: (S,) int64.
    """

    features: Tensor
    labels: Tensor


def labelled_record(sample: BaseDataElement | dict, where: str) -> dict[str, Any]:
    """Id, label and feature of a predicted sample.

    Args:
        sample: with `sample_idx`, `gt_label` and `image_embedding`.
        where: what the sample belongs to, for the message.

    Raises:
        ValueError: no label.
    """
    sample_id, label = sample_field(sample, "sample_idx"), sample_field(sample, "gt_label")
    if label is None or sample_id is None:
        raise ValueError(
            f"{where} needs gt_label and sample_idx in every sample: use a data set with labels and a packer that "
            "keeps both, e.g. mmpretrain.PackInputs"
        )
    feature = sample_field(sample, "image_embedding").float().cpu()
    return dict(sample_id=int(sample_id), label=int(label), feature=feature)


def stack_records(records: Sequence[dict[str, Any]]) -> LabelledFeatures:
    """Records of `labelled_record`, in the order given."""
    return LabelledFeatures(
        torch.stack([record["feature"] for record in records]), torch.tensor([record["label"] for record in records])
    )


@torch.no_grad()
def extract_features(model: BaseModel, loader: DataLoader, where: str) -> LabelledFeatures:
    """Features of all samples of a loader's data set; every rank embeds its share and gets the whole.

    Gathered by sample id: the same for every batch size, number of workers and ranks, up to rounding.

    Args:
        model: in evaluation mode; its `test_step` fills `image_embedding`.
        loader: of `build_evaluation_loader`.
        where: what the loader belongs to, for the bar and messages.

    Raises:
        ValueError: a sample without label.
        RuntimeError: sample ids that are not unique.
    """
    own = [
        labelled_record(sample, where)
        for batch in tqdm(loader, where, disable=not is_main_process() or len(loader) < 20)
        if batch is not None
        for sample in model.test_step(batch)
    ]
    # Samplers pad the shares of ranks to equal lengths: ids tell which samples are repeated.
    by_id = {record["sample_id"]: record for records in all_gather_object(own) for record in records}
    size = readable_size(loader)
    if len(by_id) != size:
        raise RuntimeError(f"{where} has {size} samples, but {len(by_id)} different sample ids arrived")
    return stack_records([by_id[key] for key in sorted(by_id)])
