"""Scenes: reproducible, the same at any size, described truthfully, and beyond a look at the colours."""

from collections import Counter

import numpy as np
import pytest
import torch

from clipplus.data import ShapesDataset
from clipplus.data.shapes.baselines import apply_ridge, bags_of_words, colour_histogram, ridge
from clipplus.data.shapes.captions import PSEUDO_CAPTIONS, WRONG_WORD, long_caption, place, pseudo_captions, relation
from clipplus.data.shapes.render import coverage, render
from clipplus.data.shapes.scene import COLOURS, SHAPES, Scene, Thing, class_label, class_names, draw_scene
from clipplus.text import resolve_class_names


def thing(**changes: object) -> Thing:
    values = dict(shape="star", colour="red", texture="plain", x=0.5, y=0.5, radius=0.3, angle=0.0)
    return Thing(**(values | changes))  # type: ignore[arg-type]


def test_items_depend_on_seed_split_and_index_but_not_on_order_or_global_generators() -> None:
    dataset = ShapesDataset(num_scenes=50)
    first = dataset[7]
    np.random.seed(1)
    dataset[3]
    again = ShapesDataset(num_scenes=80)[7]
    np.testing.assert_array_equal(again["img"], first["img"])
    np.testing.assert_array_equal(again["gt_seg_map"], first["gt_seg_map"])
    assert again["captions"] == first["captions"]
    others = [ShapesDataset(num_scenes=50, seed=1)[7], ShapesDataset(num_scenes=50, split="val")[7], dataset[8]]
    assert all(not np.array_equal(other["img"], first["img"]) for other in others)
    assert len({item["key"] for item in (first, *others)}) == 4


def test_captions_and_label_do_not_depend_on_the_size() -> None:
    small, large = ShapesDataset(num_scenes=20, size=32), ShapesDataset(num_scenes=20, size=224)
    for index in range(20):
        assert small[index]["captions"] == large[index]["captions"]
        assert small[index]["gt_label"] == large[index]["gt_label"]
        assert large[index]["img"].shape == (224, 224, 3)


def test_pixels_are_bgr_and_the_mask_lies_on_the_thing() -> None:
    scene = Scene((thing(shape="circle", colour="red"),), "plain", ((200, 200, 200), (200, 200, 200)), 0)
    image, mask = render(scene, 256)
    inside = image[mask == 1 + SHAPES.index("circle")].mean(axis=0)
    np.testing.assert_allclose(inside[::-1], COLOURS["red"], atol=12)
    assert (mask > 0).mean() == pytest.approx(np.pi * 0.3**2, rel=0.05)
    np.testing.assert_allclose(image[mask == 0].mean(axis=0), [200, 200, 200], atol=12)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_stays_within_its_circle_and_differs_from_the_others(shape: str) -> None:
    own = coverage(thing(shape=shape), 96) > 127
    y, x = np.nonzero(own)
    reach = np.hypot((x + 0.5) / 96 - 0.5, (y + 0.5) / 96 - 0.5).max()
    assert 0.2 < reach < 0.36
    for other in set(SHAPES) - {shape}:
        overlap = coverage(thing(shape=other), 96) > 127
        assert (own & overlap).sum() / (own | overlap).sum() < 0.85, other


def test_a_thing_is_seen_where_the_scene_says() -> None:
    mask = coverage(thing(x=0.25, y=0.7, radius=0.1), 200) > 127
    y, x = np.nonzero(mask)
    assert x.mean() / 200 == pytest.approx(0.25, abs=0.01)
    assert y.mean() / 200 == pytest.approx(0.7, abs=0.01)


def test_relations_and_places_by_hand() -> None:
    assert relation(thing(x=0.2), thing(x=0.8)) == "left of"
    assert relation(thing(y=0.2), thing(y=0.8)) == "above"
    assert place(thing(x=0.5, y=0.5)) == "in the middle"
    assert place(thing(x=0.1, y=0.9)) == "at the bottom left"
    assert place(thing(x=0.9, y=0.5)) == "at the right"


def test_captions_are_true() -> None:
    for index in range(60):
        scene = draw_scene(0, "train", index)
        item = ShapesDataset(num_scenes=60)[index]
        raw, long = item["captions"][0]["text"], item["captions"][1]["text"]
        assert f"{scene.main.colour} {scene.main.shape}" in raw
        assert class_names()[item["gt_label"]] == f"{scene.main.colour} {scene.main.shape}"
        for part in scene.things:
            assert f"{part.colour} {part.shape}" in long
            assert 1 + SHAPES.index(part.shape) in np.unique(item["gt_seg_map"])
        assert long == long_caption(scene)
        assert len(long.split(". ")) == 2 + len(scene.things)


def test_the_main_thing_is_the_largest() -> None:
    for index in range(60):
        main, *others = draw_scene(0, "val", index).things
        assert all(other.radius < main.radius / 1.5 for other in others)


def test_pseudo_captions_are_noisy_at_the_stated_rate_and_repeat() -> None:
    texts, wrong, scores = 0, 0, {True: [], False: []}
    repeats = 0
    for index in range(800):
        scene = draw_scene(0, "train", index)
        captions = pseudo_captions(scene, (0, "train", index))
        assert len(captions) == PSEUDO_CAPTIONS
        repeats += len(captions) - len(set(captions))
        for text, score in set(captions):
            true = any(f"{t.colour} {t.shape}" in text for t in scene.things)
            texts, wrong = texts + 1, wrong + (not true)
            scores[true].append(score)
    expected = 1 - (1 - WRONG_WORD * 7 / 8) * (1 - WRONG_WORD * 9 / 10)
    assert wrong / texts == pytest.approx(expected, abs=0.04)
    assert repeats > 100
    assert np.mean(scores[True]) > np.mean(scores[False]) + 0.3


def test_classes_are_balanced_and_short_captions_mostly_differ() -> None:
    scenes = [draw_scene(0, "val", index) for index in range(500)]
    labels = Counter(class_label(scene.main) for scene in scenes)
    assert len(labels) == 80
    assert max(labels.values()) < 20
    captions = {ShapesDataset("val", 500)[index]["captions"][0]["text"] for index in range(500)}
    assert len(captions) > 460


def test_meta_information_and_class_set_agree() -> None:
    dataset = ShapesDataset(num_scenes=1)
    assert list(dataset.metainfo["classes"]) == resolve_class_names("shapes") == class_names()
    assert dataset.metainfo["seg_classes"][1 + SHAPES.index("star")] == "star"


def test_masks_have_a_name_and_a_colour_of_their_own_for_every_value() -> None:
    metainfo = ShapesDataset(num_scenes=1).metainfo
    assert len(set(metainfo["seg_palette"])) == len(metainfo["seg_classes"]) == 1 + len(SHAPES)


def test_a_loop_over_the_scenes_ends_and_indices_beyond_are_refused() -> None:
    dataset = ShapesDataset(num_scenes=3)
    assert [item["sample_idx"] for item in dataset] == [0, 1, 2]
    assert dataset[-1]["sample_idx"] == 2
    with pytest.raises(IndexError):
        dataset[3]


def test_a_subset_holds_the_scenes_that_were_asked_for() -> None:
    dataset = ShapesDataset(num_scenes=10)
    subset = dataset.get_subset([5, 8])
    assert [item["key"] for item in subset] == [dataset[5]["key"], dataset[8]["key"]]
    np.testing.assert_array_equal(subset[1]["img"], dataset[8]["img"])
    assert subset.get_cat_ids(1) == [dataset[8]["gt_label"]]


def test_splits_have_no_scene_in_common() -> None:
    scenes = [draw_scene(0, split, index) for split in ("train", "val", "test") for index in range(300)]
    assert len(set(scenes)) == 900


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown split 'dev'; known: train, val, test"):
        ShapesDataset(split="dev")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="num_scenes and size must be positive, got 0 and 64"):
        ShapesDataset(num_scenes=0)


def test_histogram_counts_pixels_of_equal_colour() -> None:
    image = np.zeros((4, 4, 3), dtype=np.uint8)
    image[:2] = (255, 0, 70)
    histogram = colour_histogram(image)
    assert histogram[0] == 0.5
    assert histogram[3 * 16 + 0 * 4 + 1] == 0.5


def test_ridge_recovers_a_linear_map_and_bags_ignore_order() -> None:
    features = torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
    weights = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    targets = features @ weights[:-1] + weights[-1]
    fitted = ridge(features, targets, 1e-6)
    torch.testing.assert_close(fitted, weights, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(
        apply_ridge(features, fitted), torch.nn.functional.normalize(targets), rtol=1e-3, atol=1e-3
    )
    bags = bags_of_words(["a red star.", "star red, a"], ["a", "blue", "red", "star"])
    torch.testing.assert_close(bags[0], bags[1])
    assert float(bags[0] @ bags[0]) == pytest.approx(1.0)
