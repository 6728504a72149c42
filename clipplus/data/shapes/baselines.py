"""What a look at the colours alone achieves: a baseline that every CLIP on these scenes must beat.

A ridge regression from an image's RGB histogram to the bag of words of its caption; classes and captions are then
ranked by the cosine between predicted and actual bags of words.
Shape letters of this file: S scenes, F histogram bins, W words.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

_BINS = 4


def colour_histogram(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Share of the pixels in each of 4 x 4 x 4 RGB cells, (64,)."""
    cells = (image.reshape(-1, 3) // (256 // _BINS)).astype(np.int64) @ np.array([_BINS * _BINS, _BINS, 1])
    return (np.bincount(cells, minlength=_BINS**3) / len(cells)).astype(np.float32)


def bags_of_words(texts: Sequence[str], words: Sequence[str]) -> Float[Tensor, "S W"]:
    """Which of `words` each text contains, as rows of length one."""
    position = {word: column for column, word in enumerate(words)}
    bags = torch.zeros(len(texts), len(words))
    for row, text in enumerate(texts):
        for word in text.lower().replace(".", " ").replace(",", " ").split():
            if word in position:
                bags[row, position[word]] = 1.0
    return torch.nn.functional.normalize(bags, dim=1)


def ridge(features: Float[Tensor, "S F"], targets: Float[Tensor, "S W"], penalty: float) -> Float[Tensor, "F+1 W"]:
    """Weights of the linear map, last row the constant, that minimises squared error + penalty * squared weights."""
    extended = torch.cat([features, torch.ones(len(features), 1)], dim=1).double()
    gram = extended.T @ extended + penalty * torch.eye(extended.shape[1], dtype=torch.float64)
    return torch.linalg.solve(gram, extended.T @ targets.double()).float()


def apply_ridge(features: Float[Tensor, "S F"], weights: Float[Tensor, "F+1 W"]) -> Float[Tensor, "S W"]:
    """Predictions of `ridge`'s map as rows of length one."""
    return torch.nn.functional.normalize(features @ weights[:-1] + weights[-1], dim=1)
