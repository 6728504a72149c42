"""Which pictures are kept, and in which colours."""

import pytest
import torch
from mmengine.structures import BaseDataElement

from clipplus.visualization.thumbnails import ThumbnailStore, batch_pictures, first_by_lot, lot


def pure(red, green, blue, height=8, width=8):
    return torch.tensor([red, green, blue], dtype=torch.uint8).view(3, 1, 1).expand(3, height, width)


@pytest.mark.parametrize("order", ["ascending", "descending"])
def test_the_kept_samples_do_not_depend_on_the_order_of_arrival(order):
    ids = list(range(100))
    store = ThumbnailStore(limit=10, size=8)
    for sample_id in ids if order == "ascending" else ids[::-1]:
        store.add(sample_id, pure(sample_id, 0, 0))
    assert len(store) == 10
    kept = store.select(ids)
    assert sorted(kept) == first_by_lot(ids, 10)
    assert all((picture[..., 0] == sample_id).all() for sample_id, picture in kept.items())


def test_samples_of_two_ranks_contain_those_of_one_process():
    ids = range(60)
    kept = set()
    for rank in (0, 1):
        store = ThumbnailStore(limit=12, size=8)
        for sample_id in ids[rank::2]:
            store.add(sample_id, pure(1, 2, 3))
        kept |= store.select(ids).keys()
    assert set(first_by_lot(ids, 12)) <= kept


def test_a_repeated_sample_takes_no_second_place():
    store = ThumbnailStore(limit=2, size=8)
    for sample_id in (5, 5, 5, 6):
        store.add(sample_id, pure(0, 0, 0))
    assert sorted(store.select([5, 6])) == [5, 6]


def test_large_pictures_are_reduced_and_small_ones_kept():
    store = ThumbnailStore(limit=2, size=10)
    store.add(0, pure(9, 9, 9, height=20, width=40))
    store.add(1, pure(9, 9, 9, height=4, width=3))
    kept = store.select([0, 1])
    assert kept[0].shape == (5, 10, 3)
    assert kept[1].shape == (4, 3, 3)


def test_lots_are_the_same_in_every_process():
    # A stored value: Python's own hash of strings differs between processes.
    assert lot(7) == 16667848380713045890
    assert first_by_lot(range(1000), 5) == sorted(sorted(range(1000), key=lot)[:5])


def test_image_text_batches_are_rgb_and_name_their_samples_by_ids():
    batch = dict(inputs=torch.stack([pure(200, 10, 20)]), ids=torch.tensor([2**62 + 1]))
    ((sample_id, pixels),) = batch_pictures(batch, [object()])
    assert sample_id == 2**62 + 1
    assert pixels[:, 0, 0].tolist() == [200, 10, 20]


@pytest.mark.parametrize("collate", [list, torch.stack])
def test_host_batches_are_bgr_and_name_their_samples_by_sample_idx(collate):
    samples = [BaseDataElement(metainfo=dict(sample_idx=4)), BaseDataElement(metainfo=dict(sample_idx=9))]
    batch = dict(inputs=collate([pure(20, 10, 200), pure(0, 0, 255)]), data_samples=samples)
    pictures = dict(batch_pictures(batch, samples))
    assert {sample_id: pixels[:, 0, 0].tolist() for sample_id, pixels in pictures.items()} == {
        4: [200, 10, 20],
        9: [255, 0, 0],
    }


def test_clips_and_samples_without_id_are_passed_over():
    clips = dict(inputs=[torch.zeros(8, 3, 4, 4)], data_samples=[None])
    assert list(batch_pictures(clips, [BaseDataElement(metainfo=dict(sample_idx=0))])) == []
    nameless = dict(inputs=[pure(0, 0, 0)], data_samples=[None])
    assert list(batch_pictures(nameless, [BaseDataElement()])) == []


def test_normalised_pixels_are_refused_with_the_place_to_normalise():
    batch = dict(inputs=torch.zeros(1, 3, 4, 4), ids=torch.tensor([3]))
    with pytest.raises(ValueError, match=r"uint8 pixels, got torch.float32 for sample 3: normalise in the data_prep"):
        list(batch_pictures(batch, []))
