"""Videos of moving shapes as a data set: no download, no storage."""

from collections.abc import Sequence
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from clipplus.data.shapes.scene import Split
from clipplus.few_shot_video.moving_shapes import MovingShape, motion_name, motions_of


@DATASETS.register_module()
class ShapesVideoDataset(BaseDataset):
    """Things that move, each video a function of (seed, split, index); its class is the motion, not what moves.

    The splits have different classes: 36 motions to train on, 10 to validate, 14 to test. Items before the pipeline:
    `array`, a sequence of RGB frames that are drawn when asked for (mmaction2's `ArrayDecode` reads it),
    `total_frames`, `avg_fps`, `start_index`, `modality`, `label`, `key`, `sample_idx`. Meta information: `classes`.

    Args:
        split: 'train', 'val' or 'test'.
        videos_per_class: videos of every class.
        num_frames: length of the videos.
        size: side of the pictures in pixels.
        seed: another seed gives other videos of the same motions.
        pipeline, test_mode: as in mmengine's BaseDataset.

    Raises:
        ValueError: unknown split, or sizes below 1.
    """

    #: Frames per second that the videos are said to have, and are written with.
    FPS = 12

    def __init__(
        self,
        split: Split = "train",
        videos_per_class: int = 40,
        num_frames: int = 24,
        size: int = 32,
        seed: int = 0,
        pipeline: Sequence[Any] = (),
        test_mode: bool = False,
    ) -> None:
        if split not in ("train", "val", "test"):
            raise ValueError(f"unknown split '{split}'; known: train, val, test")
        for name, value in (("videos_per_class", videos_per_class), ("num_frames", num_frames), ("size", size)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.split, self.videos_per_class, self.seed = split, videos_per_class, seed
        self.num_frames, self.size = num_frames, size
        self.motions = motions_of(split)
        classes = tuple(motion_name(motion) for motion in self.motions)
        super().__init__(
            metainfo=dict(classes=classes), pipeline=list(pipeline), test_mode=test_mode, serialize_data=False
        )

    def load_data_list(self) -> list[int]:
        """The number of every video; all else follows from it."""
        return list(range(self.videos_per_class * len(self.motions)))

    @property
    def labels(self) -> list[int]:
        """Class ids in the order of the videos."""
        return [index % len(self.motions) for index in self.data_list]

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """The video at position `idx`; nothing is drawn yet."""
        index = self.data_list[idx]
        label = index % len(self.motions)
        key = (self.seed, self.split, index)
        return dict(
            array=MovingShape(self.motions[label], key, self.num_frames, self.size),
            total_frames=self.num_frames,
            avg_fps=float(self.FPS),
            start_index=0,
            modality="RGB",
            label=label,
            key=f"moving-{self.seed}-{self.split}-{index}",
            sample_idx=index,
        )
