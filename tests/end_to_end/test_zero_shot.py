"""The zero-shot config on small imitations of its data sets, with a random tiny CLIP."""

import pickle
import re
import textwrap
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.datasets import CIFAR10
from PIL import Image

from clipplus.engine.launch import build_runner
from clipplus.text import ClassTextBank

CONFIG = Path(__file__).parents[2] / "configs" / "clip" / "clip_vit-base-p32_openai-pre_zeroshot_eleven.py"
TOWER = dict(
    embed_dim=16,
    quick_gelu=False,
    vision_cfg=dict(image_size=224, patch_size=56, width=32, layers=1, head_width=16),
    text_cfg=dict(context_length=32, vocab_size=49408, width=32, heads=2, layers=1),
)
SETS = ("cifar10", "food101", "caltech101", "imagenet")
RED = (250, 10, 20)
# CIFAR's 18 templates are these, with either article.
KINDS_AND_SIZES = [
    *((kind, "") for kind in ("", "blurry ", "black and white ", "low contrast ", "high contrast ", "bad ", "good ")),
    ("", "small "), ("", "big "),
]  # fmt: skip


def save_red(path: Path) -> None:
    """A red picture that is not square."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (60, 40), RED).save(path)


def write_cifar(root: Path) -> None:
    """The layout of CIFAR-10's Python archive: five empty training files, twelve test images, the first one red."""
    folder = root / "cifar10" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (12, 3, 32, 32), dtype=np.uint8)
    pixels[0] = np.array(RED, dtype=np.uint8)[:, None, None]
    content = {"data": pixels.reshape(12, -1), "labels": [index % 10 for index in range(12)]}
    (folder / "test_batch").write_bytes(pickle.dumps(content))
    for number in range(1, 6):
        (folder / f"data_batch_{number}").touch()


def write_folders(root: Path) -> None:
    """Food-101, Caltech-101 and ImageNet with two or three pictures each, in the layouts that the hosts document."""
    for name in ("cheese_plate/1", "cheesecake/2"):
        save_red(root / "food-101" / "images" / f"{name}.jpg")
    caltech = {"BACKGROUND_Google/1.jpg": 0, "Faces/2.jpg": 1, "yin_yang/3.jpg": 101}
    for name in caltech:
        save_red(root / "caltech-101" / "101_ObjectCategories" / name)
    for name in ("n01440764/1.JPEG", "n15075141/2.JPEG"):
        save_red(root / "imagenet" / "val" / name)
    lists = {
        "food-101/meta/test.txt": "cheese_plate/1\ncheesecake/2\n",
        "caltech-101/meta/test.txt": "".join(f"{name} {label}\n" for name, label in caltech.items()),
        "imagenet/meta/val.txt": "n01440764/1.JPEG 0\nn15075141/2.JPEG 999\n",
    }
    for name, text in lists.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """The config's Runner after its test; only towers, folders and the list of sets are changed."""
    root = tmp_path_factory.mktemp("zero_shot")
    write_cifar(root / "data")
    write_folders(root / "data")
    config = Config.fromfile(CONFIG)
    for part in (config.test_dataloader, config.test_evaluator):
        part.sets = {name: part.sets[name] for name in SETS}
    for loader in config.test_dataloader.sets.values():
        dataset = loader.dataset.get("dataset", loader.dataset)
        dataset.data_root = str(root / dataset.data_root)
    # A thousand classes times 80 templates are for tests of the list itself.
    config.test_evaluator.sets.imagenet.texts.templates = "photo"
    config.test_dataloader.num_workers = 0
    for tower in (config.model.image_tower, config.model.text_tower):
        tower.model, tower.pretrained = TOWER, None
    config.pop("val_dataloader"), config.pop("val_evaluator"), config.pop("val_cfg")
    config.work_dir = str(root / "work")
    with pytest.MonkeyPatch.context() as patch:
        # The host compares the files with the real archive's checksums.
        for attribute in ("train_list", "test_list"):
            patch.setattr(CIFAR10, attribute, [[name, None] for name, _ in getattr(CIFAR10, attribute)])
        runner = build_runner(config)
        runner.zero_shot_metrics = runner.test()
    return runner


def predictions(runner: Runner, name: str) -> list[dict]:
    return runner.test_loop.set_metrics[name][0].predictions


def test_every_set_reports_its_metrics_in_percent(runner: Runner) -> None:
    metrics = runner.zero_shot_metrics
    assert metrics.keys() == {f"{name}/{metric}" for name in SETS for metric in ("top1", "top5", "mean_class")}
    for name in SETS:
        assert 0 <= metrics[f"{name}/top1"] <= metrics[f"{name}/top5"] <= 100
        hits = [entry["top"][0][0] == entry["label_name"] for entry in predictions(runner, name)]
        assert metrics[f"{name}/top1"] == pytest.approx(100 * np.mean(hits))


def test_names_are_words_in_the_order_of_the_labels(runner: Runner) -> None:
    assert [entry["label_name"] for entry in predictions(runner, "food101")] == ["cheese plate", "cheesecake"]
    assert [entry["label_name"] for entry in predictions(runner, "cifar10")][:3] == ["airplane", "automobile", "bird"]
    assert [entry["label_name"] for entry in predictions(runner, "imagenet")] == ["tench", "toilet paper"]


def test_caltechs_background_is_no_class_and_no_sample(runner: Runner) -> None:
    found = predictions(runner, "caltech101")
    assert [(entry["label"], entry["label_name"]) for entry in found] == [
        (0, "off-center face"), (100, "yin and yang symbol"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["cifar10", "food101"])
def test_the_model_sees_red_as_red(runner: Runner, name: str) -> None:
    """CIFAR comes in RGB, files in BGR; the tower wants RGB."""
    batch = next(iter(runner.test_loop.loaders[name]))
    inputs = runner.model.data_preprocessor(batch)["inputs"]
    mean, std = runner.model.data_preprocessor.mean.flatten(), runner.model.data_preprocessor.std.flatten()
    assert inputs.shape[1:] == (3, 224, 224)
    torch.testing.assert_close(inputs[0].mean(dim=(1, 2)) * std + mean, torch.tensor(RED).float(), rtol=0, atol=3)


def test_predictions_are_the_nearest_averages_of_openais_prompts(runner: Runner) -> None:
    """The recipe by hand, one class at a time, with open_clip's tokens."""
    model, metric = runner.model.eval(), runner.test_loop.set_metrics["cifar10"][0]
    batch = next(iter(runner.test_loop.loaders["cifar10"]))
    forms = [f"a {kind}photo of {article} {size}{{}}." for article in ("a", "the") for kind, size in KINDS_AND_SIZES]
    classes = []
    with torch.no_grad():
        images = F.normalize(model.image_tower(model.data_preprocessor(batch)["inputs"]), dim=-1)
        for name in CIFAR10.METAINFO["classes"]:
            tokens = open_clip.tokenize([form.format(name) for form in forms], context_length=32)
            classes.append(F.normalize(F.normalize(model.text_tower(tokens), dim=-1).mean(dim=0), dim=0))
    scores, order = (images @ torch.stack(classes).T).sort(dim=1, descending=True)
    for entry, own_order, own_scores in zip(metric.predictions, order.tolist(), scores.tolist(), strict=True):
        assert [name for name, _ in entry["top"]] == [CIFAR10.METAINFO["classes"][index] for index in own_order[:5]]
        assert [score for _, score in entry["top"]] == pytest.approx(own_scores[:5], abs=1e-5)


def test_a_config_with_some_of_the_sets_as_the_page_writes_it(tmp_path: Path) -> None:
    page = (CONFIG.parents[2] / "docs" / "zero_shot.md").read_text()
    block = re.search(r"^(    _base_ = .*?)^\S", page, flags=re.MULTILINE | re.DOTALL)[1]
    (tmp_path / "some.py").write_text(textwrap.dedent(block).replace("./", f"{CONFIG.parent}/"))
    config = Config.fromfile(tmp_path / "some.py")
    assert config.test_dataloader.sets.keys() == config.test_evaluator.sets.keys() == {"cifar10", "pets"}
    assert config.test_evaluator.sets.pets.texts.templates == "openai-pets"


def test_every_set_of_the_config_has_known_names_and_templates_of_its_own_kind() -> None:
    config = Config.fromfile(CONFIG)
    assert config.test_dataloader.sets.keys() == config.test_evaluator.sets.keys()
    assert len(config.test_evaluator.sets) == 11
    for name, metric in config.test_evaluator.sets.items():
        texts = dict(metric.texts)
        texts.pop("type")
        bank = ClassTextBank(**texts)
        kind = {"cifar10": "cifar", "cifar100": "cifar"}.get(name, name)
        assert metric.texts.templates == ("openai" if name == "imagenet" else f"openai-{kind}")
        assert bank.classes is None or metric.texts.classes == name
