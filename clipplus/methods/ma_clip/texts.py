"""Which class text belongs to which support and which column of an episode.

Shape letters of this file: E episodes, S supports, W ways, D joint width, C classes.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clipplus.few_shot_video import EpisodeDataSample, Ways
from clipplus.few_shot_video.class_ids import class_ids


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
