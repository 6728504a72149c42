"""Which class text belongs to which support and which column of an episode.

Shape letters of this file: E episodes, S supports, W ways, D joint width, C classes.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clipplus.few_shot_video import EpisodeDataSample, Ways


def support_texts(
    class_text: Float[Tensor, "C D"], data_samples: Sequence[EpisodeDataSample], like: Tensor
) -> Float[Tensor, "E S D"]:
    """The text of each support's class, with the dtype and device of `like`.

    Raises:
        ValueError: a class without text.
    """
    classes = class_ids(data_samples, "support_class", len(class_text))
    return class_text.to(like)[classes.to(like.device, non_blocking=True)]


def way_classes(data_samples: Sequence[EpisodeDataSample], ways: Ways) -> Int[Tensor, "E W"]:
    """Class ids of the columns, on the CPU.

    Raises:
        ValueError: supports of one label with different classes.
    """
    classes = torch.stack([sample.support_class for sample in data_samples]).cpu()
    of_way = torch.zeros_like(ways.labels).scatter_(1, ways.position, classes)
    if not bool((of_way.gather(1, ways.position) == classes).all()):
        raise ValueError(f"supports of one label have different classes: {classes.tolist()}")
    return of_way


def class_ids(data_samples: Sequence[EpisodeDataSample], field: str, known: int) -> Int[Tensor, "E N"]:
    """The class ids that every sample has in a field, on the CPU.

    Raises:
        ValueError: one that has no text.
    """
    ids = torch.stack([getattr(sample, field) for sample in data_samples]).cpu()
    if int(ids.min()) < 0 or int(ids.max()) >= known:
        worst = int(ids.max()) if int(ids.max()) >= known else int(ids.min())
        raise ValueError(f"{field} {worst} has no text: there are texts for {known} classes (0..{known - 1})")
    return ids
