"""Packed samples become a batch in which captions of an image are neighbours."""

import pytest
import torch
from mmengine.registry import FUNCTIONS
from torch.utils.data import DataLoader

from clipplus.data.collate import caption_collate


def packed(key, lengths=(), size=(4, 4), context=20, **extra):
    """A sample whose caption rows are 1..length, then zeros."""
    columns = torch.arange(1, context + 1)
    rows = [torch.where(columns <= length, columns, 0) for length in lengths]
    sample = dict(inputs=torch.full((3, *size), len(key), dtype=torch.uint8), id=len(key), key=key, **extra)
    if lengths:
        sample |= dict(tokens=torch.stack(rows), texts=[f"{key} {i}" for i in range(len(lengths))])
    return sample


def test_captions_of_an_image_are_neighbours_in_batch_order():
    batch = caption_collate([packed("a", (3, 4)), packed("bb", (2,))])
    assert batch["tokens"].shape == (3, 8)
    assert batch["tokens"].gt(0).sum(dim=1).tolist() == [3, 4, 2]
    assert batch["counts"].tolist() == [2, 1]
    assert batch["ids"].tolist() == [1, 2]
    assert batch["ids"].dtype == batch["counts"].dtype == torch.int64
    assert batch["keys"] == ["a", "bb"]
    assert batch["texts"] == [["a 0", "a 1"], ["bb 0"]]
    assert batch["inputs"].dtype == torch.uint8
    assert batch["inputs"][:, 0, 0, 0].tolist() == [1, 2]


@pytest.mark.parametrize(("longest", "columns"), [(1, 8), (8, 8), (9, 16), (16, 16), (17, 20), (20, 20)])
def test_columns_are_the_longest_row_rounded_up_but_never_more_than_the_context(longest, columns):
    batch = caption_collate([packed("a", (1,)), packed("b", (longest,))])
    assert batch["tokens"].shape == (2, columns)
    assert batch["tokens"].is_contiguous()


def test_stated_lengths_count_where_padding_is_not_zero():
    sample = packed("a", (3,))
    sample["tokens"][sample["tokens"] == 0] = 1
    batch = caption_collate([{**sample, "token_lengths": torch.tensor([3])}])
    assert batch["tokens"].shape == (1, 8)
    assert "token_lengths" not in batch


def test_images_without_captions_have_no_tokens_and_no_counts():
    assert caption_collate([packed("a"), packed("b")]).keys() == {"inputs", "ids", "keys"}


def test_further_entries_are_stacked():
    batch = caption_collate([packed("a", aug_seed=5), packed("b", aug_seed=7)])
    assert batch["aug_seed"].tolist() == [5, 7]


def test_different_image_sizes_name_keys_sizes_and_the_missing_step():
    with pytest.raises(
        ValueError, match=r"'a' \(3, 4, 4\), 'bb' \(3, 4, 5\); add dict\(type='mmpretrain.RandomResizedCrop'"
    ):
        caption_collate([packed("a"), packed("bb", size=(4, 5))])


def test_samples_with_and_without_captions_do_not_form_a_batch():
    with pytest.raises(ValueError, match="'b' and 'a' differ in texts, tokens"):
        caption_collate([packed("a", (2,)), packed("b")])


def test_loader_workers_give_the_same_batch():
    samples = [packed("a", (3, 4)), packed("b", (9,))]
    collate = FUNCTIONS.get("caption_collate")
    batch = next(iter(DataLoader(samples, batch_size=2, num_workers=1, collate_fn=collate)))
    assert all(torch.equal(batch[name], caption_collate(samples)[name]) for name in ("inputs", "tokens", "counts"))
