"""Options of the command line either change the run or are refused."""

import argparse
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from clipplus.engine.launch import add_run_arguments, merge_options, read_config, require_known_options

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture
def config() -> Config:
    opened, root = dict(type="ClipInit"), "data/own/"
    dataset = dict(data_root=root, ann_file=root + "train.txt", pipeline=[opened, dict(type="ClipDecode")])
    return Config(dict(opened=opened, root=root, size=7, model=dict(), train_dataloader=dict(dataset=dataset)))


def test_options_reach_the_config(config: Config) -> None:
    merge_options(config, {"train_dataloader.dataset.pipeline.0.type": "DecordInit", "randomness.seed": 3})
    assert config.train_dataloader.dataset.pipeline[0].type == "DecordInit"
    assert config.randomness.seed == 3


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("opened.type", r"'opened' is a variable of the config file .* where it went: train_dataloader\.dataset\.pipe"
         r"line\.0, or in the file"),
        ("root", r"where it went: train_dataloader\.dataset\.data_root, train_dataloader\.dataset\.ann_file, or in"),
        ("size", r"'size' is a variable of the config file and .*; change it there$"),
        ("modle.backbone", r"--cfg-options modle\.backbone: the config has no 'modle' \(did you mean 'model'\?\)"),
    ],
)  # fmt: skip
def test_names_that_nothing_reads_are_refused(option: str, message: str, config: Config) -> None:
    with pytest.raises(ValueError, match=message):
        require_known_options(config, [option])


@pytest.mark.parametrize(
    "options",
    [
        {"train_dataloader.dataset.pipeline.7.type": "X"},
        {"train_dataloader.dataset.pipeline.first.type": "X"},
        {"train_dataloader.dataset.data_root.0.x": 1},
    ],
    ids=str,
)
def test_places_that_the_config_does_not_have_are_refused(options: dict[str, Any], config: Config) -> None:
    with pytest.raises(ValueError, match=r"--cfg-options train_dataloader\.dataset\..* do not fit the config"):
        merge_options(config, options)


@pytest.mark.parametrize("name", ["opened", "segments", "pack", "splits", "videos", "random_clip"])
def test_variables_of_the_few_shot_data_are_refused(name: str) -> None:
    path = CONFIGS / "few_shot_video" / "otam_rn50_openai-pre_1xb1-accum4-1x1x8-5w1s-1250iters_hmdb51.py"
    with pytest.raises(ValueError, match=f"'{name}' is a variable of the config file"):
        require_known_options(Config.fromfile(path), [f"{name}.type"])


def test_what_a_runner_of_its_own_reads_is_known() -> None:
    path = CONFIGS / "clip" / "clip_vit-large-p14_8xb512-fsdp-32e_own-pictures-224.py"
    require_known_options(Config.fromfile(path), ["strategy.type", "sync_bn", "randomness.seed"])


def test_an_option_without_value_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_run_arguments(parser)
    assert parser.parse_args(["c.py", "--cfg-options", "a.b=1", "c=x"]).cfg_options == {"a.b": 1, "c": "x"}
    with pytest.raises(SystemExit):
        parser.parse_args(["c.py", "--cfg-options", "a.b=1", "lr"])
    assert "--cfg-options: expected KEY=VALUE, got 'lr'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.py", "x = (", r"config .*a\.py cannot be read: SyntaxError"),
        ("a.py", "x = y", r"config .*a\.py cannot be read: NameError"),
        ("a.py", "custom_imports = dict(imports=['nobodys.module'])", r"a\.py cannot be read: ImportError: .*nobodys"),
        ("a.md", "x", r"config .*a\.md cannot be read: OSError"),
    ],
)
def test_files_that_are_no_configs_are_refused(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_config(tmp_path / name)
