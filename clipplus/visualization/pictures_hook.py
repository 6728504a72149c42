"""Draws what a model predicted, from the pixels it was given."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.dist import all_gather_object, broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from PIL import Image

from clipplus.checkpoints.atomic import written_aside
from clipplus.visualization.gallery import Gallery, choose_queries, draw_gallery
from clipplus.visualization.thumbnails import Thumbnail, ThumbnailStore, batch_pictures, first_by_lot
from clipplus.visualization.top5 import draw_top5


@dataclass(frozen=True)
class _Sheet:
    """What one metric of one set gives to draw.

    Attributes:
        set_name: name of the set.
        prefix: of the metric; tells several metrics of a set apart.
        content: chosen predictions of a `ZeroShotAccuracy`, or a gallery.
    """

    set_name: str
    prefix: str
    content: list[dict[str, Any]] | Gallery

    @property
    def pictures(self) -> set[int]:
        """Ids of the samples to be seen."""
        if isinstance(self.content, Gallery):
            return self.content.pictures
        return {record["sample_id"] for record in self.content}

    @property
    def file_name(self) -> str:
        """Of the picture, e.g. `shapes_top5.png`."""
        kind = "gallery" if isinstance(self.content, Gallery) else "top5"
        return "_".join(filter(None, (self.set_name, self.prefix, kind))) + ".png"

    def draw(self, title: str, thumbnails: dict[int, Thumbnail], tile: int) -> Image.Image:
        """The sheet itself."""
        if isinstance(self.content, Gallery):
            return draw_gallery(title, self.content, thumbnails, tile)
        return draw_top5(title, self.content, thumbnails, tile)


@HOOKS.register_module()
class PredictionPicturesHook(Hook):
    """Writes a picture per set and metric after every validation or test.

    `<set>_top5.png` for sets with a `ZeroShotAccuracy` (picture, true name, five best guesses), `<set>_gallery.png`
    for those with a `CrossModalRecall` (text -> pictures, picture -> captions); a metric's prefix comes between. A
    later evaluation replaces the files. Needs a `MultiDatasetValLoop`/`MultiDatasetTestLoop`, which say when a set is
    done, and no image files: the pixels come from the batches. Which samples are shown depends on their ids alone.

    Args:
        out_dir: folder; None is `pictures` in the work directory.
        max_images: pictures on a top-5 sheet.
        max_gallery: thumbnails kept per process while a set runs; in larger sets, found pictures that were not kept
            are drawn as blank squares with their ids.
        thumb: side of a drawn picture in pixels.

    Raises:
        ValueError: a size below 1, or `max_images` above `max_gallery`.
    """

    def __init__(
        self, out_dir: str | None = None, max_images: int = 24, max_gallery: int = 2000, thumb: int = 96
    ) -> None:
        for name, value in (("max_images", max_images), ("max_gallery", max_gallery), ("thumb", thumb)):
            if value < 1:
                raise ValueError(f"PredictionPicturesHook: {name} must be at least 1, got {value}")
        if max_images > max_gallery:
            raise ValueError(
                f"PredictionPicturesHook: max_images={max_images} cannot exceed max_gallery={max_gallery}, "
                "the number of pictures that are kept"
            )
        self.out_dir = None if out_dir is None else Path(out_dir)
        self.max_images = max_images
        self.thumb = thumb
        self._store = ThumbnailStore(max_gallery, thumb)
        self._sheets: list[tuple[_Sheet, dict[int, Thumbnail]]] = []

    def _before_epoch(self, runner: Any, mode: str = "val") -> None:
        # An evaluation that was interrupted may have left some.
        if mode != "train":
            self._store.clear()
            self._sheets.clear()

    def _after_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None, mode: str = "val"
    ) -> None:
        """Keep thumbnails of an evaluated batch."""
        if mode != "train":
            for sample_id, pixels in batch_pictures(data_batch, outputs):
                self._store.add(sample_id, pixels)

    def after_set(self, runner: Any, mode: str, set_name: str, metrics: Sequence[Any]) -> None:
        """A set is done: choose what to show of it, and fetch the thumbnails for that from all ranks.

        Args:
            runner: the Runner.
            mode: 'val' or 'test'.
            set_name: name of the set.
            metrics: its metrics; those with `predictions` are shown. Only the main process has predictions.
        """
        sheets = self._choose(set_name, metrics)
        thumbnails = self._gather({sample_id for sheet in sheets for sample_id in sheet.pictures})
        self._sheets += [(sheet, thumbnails) for sheet in sheets]
        # Ids are unique within a set only.
        self._store.clear()

    def _choose(self, set_name: str, metrics: Sequence[Any]) -> list[_Sheet]:
        sheets = []
        for metric in metrics:
            predictions = getattr(metric, "predictions", None)
            if not predictions:
                continue
            content: list[dict[str, Any]] | Gallery
            if "top" in predictions[0]:
                shown = set(first_by_lot((record["sample_id"] for record in predictions), self.max_images))
                content = [record for record in predictions if record["sample_id"] in shown]
            else:
                content = choose_queries(predictions)
            sheets.append(_Sheet(set_name, metric.prefix or "", content))
        return sheets

    def _gather(self, wanted: Iterable[int]) -> dict[int, Thumbnail]:
        """The thumbnails that the main process wants, wherever they are. Every rank must call this."""
        message: list[Any] = [sorted(wanted)]
        broadcast_object_list(message)
        merged: dict[int, Thumbnail] = {}
        for part in all_gather_object(self._store.select(message[0])):
            merged.update(part)
        return merged

    def _after_eval_epoch(self, runner: Any, metrics: dict[str, float] | None) -> None:
        """Draw; only now the values for the titles are known."""
        sheets, self._sheets = self._sheets, []
        if not sheets or not is_main_process():
            return
        folder = self.out_dir or Path(runner.work_dir) / "pictures"
        for sheet, thumbnails in sheets:
            image = sheet.draw(_title(sheet, metrics or {}), thumbnails, self.thumb)
            with written_aside(folder / sheet.file_name) as partial:
                image.save(partial)
        print_log(f"pictures: {', '.join(str(folder / sheet.file_name) for sheet, _ in sheets)}", logger="current")

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Draw the sets of a validation."""
        self._after_eval_epoch(runner, metrics)

    def after_test_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Draw the sets of a test."""
        self._after_eval_epoch(runner, metrics)


def _title(sheet: _Sheet, metrics: dict[str, float]) -> str:
    """Set and values, e.g. `shapes: top1 82.4 %, top5 97.1 %`."""
    own = f"{sheet.set_name}/{sheet.prefix}/" if sheet.prefix else f"{sheet.set_name}/"
    # A gallery shows recalls, a top-5 sheet accuracies, also where one set has both.
    recall = isinstance(sheet.content, Gallery)
    values = [
        f"{key.removeprefix(own).replace('_', ' ')} {value:.1f} %"
        for key, value in metrics.items()
        if key.startswith(own) and ("_R@" in key) == recall
    ]
    return f"{sheet.set_name}: {', '.join(values)}" if values else sheet.set_name
