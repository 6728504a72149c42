"""From batches of a real Runner to pictures on disk."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.distributed as dist
from mmengine.model import BaseModel
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from PIL import Image
from torch.utils.data import Dataset

import clipplus.evaluation  # noqa: F401 - registers the loops
from clipplus.visualization import PredictionPicturesHook
from clipplus.visualization.gallery import text_row_corner
from clipplus.visualization.thumbnails import first_by_lot
from clipplus.visualization.top5 import tile_corner

NAMES = ["red", "green", "blue"]
RGB = np.array([(240, 0, 0), (0, 240, 0), (0, 0, 240)], np.uint8)


def pictures(labels):
    """(B, 3, 8, 8) uint8 RGB, one pure colour each."""
    return torch.from_numpy(RGB[labels])[:, :, None, None].expand(-1, 3, 8, 8)


def class_predictions(labels):
    return [
        dict(sample_id=i, label=label, label_name=NAMES[label], top=[[NAMES[label], 0.9], ["other", 0.1]])
        for i, label in enumerate(labels)
    ]


def retrieval_predictions(labels):
    return [
        dict(sample_id=i, captions=[NAMES[label]], image_to_text=[[i, 0, 0.9]], text_to_image=[[[i, 0.9]]])
        for i, label in enumerate(labels)
    ]


def evaluate(hook, runner, sets, results):
    """What a MultiDataset loop calls: `sets` is name -> (labels, metrics)."""
    hook.before_val_epoch(runner)
    for name, (labels, metrics) in sets.items():
        for start in range(0, len(labels), 4):
            rows = list(range(start, min(start + 4, len(labels))))
            batch = dict(inputs=pictures([labels[i] for i in rows]), ids=torch.tensor(rows))
            hook.after_val_iter(runner, 0, batch, [])
        hook.after_set(runner, mode="val", set_name=name, metrics=metrics)
    hook.after_val_epoch(runner, results)


def tile_colour(path, corner, tile):
    with Image.open(path) as image:
        return image.convert("RGB").getpixel((corner[0] + tile // 2, corner[1] + tile // 2))


def test_each_set_gets_its_pictures_from_its_own_batches(tmp_path):
    # Ids count from 0 in both sets: pixels of one must not show up in the other's picture.
    labels = dict(warm=[0] * 5, cold=[2] * 5)
    metrics = {name: SimpleNamespace(prefix=None, predictions=class_predictions(own)) for name, own in labels.items()}
    sets = {name: (own, [metrics[name]]) for name, own in labels.items()}
    hook = PredictionPicturesHook(max_images=5, thumb=40)
    evaluate(hook, SimpleNamespace(work_dir=str(tmp_path)), sets, {"warm/top1": 100.0, "cold/top1": 100.0})
    for name, own in labels.items():
        for place, label in enumerate(own):
            path = tmp_path / "pictures" / f"{name}_top5.png"
            assert tile_colour(path, tile_corner(place, 40), 40) == tuple(RGB[label])


def test_memory_is_bounded_and_the_shown_samples_are_those_kept(tmp_path):
    labels = [i % 3 for i in range(200)]
    metric = SimpleNamespace(prefix=None, predictions=class_predictions(labels))
    hook = PredictionPicturesHook(out_dir=str(tmp_path), max_images=4, max_gallery=6, thumb=40)
    for i, label in enumerate(labels):
        hook.after_val_iter(None, i, dict(inputs=pictures([label]), ids=torch.tensor([i])), [])
        assert len(hook._store) <= 6
    hook.after_set(None, mode="val", set_name="shapes", metrics=[metric])
    assert len(hook._store) == 0
    hook.after_val_epoch(SimpleNamespace(work_dir="unused"), {})
    for place, sample_id in enumerate(first_by_lot(range(200), 4)):
        colour = tile_colour(tmp_path / "shapes_top5.png", tile_corner(place, 40), 40)
        assert colour == tuple(RGB[labels[sample_id]])


def test_metrics_of_one_set_get_files_of_their_own(tmp_path):
    labels = [0, 1, 2]
    metrics = [
        SimpleNamespace(prefix=None, predictions=class_predictions(labels)),
        SimpleNamespace(prefix="long", predictions=class_predictions(labels)),
        SimpleNamespace(prefix=None, predictions=retrieval_predictions(labels)),
        SimpleNamespace(prefix=None),
    ]
    hook = PredictionPicturesHook(out_dir=str(tmp_path), thumb=40)
    evaluate(hook, SimpleNamespace(work_dir="unused"), dict(shapes=(labels, metrics)), {})
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["shapes_gallery.png", "shapes_long_top5.png", "shapes_top5.png"]


def test_a_training_step_and_an_interrupted_evaluation_leave_nothing_behind():
    hook = PredictionPicturesHook()
    batch = dict(inputs=pictures([0]), ids=torch.tensor([0]))
    hook.after_train_iter(None, 0, batch, dict(loss=torch.tensor(0.0)))
    assert len(hook._store) == 0
    hook.after_val_iter(None, 0, batch, [])
    hook.before_test_epoch(None)
    assert len(hook._store) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(thumb=0), "thumb must be at least 1, got 0"),
        (dict(max_images=30, max_gallery=20), "max_images=30 cannot exceed max_gallery=20"),
    ],
)
def test_impossible_sizes_are_refused_when_the_config_is_built(options, message):
    with pytest.raises(ValueError, match=message):
        HOOKS.build(dict(type="PredictionPicturesHook", **options))


class _Colours(Dataset):
    """Five pictures with their labels, like an image-text data set."""

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return dict(inputs=pictures([index % 3])[0], ids=index)


class _Knowing(BaseModel):
    """Embeds picture and caption of sample i as the unit vector i."""

    def forward(self, inputs, ids, mode):
        unit = torch.eye(5)[ids]
        return [
            BaseDataElement(sample_id=int(i), image_embedding=row, text_embeddings=row[None])
            for i, row in zip(ids, unit, strict=True)
        ]


def test_a_test_run_of_the_real_loop_draws_the_gallery(tmp_path):
    loader = dict(batch_size=2, num_workers=0, persistent_workers=False, collate_fn=dict(type="default_collate"))
    runner = Runner(
        model=_Knowing(),
        work_dir=str(tmp_path),
        test_dataloader=dict(sets=dict(colours=dict(dataset=dict(type="KeyedDataset", dataset=_Colours()))), **loader),
        test_evaluator=dict(sets=dict(colours=dict(type="CrossModalRecall"))),
        test_cfg=dict(type="MultiDatasetTestLoop"),
        custom_hooks=[dict(type="PredictionPicturesHook", thumb=40)],
        experiment_name="pictures_of_a_real_loop",
    )
    runner.test()
    path = tmp_path / "pictures" / "colours_gallery.png"
    for row, sample_id in enumerate(first_by_lot(range(5), 5)):
        for place in (0, 1):
            assert tile_colour(path, text_row_corner(row, place, 40), 40) == tuple(RGB[sample_id % 3])


def _evaluate_as_rank(rank, address, folder):
    """Rank 0 has the even samples and all predictions, rank 1 the odd samples."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{address}", rank=rank, world_size=2)
    labels = [i % 3 for i in range(6)]
    hook = PredictionPicturesHook(out_dir=folder, thumb=40)
    rows = list(range(rank, 6, 2))
    hook.after_val_iter(None, 0, dict(inputs=pictures([labels[i] for i in rows]), ids=torch.tensor(rows)), [])
    metric = SimpleNamespace(prefix=None, predictions=class_predictions(labels) if rank == 0 else [])
    hook.after_set(None, mode="val", set_name="shapes", metrics=[metric])
    hook.after_val_epoch(SimpleNamespace(work_dir=folder), {})
    dist.destroy_process_group()


def test_pictures_that_another_rank_saw_are_fetched(tmp_path):
    torch.multiprocessing.start_processes(
        _evaluate_as_rank, (str(tmp_path / "address"), str(tmp_path)), nprocs=2, start_method="fork"
    )
    for place in range(6):
        colour = tile_colour(tmp_path / "shapes_top5.png", tile_corner(place, 40), 40)
        assert colour == tuple(RGB[place % 3])
