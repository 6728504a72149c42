"""Fits from a config to `best.pth` and back: what they learn, what a test needs, what they refuse."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clipplus.checkpoints import load_restricted

METHODS = ["ape", "ape-t", "tip-adapter", "tip-adapter-f"]


def record_of(config: Any) -> dict[str, Any]:
    return load_restricted(Path(config.work_dir) / "best.pth")["meta"]["ape"]


@pytest.mark.parametrize("method", METHODS)
def test_a_fit_beats_zero_shot_on_validation_and_on_test(
    method: str, fit_config: Callable, build: Callable, tested: Callable
) -> None:
    zero_shot = fit_config("zero-shot", work_dir=fit_config().work_dir + "0")
    build(zero_shot).train()
    baseline = tested(zero_shot, Path(zero_shot.work_dir) / "best.pth")["toy/top1"]
    config = fit_config(method)
    build(config).train()
    search = record_of(config)["search"]
    assert search["accuracy"] >= search["accuracy_before"]
    assert search["accuracy"] > search["zero_shot"] + 5
    assert tested(config, Path(config.work_dir) / "best.pth")["toy/top1"] > baseline + 5


def test_training_lowers_the_loss(fit_config: Callable, build: Callable) -> None:
    runner = build(fit_config("ape-t"))
    runner.train()
    losses = runner.message_hub.get_scalar("train/loss").data[0]
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])


def test_the_best_epoch_is_what_the_search_starts_from(fit_config: Callable, build: Callable) -> None:
    config = fit_config("ape-t")
    build(config).train()
    best = next(Path(config.work_dir).glob("best_toy_top1_epoch_*.pth"))
    kept, final = load_restricted(best)["state_dict"], load_restricted(Path(config.work_dir) / "best.pth")["state_dict"]
    assert torch.equal(kept["head.residual"], final["head.residual"])
    assert record_of(config)["best_epoch"] == best.stem


def test_a_test_needs_no_training_data_and_no_texts(fit_config: Callable, build: Callable, tested: Callable) -> None:
    config = fit_config("ape")
    runner = build(config)
    runner.train()
    expected = runner.model.head.state_dict()
    shutil.rmtree(Path(config.work_dir).parent / "features")
    config.train_dataloader = config.model.text_bank = dict(type="Gone")
    file = Path(config.work_dir) / "best.pth"
    assert 50 < tested(config, file)["toy/top1"] <= 100
    stored = load_restricted(file)["state_dict"]
    assert {f"head.{name}" for name in expected} == stored.keys()
    assert all(torch.equal(stored[f"head.{name}"], value) for name, value in expected.items())


def test_the_same_config_ends_in_the_same_weights(fit_config: Callable, build: Callable) -> None:
    files = []
    for folder in ("one", "two"):
        config = fit_config("tip-adapter-f")
        config.work_dir += folder
        build(config).train()
        files.append(load_restricted(Path(config.work_dir) / "best.pth")["state_dict"])
    assert all(torch.equal(files[0][name], files[1][name]) for name in files[1])


@pytest.mark.parametrize(("method", "selects"), [("ape", True), ("ape-t", True), ("tip-adapter", False)])
def test_channels_are_drawn_and_named_in_the_log_where_some_are_selected(
    method: str, selects: bool, fit_config: Callable, build: Callable
) -> None:
    config = fit_config(method, log_level="INFO")
    build(config).train()
    picture = Path(config.work_dir) / "pictures" / "channels.png"
    log = next(Path(config.work_dir).glob("*/*.log")).read_text()
    assert picture.is_file() == selects
    assert (f"pictures: {picture}" in log) == selects


def test_the_table_of_the_search_is_written(fit_config: Callable, build: Callable) -> None:
    config = fit_config("ape")
    build(config).train()
    with np.load(Path(config.work_dir) / "search.npz") as table:
        assert table["hits"].shape == (8, 6, 3)
        assert table["accuracy"].max() == pytest.approx(record_of(config)["search"]["accuracy"])
        assert (len(table["betas"]), len(table["alphas"]), len(table["gammas"])) == (8, 6, 3)


def test_the_record_says_what_was_fitted(fit_config: Callable, build: Callable) -> None:
    config = fit_config("ape")
    build(config).train()
    record = record_of(config)
    assert record["classes"][:2] == ["thing 0", "thing 1"]
    assert len(record["shots"]) == 28
    assert all(name.startswith("train-") for name, _ in record["shots"])
    assert (record["num_views"], record["seed"], record["head"]["type"]) == (3, 0, "APEHead")
    assert record["search"] | dict(on="val", search_on_test=False, images=140) == record["search"]


def test_without_a_search_the_values_stay(fit_config: Callable, build: Callable) -> None:
    config = fit_config("ape")
    config.train_cfg.search = None
    config.model.head.update(alpha=2.5, gamma=0.2)
    build(config).train()
    state = load_restricted(Path(config.work_dir) / "best.pth")["state_dict"]
    assert (float(state["head.alpha"]), float(state["head.gamma"])) == (2.5, 0.2)


def test_without_validation_the_values_stay_and_a_warning_says_so(
    fit_config: Callable, build: Callable, capfd: pytest.CaptureFixture
) -> None:
    config = fit_config("ape")
    config.update(val_cfg=None, val_dataloader=None, val_evaluator=None)
    build(config).train()
    assert "no validation data: alpha, beta and gamma stay" in "".join(capfd.readouterr())
    assert "search" not in record_of(config)


def test_live_training_reads_other_views_in_every_epoch(fit_config: Callable, build: Callable) -> None:
    config = fit_config("ape-t", **{"train_cfg.train_features": "live", "train_cfg.max_epochs": 2})
    runner = build(config)
    seen: list[float] = []
    runner.model.register_forward_pre_hook(
        lambda model, given, named: seen.append(float(named["inputs"].sum())) if named.get("mode") == "loss" else None,
        with_kwargs=True,
    )
    runner.train()
    assert len(set(seen)) == 4


def test_searching_on_test_must_be_asked_for_and_is_said_and_stored(
    fit_config: Callable, build: Callable, tested: Callable, capfd: pytest.CaptureFixture
) -> None:
    config = fit_config("ape")
    config.val_dataloader = config.test_dataloader
    with pytest.raises(ValueError, match=r"val set 'toy' holds 140 images of the test set, e\.g\. 'test-0'"):
        build(config).train()
    config.train_cfg.search.on = "test"
    build(config).train()
    assert "CHOSEN ON TEST" in "".join(capfd.readouterr())
    search = record_of(config)["search"]
    assert (search["search_on_test"], search["on"], search["set"]) == (True, "test", "TEST set 'toy'")
    value = tested(config, Path(config.work_dir) / "best.pth")["toy/top1"]
    said = "".join(capfd.readouterr())
    assert "CHOSEN ON TEST: alpha, beta and gamma were chosen on TEST set 'toy'" in said
    assert f"toy/top1 {value:.2f}" in said


@pytest.mark.parametrize(("save_best", "refused"), [("toy/top1", True), (None, False)])
def test_the_best_epoch_is_not_chosen_on_test_either(
    save_best: str | None, refused: bool, fit_config: Callable, build: Callable
) -> None:
    config = fit_config("ape-t", **{"train_cfg.max_epochs": 1, "default_hooks.checkpoint.save_best": save_best})
    config.val_dataloader, config.train_cfg.search = config.test_dataloader, None
    if not refused:
        build(config).train()
        return
    with pytest.raises(ValueError, match=r"val set 'toy' holds 140 images of the test set"):
        build(config).train()
    # Before anything was trained.
    assert not list(Path(config.work_dir).glob("epoch_*.pth"))


def test_numbers_chosen_on_validation_come_without_a_warning(
    fit_config: Callable, build: Callable, tested: Callable, capfd: pytest.CaptureFixture
) -> None:
    config = fit_config("ape")
    build(config).train()
    tested(config, Path(config.work_dir) / "best.pth")
    assert "CHOSEN ON TEST" not in "".join(capfd.readouterr())


def test_a_search_on_the_shots_is_refused(fit_config: Callable, build: Callable) -> None:
    config = fit_config("ape")
    config.val_dataloader.sets.toy.dataset.split = "train"
    with pytest.raises(ValueError, match=r"val_dataloader\.sets\.toy holds 28 of the few-shot images, e\.g\. 'train-"):
        build(config).train()


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no views": ({"train_cfg.num_views": 0}, "train_cfg.num_views must be at least 1, got 0"),
    "unknown features": ({"train_cfg.train_features": "stored"}, "must be 'views' or 'live', got 'stored'"),
    "unknown search": ({"train_cfg.search.sett": "toy"}, "train_cfg.search has no option 'sett'"),
    "unknown place": ({"train_cfg.search.on": "train"}, "search.on must be 'val', 'test' or 'loo', got 'train'"),
    "two lists": ({"train_cfg.search.scale": [7, 7]}, "APEHead is searched over beta, alpha, gamma"),
    "nothing to train": ({"train_cfg.max_epochs": 3}, "APEHead has nothing to train: set train_cfg.max_epochs=0"),
    "averaged": ({"custom_hooks": [dict(type="EMAHook")]}, "EMAHook averages weights that have no size"),
    "no bank": ({"model.text_bank": None}, "a fit needs model.text_bank"),
    "no text tower": ({"model.text_bank.type": "ClassTextBank"}, "model.text_bank needs a text tower of its own"),
    "classes": ({"model.text_bank.classes": ["a", "b"]}, "names 2 classes, .* has 7; number 0 is .*'a', 'thing 0'"),
    "one class": ({"model.text_bank.classes": ["a"]}, "has one class, 'a': a classifier needs at least 2"),
    "width": ({"model.text_bank.width": 20}, "class texts have 20 channels, but keys 32"),
    "broken feature": (
        {"train_dataloader.dataset.dataset.dataset.broken": list(range(140))},
        r"train: the feature of image 'train-\d+' is not finite",
    ),
    "broken val feature": ({"val_dataloader.sets.toy.dataset.broken": [3]}, "val-toy: the feature of image 'val-3'"),
    "no such set": ({"train_cfg.search.set": "shapes"}, "search.set='shapes' is none of val_dataloader.sets: toy"),
    "empty validation": ({"val_dataloader.sets.toy.dataset.per_class": 0}, "ToyFeatures is empty"),
    "trained tower": ({"model.image_tower": dict(type="CLIPImageTower", model="RN50")}, "set image_tower.frozen=True"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_one_clear_error(case: str, fit_config: Callable, build: Callable) -> None:
    keys, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        build(fit_config("ape", **keys)).train()


def test_a_checkpoint_of_other_classes_is_refused(fit_config: Callable, build: Callable, tested: Callable) -> None:
    config = fit_config("ape")
    build(config).train()
    config.test_dataloader.sets.toy.dataset.names = [f"thing {label}" for label in (0, 2, 1, 3, 4, 5, 6)]
    with pytest.raises(ValueError, match=r"class 1 is 'thing 1' in .*best\.pth, but 'thing 2' in test set 'toy'"):
        tested(config, Path(config.work_dir) / "best.pth")


def test_a_checkpoint_of_another_head_is_refused(fit_config: Callable, build: Callable, tested: Callable) -> None:
    config = fit_config("ape")
    build(config).train()
    other = fit_config("tip-adapter")
    with pytest.raises(ValueError, match="was made by fitting a APEHead, but the config's head is a TipAdapterHead"):
        tested(other, Path(config.work_dir) / "best.pth")


def test_an_unfitted_classifier_cannot_be_tested(fit_config: Callable, build: Callable) -> None:
    with pytest.raises(ValueError, match=r"APEHead is not fitted: run tools/train\.py"):
        build(fit_config("ape")).test()


def test_a_loaded_head_is_kept_where_the_fit_would_be_the_same(fit_config: Callable, build: Callable) -> None:
    """Training goes on from what was trained; another fit replaces it and says so."""
    config = fit_config("ape-t", **{"train_cfg.max_epochs": 2})
    build(config).train()
    trained = load_restricted(Path(config.work_dir) / "epoch_2.pth")["state_dict"]["head.residual"]
    runner = build(loading(config, **{"optim_wrapper.optimizer.lr": 0.0}))
    runner.train()
    assert torch.equal(runner.model.head.residual, trained)


def test_another_fit_replaces_a_loaded_head_and_says_so(
    fit_config: Callable, build: Callable, capfd: pytest.CaptureFixture
) -> None:
    config = fit_config("ape")
    build(config).train()
    runner = build(loading(config, **{"train_dataloader.dataset.dataset.num_shots": 5}))
    runner.train()
    assert len(runner.model.head.cache_labels) == 35
    assert "was fitted with other features.samples, shots: it is replaced by a new fit" in "".join(capfd.readouterr())


def loading(config: Any, **keys: Any) -> Any:
    """The config of a run that begins with the weights of `config`'s."""
    changed = config.copy()
    changed.load_from = str(sorted(Path(config.work_dir).glob("*.pth"))[-1])
    changed.work_dir = f"{config.work_dir}-next"
    changed.merge_from_dict(keys)
    return changed


def test_views_of_length_1_weigh_the_same(fit_config: Callable, build: Callable) -> None:
    keys = {}
    for view_mean in ("raw", "unit"):
        runner = build(fit_config("tip-adapter", **{"train_cfg.view_mean": view_mean, "train_cfg.search": None}))
        runner.train()
        keys[view_mean] = runner.model.head.cache_keys
    views = runner.train_loop._stored["train"].features
    expected = (views / views.norm(dim=-1, keepdim=True)).sum(dim=0)
    torch.testing.assert_close(keys["unit"], expected / expected.norm(dim=1, keepdim=True))
    assert (keys["unit"] - keys["raw"]).abs().max() > 1e-6


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"model.text_bank.noise": 1.0}, "texts"),
        ({"train_cfg.view_mean": "unit"}, "view_mean"),
        ({"train_cfg.num_views": 2}, r"features\.views"),
        ({"model.head.num_channels": 0.25}, "head"),
        ({"train_dataloader.dataset.dataset.seed": 2}, r"features\.samples, shots"),
    ],
)
def test_going_on_with_another_fit_is_refused_and_says_what_differs(
    keys: dict, named: str, fit_config: Callable, build: Callable
) -> None:
    build(fit_config("ape-t", **{"train_cfg.max_epochs": 2})).train()
    changed = fit_config("ape-t", **keys)
    changed.resume, changed.load_from = True, str(Path(changed.work_dir) / "epoch_2.pth")
    with pytest.raises(ValueError, match=rf"was saved by a run that differs in {named}: the resumed run"):
        build(changed).train()
