"""What matchers that compare clips frame by frame have in common.

Shape letters of this file: E episodes, Q queries, S supports, W ways, T frames of a query, U frames of a support, D
channels.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from clipplus.few_shot_video.distances import (
    Similarity,
    at_least_float32,
    frame_distances,
    require_eps,
    require_similarity,
)
from clipplus.few_shot_video.ways import Shots, Ways, mean_over_shots, require_shots


class FrameMatcher(nn.Module, ABC):
    """Distances between queries and classes that are made of distances between frames.

    Args:
        eps, similarity: see `frame_distances`.
        shots: 'prototype_mean' averages the features of a class frame by frame, 'distance_mean' the distances to its
            shots. Every class has the same weight, however many shots it has.

    Raises:
        ValueError: negative `eps`, unknown `similarity` or `shots`.
    """

    #: Whether pairs of frames follow each other in time.
    ordered = False

    def __init__(
        self, eps: float = 0.01, similarity: Similarity = "eps_product", shots: Shots = "prototype_mean"
    ) -> None:
        super().__init__()
        require_eps(eps)
        require_similarity(similarity)
        require_shots(shots)
        self.eps = eps
        self.similarity: Similarity = similarity
        self.shots: Shots = shots

    @abstractmethod
    def clip_distance(self, dist: Tensor) -> Tensor:
        """Distances (...) of pairs of clips from those of their frames (..., T, U)."""

    def forward(self, query: Tensor, support: Tensor, support_label: Tensor) -> Tensor:
        """Distances between queries and classes, in float32 at least.

        Args:
            query: (E, Q, T, D), not normalised.
            support: (E, S, U, D) in any order, or (E, Q, S, U, D) where supports depend on the query.
            support_label: (E, S) integers; on the CPU nothing waits for a device.

        Returns:
            (E, Q, W), columns by ascending label.

        Raises:
            ValueError: shapes that do not fit; names them.
        """
        clips_EQS = self.clip_distance(self.between_frames(query, support, support_label))
        if self.shots == "prototype_mean":
            return clips_EQS
        with torch.autocast(query.device.type, enabled=False):
            return mean_over_shots(clips_EQS, Ways.of(support_label), dim=2)

    def between_frames(self, query: Tensor, support: Tensor, support_label: Tensor) -> Tensor:
        """Distances between frames: (E, Q, W, T, U) to prototypes, or (E, Q, S, T, U) where `shots='distance_mean'`.

        Arguments and errors as `forward`.
        """
        ways = Ways.of(support_label)
        require_clips(query, support, support_label)
        with torch.autocast(query.device.type, enabled=False):
            support = at_least_float32(support)
            if self.shots == "prototype_mean":
                support = mean_over_shots(support, ways, dim=support.dim() - 3)
            return frame_distances(query, support, self.eps, self.similarity)


def require_clips(query: Tensor, support: Tensor, support_label: Tensor) -> None:
    """Check what every matcher is given.

    Raises:
        ValueError: shapes that do not fit; names them.
    """
    shapes = f"query {tuple(query.shape)}, support {tuple(support.shape)}, support_label {tuple(support_label.shape)}"
    if query.dim() != 4 or support.dim() not in (4, 5):
        raise ValueError(
            "expected query (episodes, queries, frames, channels) and support (episodes, supports, frames, channels), "
            f"or (episodes, queries, supports, frames, channels), got {shapes}"
        )
    if 0 in query.shape or 0 in support.shape:
        raise ValueError(f"an episode has no queries, supports or frames: {shapes}")
    if query.shape[-1] != support.shape[-1]:
        raise ValueError(f"queries and supports have features of different widths: {shapes}")
    counts = [query.shape[0], support.shape[-3]]
    if [support.shape[0], *support_label.shape] != [query.shape[0], *counts]:
        raise ValueError(f"numbers of episodes or supports differ: {shapes}")
    if support.dim() == 5 and support.shape[1] != query.shape[1]:
        raise ValueError(f"supports are given for another number of queries: {shapes}")
