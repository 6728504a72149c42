"""What tests of whole few-shot models share: tiny towers, episodes of moving shapes, and folders of such clips."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from PIL import Image
from torch import Tensor, nn

from clipplus.few_shot_video import ShapesVideoDataset
from clipplus.few_shot_video.video_writing import write_video

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


@MODELS.register_module(force=True)
class SeesPlace(nn.Module):
    """A backbone that is right: features of a frame say where the thing in it is, and nothing else."""

    def __init__(self, pretrained: str | None = None) -> None:
        super().__init__()
        grid = torch.linspace(0, 1, 5)
        self.pretrained = pretrained
        self.centres = nn.Parameter(torch.cartesian_prod(grid, grid))

    def forward(self, frames: Tensor) -> Tensor:
        shades = frames.flatten(2).median(dim=2).values
        there = (frames - shades[:, :, None, None]).square().sum(1)
        there = there * (there > 0.2 * there.amax(dim=(1, 2), keepdim=True))
        rows, columns = (torch.linspace(0, 1, side) for side in frames.shape[-2:])
        total = there.sum(dim=(1, 2))
        place = torch.stack([(there.sum(1) * columns).sum(1) / total, (there.sum(2) * rows).sum(1) / total], dim=1)
        return (-(place[:, None] - self.centres).square().sum(-1) / 0.03).exp()


#: Motions of the test split that the clips below show: two ways through the same places, and a third one.
SHOWN = {"there": 0, "back": 1, "elsewhere": 4}


@pytest.fixture(scope="session")
def clip_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`supports/<class>/` with a clip or two, `queries/` with two per class named after it; all kinds of files."""
    folder = tmp_path_factory.mktemp("clips")
    videos = ShapesVideoDataset("test", 6, 24, 64, seed=3)
    for name, motion in SHOWN.items():
        places = [folder / "supports" / name / "1.mp4", folder / "queries" / f"{name}.avi"]
        places += [folder / "queries" / f"{name}2.webm"]
        places += [folder / "supports" / name / "2"] if name == "there" else []
        for number, place in enumerate(places):
            frames = videos.get_data_info(number * len(videos.motions) + motion)["array"]
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.suffix:
                write_video(place, frames, videos.FPS)
                continue
            place.mkdir()
            for frame in range(len(frames)):
                Image.fromarray(frames[frame]).save(place / f"{frame}.png")
    return folder


@pytest.fixture
def place_config(tmp_path: Path) -> Path:
    """A config file of a recogniser that sees places and compares them with OTAM; its clips have 8 frames."""
    path = tmp_path / "place.py"
    path.write_text(
        "default_scope = 'mmaction'\n"
        "model = dict(type='FewShotRecognizer', backbone=dict(type='SeesPlace', pretrained='itself'),\n"
        "    cls_head=dict(type='FewShotHead', matcher=dict(type='OTAMMatcher', smoothing=0.1)))\n"
        "pipeline = [dict(type='ClipInit'),\n"
        "    dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=8, test_mode=True),\n"
        "    dict(type='ClipDecode'), dict(type='FormatShape', input_format='NCHW'), dict(type='PackActionInputs')]\n"
        "test_dataloader = dict(sets=dict(own=dict(dataset=dict(dataset=dict(pipeline=pipeline)))))\n"
    )
    return path
