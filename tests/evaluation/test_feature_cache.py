"""Files of features: hits, misses that say why, damage, stretches."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.logging import MMLogger

from clipplus.evaluation import FeatureCache, ImageFeatures, read_features
from clipplus.evaluation.feature_cache import changed_parts

PARTS: dict[str, Any] = dict(
    tower=dict(name="tiny", weights="ab12"), pipeline=[dict(type="CenterCrop", crop_size=8)], samples="5 images",
    views=2, seed=0, dtype="float32",
)  # fmt: skip


def content(images: int = 5, first: int = 0) -> ImageFeatures:
    generator = torch.Generator().manual_seed(first)
    ids = [f"{first + i}.png" for i in range(images)]
    return ImageFeatures(torch.randn(2, images, 3, generator=generator), torch.arange(first, first + images), ids)


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "features")


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Any:
    """What is logged, by whichever logger is the current one."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO)
    yield caplog
    logger.removeHandler(caplog.handler)


def test_what_is_written_is_read_again(cache: FeatureCache) -> None:
    path = cache.write("train", PARTS, content())
    for found in (cache.read("train", PARTS), read_features(path)):
        assert torch.equal(found.features, content().features)
        assert torch.equal(found.labels, content().labels)
        assert found.ids == content().ids


def test_tuples_and_lists_in_the_description_are_the_same(cache: FeatureCache) -> None:
    cache.write("train", {**PARTS, "mean": (1, 2)}, content())
    assert cache.read("train", {**PARTS, "mean": [1, 2]}) is not None


@pytest.mark.parametrize("part", sorted(PARTS))
def test_a_miss_says_which_part_changed(cache: FeatureCache, part: str, log: Any) -> None:
    cache.write("train", PARTS, content())
    cache.write("train", {**PARTS, "tower": dict(name="other"), "views": 7, "seed": 9}, content())
    assert cache.read("train", {**PARTS, part: "something else"}) is None
    assert f"features of train: the stored ones are of another {part}" in log.text.splitlines()[-1]
    assert changed_parts(PARTS, {**PARTS, part: None}) == [part]


def test_a_miss_without_any_file_says_so(cache: FeatureCache, log: Any) -> None:
    assert cache.read("val", PARTS) is None
    assert "none are stored in" in log.text


@pytest.mark.parametrize("damage", ["truncated", "empty", "no features"])
def test_a_damaged_file_is_a_miss_with_a_warning(cache: FeatureCache, damage: str, log: Any) -> None:
    path = cache.write("train", PARTS, content())
    whole = path.read_bytes()
    path.write_bytes({"truncated": whole[:-5], "empty": b"", "no features": b"hello"}[damage])
    assert cache.read("train", PARTS) is None
    assert f"{path} is damaged and is computed anew" in log.text
    with pytest.raises(ValueError, match="truncated or no feature file"):
        read_features(path)


def test_missing_feature_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.safetensors does not exist"):
        read_features(tmp_path / "nowhere.safetensors")


def test_stretches_become_one_file_in_their_order(cache: FeatureCache) -> None:
    for first in (3, 0):
        cache.write_stretch("train", PARTS, first, content(3, first))
    folder = cache.stretch_path("train", PARTS, 0).parent
    (folder / "000000006.4711.partial.safetensors").write_bytes(b"of a run that was killed")
    cache.join_stretches("train", PARTS, [0, 3])
    found = cache.read("train", PARTS)
    assert found.labels.tolist() == [0, 1, 2, 3, 4, 5]
    assert torch.equal(found.features, torch.cat([content(3, 0).features, content(3, 3).features], dim=1))
    assert not folder.exists()


def test_a_missing_stretch_is_an_error_that_names_it(cache: FeatureCache) -> None:
    cache.write_stretch("train", PARTS, 0, content(3))
    with pytest.raises(RuntimeError, match="stretch from image 3 on is not in"):
        cache.join_stretches("train", PARTS, [0, 3])


def test_mean_over_views_is_taken_before_rows_are_made_unit() -> None:
    """A view of larger norm weighs more (as in the published code)."""
    views = torch.tensor([[[3.0, 0.0]], [[0.0, 1.0]]])
    found = ImageFeatures(views, torch.tensor([0]), ["a"]).unit_features()
    assert found[0].tolist() == pytest.approx([3 / 10**0.5, 1 / 10**0.5])
