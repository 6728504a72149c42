"""From loaded episodes to pixels: what is drawn, from what, and for whom."""

from typing import Any

import pytest
import torch

from clipplus.few_shot_video import EpisodeDataSample, FewShotDataPreprocessor

SHOTS, QUERIES = 3, 2


def episode(seed: int = 0, frames: int = 2, side: int = 12, queries: int = QUERIES) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    clips = torch.randint(0, 256, (SHOTS + queries, frames, 3, side, side), generator=generator, dtype=torch.uint8)
    sample = EpisodeDataSample(
        support_label=torch.arange(SHOTS), query_label=torch.zeros(queries, dtype=torch.long),
        aug_seed=torch.arange(SHOTS + queries) + 100 * seed,
    )  # fmt: skip
    return dict(inputs=clips, data_samples=sample)


def batch(*episodes: dict[str, Any]) -> dict[str, Any]:
    return {key: [part[key] for part in episodes] for key in ("inputs", "data_samples")}


def pixels(options: dict[str, Any], *episodes: dict[str, Any], training: bool = True) -> torch.Tensor:
    return FewShotDataPreprocessor(**options)(batch(*episodes), training)["inputs"]


def test_plain_pixels_are_stacked_and_normalised() -> None:
    first, second = episode(0), episode(1)
    found = pixels(dict(mean=(10, 20, 30), std=(2, 4, 5)), first, second)
    expected = torch.stack([first["inputs"], second["inputs"]]).float()
    expected = (expected - torch.tensor([10.0, 20, 30])[:, None, None]) / torch.tensor([2.0, 4, 5])[:, None, None]
    torch.testing.assert_close(found, expected)


def test_training_crops_every_clip_somewhere_and_evaluation_in_the_middle() -> None:
    options = dict(mean=(0, 0, 0), std=(1, 1, 1), crop=8)
    clip = torch.arange(12 * 12, dtype=torch.uint8).view(1, 1, 1, 12, 12).expand(5, 2, 3, 12, 12)
    data = [episode(seed) | dict(inputs=clip) for seed in range(6)]
    middle = pixels(options, *data, training=False)
    assert (middle[..., 0, 0] == 2 * 12 + 2).all()
    corners = pixels(options, *data)[..., 0, 0]
    # One place for all frames and channels of a clip.
    assert (corners == corners[..., :1, :1]).all()
    rows, columns = corners[..., 0, 0] // 12, corners[..., 0, 0] % 12
    assert set(rows.flatten().tolist()) == set(columns.flatten().tolist()) == {0, 1, 2, 3}


def test_draws_follow_from_the_clips_seeds_alone() -> None:
    options = dict(crop=8, query_flip=0.5, query_jitter=dict(strength=0.5, hue_shift=0.25, gray_probability=0.3))
    together = pixels(options, episode(0), episode(1))
    torch.manual_seed(7)
    assert torch.equal(pixels(options, episode(1))[0], together[1])
    other = episode(1)
    other["data_samples"].aug_seed = other["data_samples"].aug_seed + 1
    assert not torch.equal(pixels(options, other)[0], together[1])


def test_flips_and_colours_are_for_queries_in_training() -> None:
    data = episode()
    plain = pixels({}, data)
    flipped = pixels(dict(query_flip=1.0), data)
    assert torch.equal(flipped[0, :SHOTS], plain[0, :SHOTS])
    assert torch.equal(flipped[0, SHOTS:], plain[0, SHOTS:].flip(-1))
    jitter = dict(query_jitter=dict(strength=0.5, hue_shift=0.25, gray_probability=0.0))
    coloured = pixels(jitter, data)
    assert torch.equal(coloured[0, :SHOTS], plain[0, :SHOTS])
    assert not torch.allclose(coloured[0, SHOTS:], plain[0, SHOTS:], atol=0.1)
    for options in (dict(query_flip=1.0), jitter):
        assert torch.equal(pixels(options, data, training=False), plain)


def test_frames_are_squashed_on_the_device() -> None:
    assert pixels(dict(size=(10, 10), crop=8), episode()).shape == (1, 5, 2, 3, 8, 8)
    assert pixels(dict(size=(10, 6)), episode(), training=False).shape == (1, 5, 2, 3, 10, 6)


def test_labels_stay_as_they_came() -> None:
    data = batch(episode())
    assert FewShotDataPreprocessor()(data, True)["data_samples"] == data["data_samples"]


@pytest.mark.parametrize("other", [dict(queries=1), dict(frames=3), dict(side=10)], ids=str)
def test_episodes_that_differ_cannot_be_stacked(other: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"episodes of a batch differ and cannot be stacked \(3 supports, "):
        pixels({}, episode(), episode(1, **other))


def test_a_crop_larger_than_the_frames_is_refused() -> None:
    with pytest.raises(ValueError, match=r"crop=16 is larger than the frames, 12 x 12: resize them"):
        pixels(dict(crop=16), episode())
    with pytest.raises(ValueError, match="query_flip must be a probability, got 2"):
        FewShotDataPreprocessor(query_flip=2)


@pytest.mark.gpu
@pytest.mark.parametrize("training", [True, False])
def test_a_gpu_gives_the_pixels_of_the_cpu(training: bool) -> None:
    jitter = dict(strength=0.5, hue_shift=0.25, gray_probability=0.3)
    preprocessor = FewShotDataPreprocessor(size=(10, 11), crop=8, query_flip=0.5, query_jitter=jitter)
    expected = preprocessor(batch(episode(0), episode(1)), training)["inputs"]
    found = preprocessor.cuda()(batch(episode(0), episode(1)), training)["inputs"]
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-4, atol=1e-4)
