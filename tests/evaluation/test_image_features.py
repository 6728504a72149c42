"""Features of pictures: views, their seeds, stretches, and what a description of them holds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset, Compose
from mmengine.registry import TRANSFORMS
from PIL import Image
from torch import Tensor

import clipplus.clip  # noqa: F401 - registers the parts
from clipplus.data import KeyedDataset
from clipplus.evaluation import FeatureCache, ImageFeatures, cached_features, feature_parts
from clipplus.evaluation.image_features import Views, sample_record

IMAGES, SIDE = 7, 6
LOADER = dict(batch_size=4, num_workers=0, collate_fn=dict(type="pseudo_collate"))


@TRANSFORMS.register_module(force=True)
class ShiftPixels:
    """Adds what the global generators say."""

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        results["img"] = results["img"].astype(np.float32) + np.random.rand() + float(torch.rand(1))
        return results


@TRANSFORMS.register_module(force=True)
class PackPixels:
    """To a tensor."""

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        return dict(inputs=torch.as_tensor(np.asarray(results["img"], dtype=np.float32)))


class Pictures(BaseDataset):
    """Files of a folder."""

    def load_data_list(self) -> list[dict[str, Any]]:
        return [
            dict(img_path=str(path), gt_label=i % 3) for i, path in enumerate(sorted(Path(self.data_root).iterdir()))
        ]


CONFIG = dict(
    type="Pictures", pipeline=[dict(type="LoadImageFromFile"), dict(type="ShiftPixels"), dict(type="PackPixels")]
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, SIDE, SIDE, 3), dtype=np.uint8)
    for i in range(IMAGES):
        Image.fromarray(pixels[i]).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def pictures(folder: Path) -> Pictures:
    return Pictures(data_root=str(folder), pipeline=CONFIG["pipeline"])


def embed(batch: dict[str, Any]) -> Tensor:
    """Mean colours and their squares."""
    pixels = torch.stack(batch["inputs"]).flatten(1, 2)
    return torch.cat([pixels.mean(dim=1), pixels.square().mean(dim=1)], dim=1)


@pytest.fixture
def extract(tmp_path: Path, pictures: Pictures) -> Callable[..., ImageFeatures]:
    """`extract(**options)`: features of the pictures, in a cache of their own."""

    def run(
        folder: str = "cache", embed: Callable = embed, loader: dict | None = None, **options: Any
    ) -> ImageFeatures:
        views = options.get("num_views", 1)
        parts = feature_parts(dict(name="toy"), [], pictures, CONFIG, views, options.get("seed", 0))
        return cached_features(
            FeatureCache(tmp_path / folder), "train", parts, pictures, {**LOADER, **(loader or {})}, embed, **options
        )

    return run


def test_views_are_what_keyed_samples_of_those_epochs_are(pictures: Pictures) -> None:
    keyed = KeyedDataset(pictures)
    keyed.seed = 5
    views = Views(pictures, 3, 5, "train")
    for index in range(IMAGES):
        for view, sample in enumerate(views[index]):
            assert torch.equal(sample["inputs"], keyed[view, index]["inputs"])


def test_a_picture_is_read_once_for_all_views(pictures: Pictures) -> None:
    reads = []
    load = pictures.pipeline.transforms[0]
    load.transform = (lambda inner: lambda results: reads.append(results["img_path"]) or inner(results))(load.transform)
    Views(pictures, 10, 0, "train")[2]
    assert len(reads) == 1


def test_features_have_the_order_labels_and_names_of_the_data(extract: Callable) -> None:
    found = extract()
    assert found.features.shape == (1, IMAGES, 6)
    assert found.labels.tolist() == [i % 3 for i in range(IMAGES)]
    assert found.ids == [f"{i}.png" for i in range(IMAGES)]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_workers_and_stretches_change_nothing(extract: Callable, workers: int) -> None:
    expected = extract(num_views=3)
    found = extract("other", loader=dict(batch_size=2, num_workers=workers), num_views=3, stretch=2)
    torch.testing.assert_close(found.features, expected.features, rtol=1e-6, atol=1e-4)


def test_another_seed_gives_other_views(extract: Callable) -> None:
    assert not torch.equal(extract(num_views=2).features, extract(num_views=2, seed=1).features)


def test_the_second_time_no_picture_is_opened(extract: Callable, folder: Path) -> None:
    expected = extract(num_views=2)
    for path in folder.iterdir():
        # Sizes are part of what is compared, contents are not looked at.
        path.write_bytes(b"x" * path.stat().st_size)
    assert torch.equal(extract(num_views=2).features, expected.features)


def test_a_killed_extraction_goes_on_where_it_was(extract: Callable) -> None:
    expected, seen, calls = extract("whole", stretch=2), [], []

    def noting(batch: dict[str, Any]) -> Tensor:
        seen.append(len(batch["inputs"]))
        return embed(batch)

    def kill() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(embed=noting, stretch=2, may_leave=kill)
    assert sum(seen) == 4
    assert torch.equal(extract(embed=noting, stretch=2).features, expected.features)
    assert sum(seen) == IMAGES


def test_a_truncated_file_is_made_anew(extract: Callable, tmp_path: Path) -> None:
    expected = extract().features.clone()
    path = next((tmp_path / "cache").glob("*.safetensors"))
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole[:-9])
    assert torch.equal(extract().features, expected)


def test_features_can_be_stored_as_float16(extract: Callable) -> None:
    found = extract(dtype="float16")
    assert found.features.dtype == torch.float16
    torch.testing.assert_close(found.unit_features(), extract("other").unit_features(), atol=1e-3, rtol=0)
    with pytest.raises(ValueError, match="feature dtype must be one of float32, float16, bfloat16, got 'int8'"):
        extract(dtype="int8")


def test_a_picture_that_cannot_be_read_is_named(extract: Callable, folder: Path) -> None:
    (folder / "3.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"train: image '.*/3\.png' cannot be read"):
        extract()


@pytest.mark.parametrize(
    ("value", "state"), [(0.0, "zero"), (float("nan"), "not finite"), (float("inf"), "not finite")]
)
def test_a_feature_without_direction_names_the_picture(extract: Callable, value: float, state: str) -> None:
    def broken(batch: dict[str, Any]) -> Tensor:
        features = embed(batch)
        features[-1] = value
        return features

    with pytest.raises(ValueError, match=rf"train: the feature of image '3\.png' is {state}"):
        extract(embed=broken)


def test_an_empty_set_is_refused(tmp_path: Path) -> None:
    class Nothing:
        pipeline = Compose([])

        def __len__(self) -> int:
            return 0

    with pytest.raises(ValueError, match="val has no images: check its ann_file"):
        cached_features(FeatureCache(tmp_path), "val", {}, Nothing(), LOADER, embed)


def description(dataset: Any, **changes: Any) -> dict[str, Any]:
    options: dict[str, Any] = dict(
        tower=dict(weights="a"), preprocessing=dict(mean=[1.0]), dataset=dataset, dataset_config=CONFIG, num_views=2,
        seed=0, dtype="float32",
    )  # fmt: skip
    return feature_parts(**{**options, **changes})


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        (dict(tower=dict(weights="b")), "tower"),
        (dict(preprocessing=dict(mean=[2.0])), "preprocessing"),
        (dict(dataset_config={**CONFIG, "pipeline": CONFIG["pipeline"][1:]}), "pipeline"),
        (dict(dataset_config={**CONFIG, "size": 3}), "data"),
        (dict(num_views=3), "views"),
        (dict(seed=1), "seed"),
        (dict(dtype="float16"), "dtype"),
    ],
)
def test_each_thing_that_features_depend_on_is_a_part(pictures: Pictures, changes: dict, part: str) -> None:
    before, after = description(pictures), description(pictures, **changes)
    assert [name for name in before if before[name] != after[name]] == [part]


def test_another_picture_label_or_size_is_another_set_of_samples(pictures: Pictures, folder: Path) -> None:
    before = description(pictures)["samples"]
    assert description(Pictures(data_root=str(folder), pipeline=CONFIG["pipeline"], indices=6))["samples"] != before
    (folder / "0.png").write_bytes(b"of another size")
    assert description(pictures)["samples"] != before


def test_where_the_data_lie_does_not_count(pictures: Pictures, folder: Path) -> None:
    before = description(pictures)
    moved = folder.rename(folder.with_name("elsewhere"))
    assert description(Pictures(data_root=str(moved), pipeline=CONFIG["pipeline"])) == before


def test_scenes_are_described_without_being_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    from clipplus.data.shapes import ShapesDataset

    scenes = ShapesDataset(num_scenes=3, split="val")
    expected = scenes.get_data_info(1)
    monkeypatch.setattr("clipplus.data.shapes.dataset.render", None)
    assert sample_record(scenes, 1) == (expected["key"], None, expected["gt_label"])
