"""Procedural scenes as a data set: no download, no storage, as many as asked for."""

from collections.abc import Sequence
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from clipplus.data.shapes.captions import captions_of_scene
from clipplus.data.shapes.render import render
from clipplus.data.shapes.scene import COLOURS, SHAPES, Split, class_label, class_names, draw_scene

_SPLITS = ("train", "val", "test")
# RGB per segmentation class: shapes appear in every colour, so the mask's colours are merely well apart.
_SEG_PALETTE = ((0, 0, 0), *COLOURS.values(), (130, 90, 50), (150, 150, 150))


@DATASETS.register_module()
class ShapesDataset(BaseDataset):
    """Coloured, textured shapes in relation to each other, each scene a function of (seed, split, index).

    Items before the pipeline: `img` (size, size, 3) uint8 BGR, `gt_label` (colour and shape of the main thing, 80
    classes), `gt_seg_map` (size, size) uint8 (0 background, 1 + position of the shape), `captions` (one short, one
    long, several noisy pseudo-captions), `key`, `sample_idx`. Meta information: `classes`; for the masks `seg_classes`
    and `seg_palette`.

    Args:
        split: 'train', 'val' or 'test'; their scenes have nothing in common.
        num_scenes: length of the data set.
        size: side of the pictures in pixels; the scenes do not depend on it.
        seed: another seed gives other scenes.
        pipeline, test_mode: as in mmengine's BaseDataset.

    Raises:
        ValueError: unknown split, or sizes that are not positive.
    """

    METAINFO = dict(classes=tuple(class_names()), seg_classes=("background", *SHAPES), seg_palette=_SEG_PALETTE)

    def __init__(
        self,
        split: Split = "train",
        num_scenes: int = 8192,
        size: int = 64,
        seed: int = 0,
        pipeline: Sequence[Any] = (),
        test_mode: bool = False,
    ) -> None:
        if split not in _SPLITS:
            raise ValueError(f"unknown split '{split}'; known: {', '.join(_SPLITS)}")
        if num_scenes < 1 or size < 1:
            raise ValueError(f"num_scenes and size must be positive, got {num_scenes} and {size}")
        self.split, self.num_scenes, self.size, self.seed = split, num_scenes, size, seed
        # Nothing to serialise: items are drawn when they are asked for.
        super().__init__(pipeline=list(pipeline), test_mode=test_mode, serialize_data=False)

    def load_data_list(self) -> list[int]:
        """The number of every scene; all else follows from it."""
        return list(range(self.num_scenes))

    def get_cat_ids(self, idx: int) -> list[int]:
        """The label at position `idx`, without drawing its pixels."""
        return [class_label(draw_scene(self.seed, self.split, self.data_list[idx]).main)]

    def sample_key(self, idx: int) -> str:
        """The key of the scene at position `idx`, without drawing its pixels."""
        return f"shapes-{self.seed}-{self.split}-{self.data_list[idx]}"

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """The scene at position `idx` with its pixels; see the class.

        Raises:
            IndexError: beyond the last scene; a loop over the data set ends by it.
        """
        # A subset's positions are not scene numbers: the list knows which scene stands where.
        index = self.data_list[idx]
        scene = draw_scene(self.seed, self.split, index)
        image, mask = render(scene, self.size)
        return dict(
            img=image,
            img_shape=image.shape[:2],
            ori_shape=image.shape[:2],
            gt_label=class_label(scene.main),
            gt_seg_map=mask,
            captions=captions_of_scene(scene, (self.seed, self.split, index)),
            key=self.sample_key(idx),
            sample_idx=index,
        )
