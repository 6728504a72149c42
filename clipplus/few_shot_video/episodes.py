"""Which videos an episode is made of: a pure function of where it stands and what it is like.

Shape letters of this file: W ways, S supports, Q queries, N videos of a class.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Videos = NDArray[np.int64]


@dataclass(frozen=True)
class EpisodeShape:
    """How an episode is built.

    Args:
        way: classes of an episode.
        shots: labelled videos of each class; a sequence of `way` numbers gives the classes different ones.
        queries: videos of each class that are to be recognised.

    Raises:
        ValueError: fewer than 2 ways, or less than one shot or query.
    """

    way: int
    shots: int | tuple[int, ...]
    queries: int

    def __post_init__(self) -> None:
        if self.way < 2:
            raise ValueError(f"an episode needs at least 2 ways, got way={self.way}")
        if isinstance(self.shots, Sequence):
            object.__setattr__(self, "shots", tuple(self.shots))
        counts = self.shots_of_way
        if len(counts) != self.way or min(counts) < 1:
            raise ValueError(f"shots must be a number from 1, or one for each of the {self.way} ways, got {self.shots}")
        if self.queries < 1:
            raise ValueError(f"an episode needs at least one query per class, got queries={self.queries}")

    @property
    def shots_of_way(self) -> tuple[int, ...]:
        """Shots of every way."""
        return (self.shots,) * self.way if isinstance(self.shots, int) else self.shots

    @property
    def videos_per_class(self) -> int:
        """The most videos that an episode takes of one class."""
        return max(self.shots_of_way) + self.queries


@dataclass(frozen=True)
class EpisodeKey:
    """Where an episode stands.

    Attributes:
        seed: of the run in training, of the data set in evaluation.
        split: name of the split; another split's episodes have nothing in common with these.
        epoch: of the training; 0 in evaluation.
        index: number of the episode.
    """

    seed: int
    split: str
    epoch: int
    index: int


@dataclass(frozen=True)
class Episode:
    """An episode as video numbers of its data set.

    Attributes:
        way_class: (W,) class ids; a class's position is its label.
        support, query: (S,) and (Q,) videos.
        support_label, query_label: their labels, 0..W-1.
    """

    way_class: Videos
    support: Videos
    support_label: Videos
    query: Videos
    query_label: Videos

    @property
    def videos(self) -> list[int]:
        """All videos, supports first."""
        return [*self.support.tolist(), *self.query.tolist()]


def draw_episode(
    videos_of_class: Sequence[Videos], shape: EpisodeShape, key: EpisodeKey, unreadable: Collection[int] = ()
) -> Episode:
    """The episode at `key`: it depends on nothing but the arguments.

    Ways are drawn without replacement. Of each class the videos are put into a random order; the first readable ones
    are its supports and those after them its queries, so that a video that cannot be read is replaced by the next one
    and all others stay where they are. Supports and queries are then shuffled, each among themselves.

    Args:
        videos_of_class: videos of every class, (N,) each.
        shape: ways, shots, queries.
        key: where the episode stands.
        unreadable: videos to pass over.

    Raises:
        ValueError: a drawn class has too few readable videos.
    """
    rng = _generator(key, shape)
    classes = rng.permutation(len(videos_of_class))[: shape.way]
    supports, queries = [], []
    for way_class, shots in zip(classes, shape.shots_of_way, strict=True):
        order = rng.permutation(videos_of_class[way_class])
        readable = [video for video in order.tolist() if video not in unreadable] if unreadable else order.tolist()
        if len(readable) < shots + shape.queries:
            raise ValueError(
                f"class {way_class} of split '{key.split}' has {len(readable)} readable videos, too few for "
                f"shots={shots} and queries={shape.queries}"
            )
        supports.append(readable[:shots])
        queries.append(readable[shots : shots + shape.queries])
    support, support_label = _shuffled(supports, rng)
    query, query_label = _shuffled(queries, rng)
    return Episode(classes.astype(np.int64), support, support_label, query, query_label)


def require_enough(videos_of_class: Sequence[Videos], names: Sequence[str], shape: EpisodeShape, where: str) -> None:
    """Check once that every class can be drawn.

    Args:
        videos_of_class: videos of every class.
        names: of the classes.
        shape: of the episodes.
        where: what holds the videos, for messages.

    Raises:
        ValueError: more ways than classes, or a class with too few videos; names it.
    """
    if shape.way > len(videos_of_class):
        raise ValueError(f"{where} has {len(videos_of_class)} classes, too few for way={shape.way}")
    needed = shape.videos_per_class
    for number, videos in enumerate(videos_of_class):
        if len(videos) < needed:
            raise ValueError(
                f"{where}: class {number} '{names[number]}' has {len(videos)} videos, but shots={shape.shots} and "
                f"queries={shape.queries} take {needed}"
            )


def _generator(key: EpisodeKey, shape: EpisodeShape) -> np.random.Generator:
    """Counter-based: the generator of an episode needs none of those before it."""
    text = repr(("episode", key.seed, key.split, key.epoch, key.index, shape.way, shape.shots, shape.queries))
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


def _shuffled(videos_of_way: list[list[int]], rng: np.random.Generator) -> tuple[Videos, Videos]:
    """All videos of all ways in random order, and the way of each."""
    videos = np.array([video for videos in videos_of_way for video in videos], dtype=np.int64)
    labels = np.repeat(np.arange(len(videos_of_way)), [len(videos) for videos in videos_of_way]).astype(np.int64)
    order = rng.permutation(len(videos))
    return videos[order], labels[order]
