"""Episodes: what they are made of, and that nothing but their place decides it."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.dataset import DefaultSampler

from clipplus.data import EpochOrder, GlobalBatches
from clipplus.few_shot_video import Episode, EpisodeKey, EpisodeShape, draw_episode
from clipplus.few_shot_video.episodes import require_enough

SHAPE = EpisodeShape(way=3, shots=2, queries=1)
KEY = EpisodeKey(seed=0, split="test", epoch=0, index=0)


def videos(*counts: int) -> list[np.ndarray]:
    """So many videos of each class."""
    return np.split(np.arange(sum(counts)), np.cumsum(counts)[:-1])


def key(**changes: object) -> EpisodeKey:
    return EpisodeKey(**{**KEY.__dict__, **changes})  # type: ignore[arg-type]


def content(episode: Episode) -> list[list[int]]:
    return [part.tolist() for part in episode.__dict__.values()]


@settings(max_examples=30, deadline=None)
@given(way=st.integers(2, 10), shots=st.integers(1, 5), queries=st.integers(1, 4), index=st.integers(0, 10**6))
def test_an_episode_has_its_ways_shots_and_queries_and_no_video_twice(
    way: int, shots: int, queries: int, index: int
) -> None:
    of_class = videos(*[9 + number % 4 for number in range(12)])
    episode = draw_episode(of_class, EpisodeShape(way, shots, queries), key(index=index))
    assert len(set(episode.way_class.tolist())) == way
    assert len(set(episode.videos)) == way * (shots + queries)
    for labels, found, each in (
        (episode.support_label, episode.support, shots),
        (episode.query_label, episode.query, queries),
    ):
        assert np.bincount(labels, minlength=way).tolist() == [each] * way
        for video, label in zip(found, labels, strict=True):
            assert video in of_class[episode.way_class[label]]


def test_ways_may_have_different_shots() -> None:
    episode = draw_episode(videos(9, 9, 9, 9), EpisodeShape(3, (2, 1, 3), 1), KEY)
    assert np.bincount(episode.support_label).tolist() == [2, 1, 3]


def test_the_same_place_gives_the_same_episode() -> None:
    of_class = videos(9, 9, 9, 9)
    assert content(draw_episode(of_class, SHAPE, KEY)) == content(draw_episode(of_class, SHAPE, KEY))


@pytest.mark.parametrize("change", [dict(seed=1), dict(split="val"), dict(epoch=1), dict(index=1)], ids=str)
def test_another_place_gives_another_episode(change: dict) -> None:
    of_class = videos(*[30] * 12)
    assert content(draw_episode(of_class, SHAPE, key(**change))) != content(draw_episode(of_class, SHAPE, KEY))


def test_episodes_of_another_shape_are_others_altogether() -> None:
    """So that 1-shot and 5-shot results do not share their luck."""
    of_class = videos(*[30] * 12)
    ways = [draw_episode(of_class, EpisodeShape(3, shots, 1), KEY).way_class.tolist() for shots in (1, 2, 3)]
    assert ways[0] != ways[1] or ways[1] != ways[2]


def test_supports_come_in_random_order() -> None:
    orders = {tuple(draw_episode(videos(9, 9, 9), SHAPE, key(index=i)).support_label.tolist()) for i in range(20)}
    assert len(orders) > 10


def test_classes_are_drawn_alike_often() -> None:
    of_class = videos(*[5] * 8)
    drawn = np.concatenate([draw_episode(of_class, SHAPE, key(index=i)).way_class for i in range(2000)])
    share = np.bincount(drawn) / len(drawn)
    # Four deviations of a share of 1/8 in 2,000 episodes of 3.
    assert np.abs(share - 1 / 8).max() < 4 * np.sqrt(1 / 8 * 7 / 8 / 2000 / 3)


@given(lost=st.sets(st.integers(0, 35), max_size=6), index=st.integers(0, 200))
@settings(max_examples=40, deadline=None)
def test_an_unreadable_video_is_replaced_and_all_others_stay(lost: set[int], index: int) -> None:
    of_class = videos(9, 9, 9, 9)
    whole = draw_episode(of_class, SHAPE, key(index=index))
    repaired = draw_episode(of_class, SHAPE, key(index=index), unreadable=lost)
    assert not lost & set(repaired.videos)
    assert len(repaired.support) == 6
    assert len(repaired.query) == 3
    assert repaired.way_class.tolist() == whole.way_class.tolist()
    assert repaired.support_label.tolist() == whole.support_label.tolist()
    if not lost & set(whole.videos):
        assert content(repaired) == content(whole)


def test_a_class_with_too_few_readable_videos_is_named() -> None:
    message = r"class \d of split 'test' has 2 readable videos, too few for shots=2 and queries=1"
    with pytest.raises(ValueError, match=message):
        draw_episode(videos(3, 3, 3), SHAPE, KEY, unreadable={0, 3, 6})


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (dict(way=1, shots=1, queries=1), "an episode needs at least 2 ways, got way=1"),
        (dict(way=3, shots=0, queries=1), "shots must be a number from 1, or one for each of the 3 ways, got 0"),
        (dict(way=3, shots=(1, 2), queries=1), r"one for each of the 3 ways, got \(1, 2\)"),
        (dict(way=3, shots=1, queries=0), "at least one query per class, got queries=0"),
    ],
)
def test_shapes_that_are_no_episodes_are_refused(shape: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EpisodeShape(**shape)


def test_too_few_classes_or_videos_are_named() -> None:
    with pytest.raises(ValueError, match=r"list\.txt has 2 classes, too few for way=3"):
        require_enough(videos(9, 9), ["a", "b"], SHAPE, "list.txt")
    message = "list.txt: class 1 'walk' has 2 videos, but shots=2 and queries=1 take 3"
    with pytest.raises(ValueError, match=re.escape(message)):
        require_enough(videos(9, 2, 9), ["run", "walk", "jump"], SHAPE, "list.txt")


# ------------------------------------------------------------------------------------------ ranks, and going on later


def batches_of(rank: int, ranks: int, number: int, batch_size: int, start: int = 0) -> list[list[tuple[int, int]]]:
    order = EpochOrder(range(number), seed=5)
    batches = GlobalBatches(order, batch_size)
    batches.rank, batches.world_size, batches.start = rank, ranks, start
    batches.stop = 2 * len(batches)
    return list(batches)


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 8])
def test_ranks_see_disjoint_episodes_whose_union_is_the_list_of_one_rank(ranks: int) -> None:
    """Two epochs of 100 episodes in global batches of 24, which does not divide them."""
    of_class = videos(*[30] * 12)
    alone = batches_of(0, 1, 100, 24)
    parts = [batches_of(rank, ranks, 100, 24 // ranks) for rank in range(ranks)]
    for update, batch in enumerate(alone):
        shares = [part[update] for part in parts]
        assert [place for share in shares for place in share] == batch
        assert sum(len(set(share)) for share in shares) == len(set(batch))
        drawn = [
            {str(content(draw_episode(of_class, SHAPE, EpisodeKey(5, "train", *place)))) for place in share}
            for share in shares
        ]
        assert len(set.union(*drawn)) == sum(map(len, drawn)) == 24


def test_a_run_that_goes_on_at_an_update_sees_what_it_would_have_seen() -> None:
    whole = batches_of(0, 2, 100, 6)
    assert batches_of(0, 2, 100, 6, start=5) == whole[5:]


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 8])
def test_ranks_of_an_evaluation_share_ten_thousand_episodes(ranks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left over is made up for by episodes from the beginning, which the metric counts once, by their id."""
    shares = []
    for rank in range(ranks):
        monkeypatch.setattr("mmengine.dataset.sampler.get_dist_info", lambda rank=rank: (rank, ranks))
        shares.append(list(DefaultSampler(range(10_000), shuffle=False)))
    padding = -10_000 % ranks
    assert {len(share) for share in shares} == {(10_000 + padding) // ranks}
    together = [number for group in zip(*shares, strict=True) for number in group]
    assert together == [*range(10_000), *range(padding)]


@pytest.mark.parametrize("ranks", [2, 3, 4, 8])
def test_ranks_share_ten_thousand_episodes_that_they_do_not_divide(ranks: int) -> None:
    parts = [batches_of(rank, ranks, 10_000, 24 // ranks) for rank in range(ranks)]
    together = [[place for share in shares for place in share] for shares in zip(*parts, strict=True)]
    assert together == batches_of(0, 1, 10_000, 24)
    epoch = [place for part in parts for batch in part[: 10_000 // 24] for place in batch]
    assert len(set(epoch)) == len(epoch) == 10_000 // 24 * 24
