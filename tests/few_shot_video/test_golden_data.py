"""Frames, pixels and prompts against the golden files of CLIP-FSAR."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, TRANSFORMS, init_default_scope

import clipplus.few_shot_video
from clipplus.few_shot_video import clip_pixels
from clipplus.text import ClassTextBank, build_tokenizer

SPLITS = Path(__file__).parents[2] / "configs" / "_base_" / "datasets" / "few_shot_splits"
# As the files' README has it.
ATOL = 1e-5


@pytest.fixture(autouse=True)
def _host() -> None:
    init_default_scope("mmaction")


@pytest.mark.golden("clip_fsar", "frame_sampling")
def test_golden_clip_fsar_strided_frames(golden: Any) -> None:
    for case in json.loads(golden.metadata["k100_test"]):
        sample = TRANSFORMS.build(
            dict(type="StrideSampleFrames", num_frames=case["T"], stride=case["rate"], target_fps=12, test_mode=True)
        )
        video = dict(total_frames=case["N"], avg_fps=case["fps"], start_index=0)
        assert sample(video)["frame_inds"].tolist() == golden[f"k100_test.{case['i']}"].tolist(), case


@pytest.mark.golden("clip_fsar", "frame_sampling")
def test_golden_clip_fsar_segment_frames(golden: Any) -> None:
    for case in json.loads(golden.metadata["segment"]):
        i, clips = case["i"], case["T"]
        sample = TRANSFORMS.build(dict(type="SampleFrames", clip_len=1, frame_interval=1, num_clips=clips))
        np.random.seed(0)
        drawn = [sample(dict(total_frames=case["N"], start_index=0))["frame_inds"] for _ in range(200)]
        low, high = golden[f"segment.{i}.lo"].numpy(), golden[f"segment.{i}.hi"].numpy()
        assert (np.min(drawn, axis=0) == low).all(), case
        assert (np.max(drawn, axis=0) == high).all(), case
        published = golden[f"segment.{i}.draw_seed0"].numpy()
        assert ((low <= published) & (published <= high)).all()


def preprocessor(golden: Any, **options: Any) -> Any:
    short, crop = int(golden.metadata["short"]), int(golden.metadata["crop"])
    return MODELS.build(dict(type="FewShotDataPreprocessor", size=(short, short), crop=crop, **options))


def frames_first(clip: torch.Tensor) -> torch.Tensor:
    """(C, T, h, w) of the file to (T, C, h, w)."""
    return clip.transpose(0, 1)


@pytest.mark.golden("clip_fsar", "preproc")
def test_golden_clip_fsar_evaluation_pixels(golden: Any) -> None:
    clip = golden["video"].permute(0, 3, 1, 2)
    found = preprocessor(golden).evaluation_pixels(clip)
    torch.testing.assert_close(found, golden["normalized_TCHW"], rtol=0, atol=ATOL)


@pytest.mark.golden("clip_fsar", "preproc")
def test_golden_clip_fsar_steps_of_the_evaluation(golden: Any) -> None:
    clip = golden["video"].permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(clip, frames_first(golden["to_tensor"]), rtol=0, atol=ATOL)
    short, crop = int(golden.metadata["short"]), int(golden.metadata["crop"])
    resized = clip_pixels.squash(clip, (short, short))
    torch.testing.assert_close(resized, frames_first(golden["resized"]), rtol=0, atol=ATOL)
    first = clip_pixels.center_offset(short, crop)
    center = resized[..., first : first + crop, first : first + crop]
    torch.testing.assert_close(center, frames_first(golden["center_cropped"]), rtol=0, atol=ATOL)


@pytest.mark.golden("clip_fsar", "preproc")
def test_golden_clip_fsar_random_crops(golden: Any) -> None:
    short, crop = int(golden.metadata["short"]), int(golden.metadata["crop"])
    expected = golden["random_crop_xy_seed0_5"].tolist()
    assert [list(clip_pixels.random_offsets(seed, short, short, crop)) for seed in range(len(expected))] == expected


@pytest.mark.golden("clip_fsar", "preproc")
@pytest.mark.parametrize("operator", ["gray", "brightness", "contrast", "saturation", "hue"])
def test_golden_clip_fsar_colours(golden: Any, operator: str) -> None:
    clip = frames_first(golden["jit_in"])
    factors = json.loads(golden.metadata["factors"])
    arguments = [] if operator == "gray" else [factors[operator]]
    found = getattr(clip_pixels, operator)(clip, *arguments)
    torch.testing.assert_close(found, frames_first(golden[operator]), rtol=0, atol=ATOL)


@pytest.mark.golden("clip_fsar", "preproc")
def test_golden_clip_fsar_training_crops_where_the_seed_says(golden: Any) -> None:
    """The preprocessor that a config builds, in training, on the clip of the file."""
    clip = golden["video"].permute(0, 3, 1, 2)
    samples = clipplus.few_shot_video.EpisodeDataSample(
        support_label=torch.tensor([0]), query_label=torch.tensor([0]), aug_seed=torch.tensor([3, 4])
    )
    build = preprocessor(golden)
    found = build(dict(inputs=[torch.stack([clip, clip])], data_samples=[samples]), training=True)["inputs"][0]
    crop = int(golden.metadata["crop"])
    for pixels, (x, y) in zip(found, golden["random_crop_xy_seed0_5"][3:5].tolist(), strict=True):
        square = frames_first(golden["resized"])[..., y : y + crop, x : x + crop] * 255
        expected = clip_pixels.normalize(square, build.mean, build.std)
        torch.testing.assert_close(pixels, expected, rtol=0, atol=ATOL)


@pytest.mark.golden("clip_fsar", "prompt_tokens")
def test_golden_clip_fsar_prompts(golden: Any) -> None:
    """Class names of the split lists, through the bank and tokenizer that a config names."""
    tokenizer = build_tokenizer("ViT-B-16-quickgelu", None)
    for name, expected in golden.tensors.items():
        dataset, split = name.split(".")
        classes = json.loads((SPLITS / dataset / "classes.json").read_text(encoding="utf-8"))[split]
        bank = ClassTextBank(classes=classes, templates=[golden.metadata["prompt"]], average="raw", normalize=False)
        tokens = tokenizer([prompt for of_class in bank.class_prompts(classes) for prompt in of_class])
        length = expected.shape[1]
        assert torch.equal(tokens[:, :length].int(), expected), name
        assert not tokens[:, length:].any()


def test_jitter_is_the_same_for_all_frames_and_follows_from_its_generator() -> None:
    clip = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0)).expand(4, 3, 6, 6)
    options = dict(strength=0.5, hue_shift=0.25, gray_probability=0.3)
    found = clip_pixels.jitter(clip, random.Random(1), **options)
    assert all(torch.equal(frame, found[0]) for frame in found)
    assert torch.equal(found, clip_pixels.jitter(clip, random.Random(1), **options))
    assert not torch.equal(found, clip_pixels.jitter(clip, random.Random(2), **options))
    assert 0 <= float(found.min()) <= float(found.max()) <= 1


@pytest.mark.parametrize("sample", ["SampleFrames", "StrideSampleFrames"])
@pytest.mark.parametrize("test_mode", [False, True])
@pytest.mark.parametrize("total", [1, 3, 8])
def test_videos_shorter_than_a_clip_repeat_frames(sample: str, test_mode: bool, total: int) -> None:
    options = dict(num_frames=8) if sample == "StrideSampleFrames" else dict(clip_len=1, num_clips=8)
    transform = TRANSFORMS.build(dict(type=sample, test_mode=test_mode, **options))
    frames = transform(dict(total_frames=total, avg_fps=12.0, start_index=0))["frame_inds"]
    assert len(frames) == 8
    assert 0 <= frames.min() <= frames.max() < total


def test_strided_training_clips_begin_anywhere_in_the_room_there_is() -> None:
    """300 frames of 30 per second: 700 are wanted and 296 fit, which leaves room for 0..5."""
    transform = TRANSFORMS.build(dict(type="StrideSampleFrames"))
    np.random.seed(0)
    starts = {int(transform(dict(total_frames=300, avg_fps=30.0, start_index=0))["frame_inds"][0]) for _ in range(300)}
    assert starts == {0, 1, 2, 3, 4}


def test_jitter_draws_its_factors_from_the_recipes_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, list[float]] = {name: [] for name in ("brightness", "contrast", "saturation", "hue")}
    grays: list[int] = []

    def noting(factors: list[float]) -> Any:
        return lambda clip, factor: factors.append(factor) or clip

    for name, factors in drawn.items():
        monkeypatch.setattr(clip_pixels, name, noting(factors))
    monkeypatch.setattr(clip_pixels, "gray", lambda clip: grays.append(1) or clip)
    rng = random.Random(0)
    for _ in range(600):
        clip_pixels.jitter(torch.zeros(1, 3, 2, 2), rng, strength=0.5, hue_shift=0.25, gray_probability=0.3)
    for name, factors in drawn.items():
        low, high = (-0.25, 0.25) if name == "hue" else (0.5, 1.5)
        assert low <= min(factors) < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < max(factors) <= high
    assert len(grays) == pytest.approx(180, abs=50)
