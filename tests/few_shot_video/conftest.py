"""What tests of whole few-shot models share: tiny towers and episodes of moving shapes."""

from collections.abc import Callable
from typing import Any

import pytest
from mmengine.registry import init_default_scope

import clipplus.few_shot_video  # noqa: F401 - registers its parts

TOWER = dict(
    embed_dim=16,
    quick_gelu=False,
    vision_cfg=dict(image_size=16, patch_size=8, width=32, layers=1, head_width=16),
    text_cfg=dict(context_length=16, vocab_size=49408, width=16, heads=2, layers=1),
)


@pytest.fixture
def model_config() -> Callable[..., dict[str, Any]]:
    """`model_config(**options)`: a recogniser with a tiny ViT and mean pooling."""
    init_default_scope("mmaction")

    def configure(**options: Any) -> dict[str, Any]:
        return (
            dict(
                type="FewShotRecognizer",
                backbone=dict(type="CLIPImageTower", model=TOWER),
                cls_head=dict(type="FewShotHead", matcher=dict(type="OTAMMatcher")),
            )
            | options
        )

    return configure


@pytest.fixture
def text_config() -> dict[str, Any]:
    """A text bank as video methods use it."""
    return dict(
        type="ClassTextBank", templates=["a photo of {}"], average="raw", normalize=False,
        tower=dict(type="CLIPTextTower", model=TOWER, frozen=True),
    )  # fmt: skip


@pytest.fixture
def episodes_config() -> Callable[..., dict[str, Any]]:
    """`episodes_config(split='train', test_mode=False, **options)`: episodes of moving shapes, 4 frames of 16 px."""
    init_default_scope("mmaction")

    def configure(split: str = "train", test_mode: bool = False, videos_per_class: int = 4, **options: Any) -> dict:
        pipeline = [
            dict(type="SampleFrames", clip_len=1, frame_interval=1, num_clips=4, test_mode=test_mode),
            dict(type="ArrayDecode"),
            dict(type="FormatShape", input_format="NCHW"),
            dict(type="PackActionInputs"),
        ]
        videos = dict(
            type="ShapesVideoDataset", split=split, videos_per_class=videos_per_class, num_frames=8, size=16,
            pipeline=pipeline, test_mode=test_mode,
        )  # fmt: skip
        return dict(type="EpisodeDataset", dataset=videos, split=split, way=3, num_episodes=6) | options

    return configure
