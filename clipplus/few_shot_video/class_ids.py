"""Which classes of their split the clips of episodes show: rows of the class texts.

Shape letters of this file: E episodes, N clips.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from clipplus.few_shot_video.episode_sample import EpisodeDataSample


def class_ids(data_samples: Sequence[EpisodeDataSample], field: str, known: int) -> Int[Tensor, "E N"]:
    """The class ids that every sample has in a field, on the CPU.

    Args:
        data_samples: E of them.
        field: 'support_class' or 'query_class'.
        known: number of classes that have a text.

    Raises:
        ValueError: an id without text.
    """
    ids = torch.stack([sample.get(field) for sample in data_samples]).cpu()
    if int(ids.min()) < 0 or int(ids.max()) >= known:
        worst = int(ids.max()) if int(ids.max()) >= known else int(ids.min())
        raise ValueError(
            f"{field} {worst} has no text: there are texts for {known} classes (0..{known - 1}); does classes_file "
            "name all classes of this split?"
        )
    return ids
