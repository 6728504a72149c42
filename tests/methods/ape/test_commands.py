"""`clipplus ape extend` on a fit: what a test of the grown classifier needs."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import normalize

from clipplus.checkpoints import load_restricted
from clipplus.cli import main

WIDTH = 32


@pytest.fixture
def best(fit_config: Callable, build: Callable) -> Path:
    config = fit_config("ape")
    build(config).train()
    return Path(config.work_dir) / "best.pth"


def more(folder: Path, *labels: int) -> list[str]:
    rows = torch.randn(len(labels), WIDTH, generator=torch.Generator().manual_seed(0))
    save_file({"features": rows, "labels": torch.tensor(labels)}, folder / "more.safetensors")
    return ["--features", str(folder / "more.safetensors")]


def new_texts(folder: Path, classes: int) -> list[str]:
    rows = normalize(torch.randn(classes, WIDTH, generator=torch.Generator().manual_seed(1)), dim=1)
    save_file({"text_weight": rows}, folder / "texts.safetensors")
    return ["--texts", str(folder / "texts.safetensors")]


def test_more_shots_are_part_of_the_record(best: Path, tmp_path: Path) -> None:
    assert main(["ape", "extend", str(best), *more(tmp_path, 0, 3), "--out", str(tmp_path / "grown.pth")]) == 0
    before, after = (load_restricted(file)["meta"]["ape"] for file in (best, tmp_path / "grown.pth"))
    assert after["classes"] == before["classes"]
    assert after["shots"][:28] == before["shots"]
    assert [label for _, label in after["shots"][28:]] == [0, 3]


def test_a_classifier_with_a_new_class_is_tested_on_data_with_that_class(
    best: Path, tmp_path: Path, fit_config: Callable, tested: Callable
) -> None:
    grown = ["--out", str(tmp_path / "grown.pth")]
    arguments = ["ape", "extend", str(best), *more(tmp_path, 7, 7, 1), *new_texts(tmp_path, 1), *grown]
    assert main([*arguments, "--classes", "thing 7"]) == 0
    config = fit_config("ape")
    config.test_dataloader.sets.toy.dataset.names = [f"thing {label}" for label in range(8)]
    assert tested(config, tmp_path / "grown.pth")["toy/top1"] > 50
    config.test_dataloader.sets.toy.dataset.names[7] = "another"
    with pytest.raises(ValueError, match=r"class 7 is 'thing 7' in .*grown\.pth, but 'another' in test set"):
        tested(config, tmp_path / "grown.pth")


def test_new_classes_need_a_name_each_or_none(best: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "grown.pth"
    arguments = ["ape", "extend", str(best), *more(tmp_path, 7), *new_texts(tmp_path, 1), "--out", str(out)]
    assert main([*arguments, "--classes", "a", "b"]) == 2
    assert "--texts holds 1 new classes, but --classes names 2" in capsys.readouterr().err
    assert not out.exists()
    assert main(arguments) == 0
    assert load_restricted(out)["meta"]["ape"]["classes"][6:] == ["thing 6", "7"]


def test_values_can_be_searched_again_on_features_that_are_no_shots(
    best: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    generator = torch.Generator().manual_seed(3)
    content = {"features": torch.randn(14, WIDTH, generator=generator), "labels": torch.arange(7).repeat(2)}
    save_file(content, tmp_path / "val.safetensors")
    grown = ["ape", "extend", str(best), *more(tmp_path, 0, 3), "--out", str(tmp_path / "grown.pth")]
    assert main([*grown, "--search", str(tmp_path / "val.safetensors")]) == 0
    before, after = (load_restricted(file)["meta"]["ape"]["search"] for file in (best, tmp_path / "grown.pth"))
    assert f"search on {tmp_path / 'val.safetensors'} (14 images)" in capsys.readouterr().out
    assert (after["images"], after["on"], after["scale"]) == (14, "val", before["scale"])
    assert after["accuracy"] >= after["accuracy_before"]
    state = load_restricted(tmp_path / "grown.pth")["state_dict"]
    assert {name: float(state[f"head.{name}"]) for name in after["best"]} == after["best"]
    assert main([*grown, "--search", str(tmp_path / "more.safetensors")]) == 2
    assert "holds 2 of the few-shot images" in capsys.readouterr().err
