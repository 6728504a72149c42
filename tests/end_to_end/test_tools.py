"""tools/train.py and tools/test.py from arguments to files, and what they refuse."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

import clipplus
from clipplus.checkpoints import load_restricted

ROOT = Path(__file__).parents[2]


class RunsOnLoad:
    """Pickles to a call of `os.system`."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple:
        return os.system, (self.command,)


@pytest.fixture
def malicious(trained: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A good checkpoint with a call in it, and the file that the call would make."""
    marker = tmp_path / "marker"
    # The good part is read without the project's own loader, as an attacker would.
    content = torch.load(trained / "epoch_1.pth", weights_only=False)
    torch.save(content | {"extra": RunsOnLoad(f"touch {marker}")}, tmp_path / "evil.pth")
    return tmp_path / "evil.pth", marker


def test_training_leaves_a_checkpoint_that_describes_its_model(trained: Path) -> None:
    record = load_restricted(trained / "epoch_1.pth")["meta"]["clipplus"]
    assert record["model"]["type"] == "CLIPModel"
    assert record["quick_gelu"] is False


def test_test_writes_metrics_predictions_and_pictures(
    test_tool: ModuleType, trained: Path, arguments: list[str], tmp_path: Path
) -> None:
    metrics = test_tool.main([
        arguments[0], str(trained / "epoch_1.pth"), "--work-dir", str(tmp_path),
        "--out", str(tmp_path / "out" / "m.json"),
        "--dump", str(tmp_path / "p.jsonl"), "--show-dir", str(tmp_path / "pictures"), *arguments[1:],
    ])  # fmt: skip
    written = json.loads((tmp_path / "out" / "m.json").read_text())
    assert written["metrics"] == metrics
    assert metrics.keys() == {f"own/{way}_R@{k}" for way in ("image_to_text", "text_to_image") for k in (1, 5)}
    lines = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert len(lines) == 12
    hits = [line["image_to_text"][0][0] == line["sample_id"] for line in lines]
    assert 100 * np.mean(hits) == pytest.approx(metrics["own/image_to_text_R@1"])
    assert Image.open(tmp_path / "pictures" / "own_gallery.png").size[0] > 300


@pytest.mark.parametrize("batch_size", [1, 5, 12])
def test_results_do_not_depend_on_the_batch_size(
    test_tool: ModuleType, trained: Path, arguments: list[str], tmp_path: Path, batch_size: int
) -> None:
    def recall(size: int) -> dict[str, float]:
        options = [*arguments[1:], f"test_dataloader.batch_size={size}"]
        return test_tool.main(
            [arguments[0], str(trained / "epoch_1.pth"), "--work-dir", str(tmp_path / str(size)), *options]
        )

    assert recall(batch_size) == recall(7)


def test_loaded_checkpoint_embeds_like_the_test_and_names_pictures(trained: Path, pictures: Path) -> None:
    model = clipplus.load(trained / "epoch_1.pth")
    images = [str(pictures / f"{index}.png") for index in range(4)]
    embeddings = model.embed_images([*images, Image.open(images[0]), np.asarray(Image.open(images[1]))])
    torch.testing.assert_close(embeddings[4:], embeddings[:2])
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(6))
    named = model.classify(images, ["noise", "a cat", "grass"])
    assert sum(probability for _, probability in named[0]) == pytest.approx(1.0, abs=1e-5)
    assert named[0][0][1] >= named[0][1][1] >= named[0][2][1]
    texts = model.embed_texts(["a photo of a noise.", "a photo of a cat."])
    similarity = (embeddings[:1] @ texts.T)[0]
    by_name = dict(named[0])
    assert (similarity[0] > similarity[1]) == (by_name["noise"] > by_name["a cat"])


def test_load_says_what_is_wrong_with_its_input(trained: Path, tmp_path: Path) -> None:
    model = clipplus.load(trained / "epoch_1.pth")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(FileNotFoundError, match=r"picture nowhere.png does not exist"):
        model.embed_images(["nowhere.png"])
    with pytest.raises(ValueError, match=r"text.png cannot be read"):
        model.embed_images([tmp_path / "text.png"])
    with pytest.raises(ValueError, match=r"must be uint8 \(H, W, 3\) RGB, got float64 \(4, 4\)"):
        model.embed_images([np.zeros((4, 4))])
    with pytest.raises(FileNotFoundError, match=r"'ViT-B-32' is no checkpoint file; .* pretrained=TAG"):
        clipplus.load("ViT-B-32")
    torch.save({"state_dict": {"visual.proj": torch.zeros(2)}}, tmp_path / "bare.pth")
    with pytest.raises(ValueError, match=r"bare.pth does not describe its model"):
        clipplus.load(tmp_path / "bare.pth")


def test_malicious_checkpoints_are_refused_by_every_door(
    train_tool: ModuleType, test_tool: ModuleType, arguments: list[str], malicious: tuple[Path, Path], tmp_path: Path
) -> None:
    evil, marker = malicious
    refusal = re.escape(f"{evil} is refused: it asks for posix.system")
    work = ["--work-dir", str(tmp_path / "work")]
    with pytest.raises(ValueError, match=refusal):
        test_tool.main([arguments[0], str(evil), *work, *arguments[1:]])
    with pytest.raises(ValueError, match=refusal):
        train_tool.main([arguments[0], "--resume", str(evil), *work, *arguments[1:]])
    with pytest.raises(ValueError, match=refusal):
        train_tool.main([*arguments, f"load_from={evil}", *work])
    with pytest.raises(ValueError, match=refusal):
        train_tool.main([*arguments, f"model.image_tower.pretrained={evil}", *work])
    with pytest.raises(ValueError, match=refusal):
        clipplus.load(evil)
    assert not marker.exists()


def test_zoo_addresses_are_refused(train_tool: ModuleType, arguments: list[str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'mmcls://resnet' names a model zoo or store: download the file"):
        train_tool.main([*arguments, "load_from=mmcls://resnet", "--work-dir", str(tmp_path)])


def test_truncated_and_foreign_checkpoints_give_one_clear_error(
    test_tool: ModuleType, trained: Path, arguments: list[str], tmp_path: Path
) -> None:
    work = ["--work-dir", str(tmp_path / "work")]
    (tmp_path / "cut.pth").write_bytes((trained / "epoch_1.pth").read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"cut.pth cannot be read: it is truncated or no PyTorch checkpoint"):
        test_tool.main([arguments[0], str(tmp_path / "cut.pth"), *work, *arguments[1:]])
    torch.save({"state_dict": {"fc.weight": torch.zeros(3)}}, tmp_path / "foreign.pth")
    with pytest.raises(ValueError, match=r"foreign.pth does not fit CLIPModel: \d+ keys missing"):
        test_tool.main([arguments[0], str(tmp_path / "foreign.pth"), *work, *arguments[1:]])


def test_a_test_without_checkpoint_and_pretrained_towers_is_refused(
    test_tool: ModuleType, arguments: list[str], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"no checkpoint was given, and image_tower, text_tower of"):
        test_tool.main([arguments[0], "--work-dir", str(tmp_path), *arguments[1:]])


def test_resume_continues_and_auto_without_checkpoint_starts_fresh(
    train_tool: ModuleType, trained: Path, arguments: list[str], tmp_path: Path
) -> None:
    options = [option for option in arguments[2:] if not option.startswith("train_cfg.max_epochs")]
    longer = [arguments[0], "--work-dir", str(tmp_path), "--no-validate"]
    whole = ["--cfg-options", *options, "train_cfg.max_epochs=2"]
    train_tool.main([*longer, "--resume", *whole])
    first = load_restricted(tmp_path / "epoch_2.pth")["state_dict"]
    (tmp_path / "epoch_2.pth").unlink()
    # A folder stands for the newest checkpoint in it.
    train_tool.main([*longer, "--resume", str(tmp_path), *whole])
    for name, value in load_restricted(tmp_path / "epoch_2.pth")["state_dict"].items():
        assert torch.equal(value, first[name]), name


def test_missing_files_are_named(
    train_tool: ModuleType, test_tool: ModuleType, arguments: list[str], tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match=r"config nowhere.py does not exist"):
        train_tool.main(["nowhere.py"])
    with pytest.raises(ValueError, match=r"--resume: checkpoint nowhere.pth does not exist"):
        train_tool.main([arguments[0], "--resume", "nowhere.pth", *arguments[1:]])
    with pytest.raises(ValueError, match=r"--resume: folder .* holds no epoch_N.pth"):
        train_tool.main([arguments[0], "--resume", str(tmp_path), *arguments[1:]])
    with pytest.raises(FileNotFoundError, match=r"checkpoint nowhere.pth does not exist"):
        test_tool.main([arguments[0], "nowhere.pth", *arguments[1:]])


def test_dry_run_reports_cost_and_leaves_nothing(
    train_tool: ModuleType, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_tool.main([arguments[0], "--dry-run", "--work-dir", str(tmp_path / "work"), *arguments[1:]])
    assert re.search(
        r"dry run: [\d.]+ s per update, \d+ samples/s, peak memory [\d.]+ GiB, 3 updates", capsys.readouterr().out
    )
    assert not (tmp_path / "work").exists()


def test_auto_scale_lr_without_a_base_is_refused(train_tool: ModuleType, arguments: list[str], tmp_path: Path) -> None:
    options = [*arguments[1:], "auto_scale_lr=None"]
    with pytest.raises(ValueError, match=r"states no auto_scale_lr.base_batch_size"):
        train_tool.main([arguments[0], "--auto-scale-lr", "--work-dir", str(tmp_path), *options])


def test_mpi_without_mpi4py_is_one_clear_error(train_tool: ModuleType, arguments: list[str]) -> None:
    with pytest.raises(ValueError, match="--launcher mpi needs mpi4py"):
        train_tool.main([arguments[0], "--launcher", "mpi", *arguments[1:]])


def test_averaged_weights_are_what_checkpoints_hold_and_load_reads(
    train_tool: ModuleType, arguments: list[str], tmp_path: Path
) -> None:
    config = tmp_path / "clip_ema.py"
    config.write_text(
        f"_base_ = [{arguments[0]!r}]\n"
        "custom_hooks = [dict(type='LogitScaleClampHook'), dict(type='EMAHook', momentum=0.5)]\n"
    )
    train_tool.main([str(config), *arguments[1:], "--work-dir", str(tmp_path / "work")])
    content = load_restricted(tmp_path / "work" / "epoch_1.pth")
    averaged, raw = content["state_dict"], content["ema_state_dict"]
    name = "image_tower.visual.proj"
    assert not torch.equal(averaged[name], raw[f"module.{name}"])
    loaded = clipplus.load(tmp_path / "work" / "epoch_1.pth").model.state_dict()
    assert torch.equal(loaded[name], averaged[name])


def test_unreadable_pictures_beyond_the_limit_stop_the_training_and_are_named(
    train_tool: ModuleType, arguments: list[str], pictures: Path, tmp_path: Path
) -> None:
    lines = (pictures / "train.jsonl").read_text().splitlines()
    for index in range(48):
        target = tmp_path / f"{index}.png"
        target.write_bytes((pictures / f"{index}.png").read_bytes()[: 40 if index in (3, 7) else None])
    (tmp_path / "train.jsonl").write_text("\n".join(lines) + "\n")
    options = [
        *arguments[1:], f"train_dataloader.dataset.dataset.data_root={tmp_path}",
        "train_dataloader.dataset.max_bad_fraction=0.03",
    ]  # fmt: skip
    with pytest.raises(RuntimeError, match=r"2 of 48 samples cannot be read, allowed are 1 .* '[37].png'"):
        train_tool.main([arguments[0], "--work-dir", str(tmp_path / "work"), "--no-validate", *options])


def test_training_writes_tensorboard_files_where_it_is_installed(trained: Path) -> None:
    pytest.importorskip("tensorboard")
    assert list(trained.rglob("events.out.tfevents*"))


def test_a_folder_per_class_is_a_zero_shot_set(
    test_tool: ModuleType, trained: Path, arguments: list[str], tmp_path: Path
) -> None:
    for name, colour in (("red", (255, 0, 0)), ("green", (0, 255, 0))):
        (tmp_path / "classes" / name).mkdir(parents=True)
        for index in range(3):
            Image.new("RGB", (70, 80), colour).save(tmp_path / "classes" / name / f"{index}.png")
    page = (Path(arguments[0]).parents[2] / "docs" / "own_pictures.md").read_text()
    block = page.split("folders' names are the classes.")[1].split("Records with")[0]
    block = "\n".join(line[4:] for line in block.strip("\n").splitlines())
    config = tmp_path / "clip_classes.py"
    config.write_text(
        f"_base_ = [{arguments[0]!r}]\n" + block.replace("data/own/classes", str(tmp_path / "classes")).replace(
            "val_dataloader = dict(sets", "test_dataloader = dict(_delete_=True, batch_size=4, num_workers=0, "
            "persistent_workers=False, sets"
        ).replace("val_evaluator = dict(sets", "test_evaluator = dict(_delete_=True, sets")
    )  # fmt: skip
    metrics = test_tool.main([str(config), str(trained / "epoch_1.pth"), "--work-dir", str(tmp_path / "work")])
    assert metrics.keys() == {"own_classes/top1", "own_classes/top5", "own_classes/mean_class"}
    assert metrics["own_classes/top5"] == 100.0


def test_a_checkpoint_cannot_name_what_is_to_be_called(trained: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    content = load_restricted(trained / "epoch_1.pth")
    content["meta"]["clipplus"]["model"]["image_tower"] = {"type": "subprocess.call", "args": ["touch", str(marker)]}
    torch.save(content, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match=r"evil.pth is refused: its image_tower is described as 'subprocess.call'"):
        clipplus.load(tmp_path / "evil.pth")
    content["meta"]["clipplus"]["model"]["image_tower"] = {"type": "CLIPImageTower", "model": "hf-hub:someone/model"}
    torch.save(content, tmp_path / "hub.pth")
    with pytest.raises(ValueError, match=r"hub.pth is refused: its image_tower names the model 'hf-hub:someone/model'"):
        clipplus.load(tmp_path / "hub.pth")
    for entry in ({"timm_model_name": "hf-hub:someone/model"}, {"timm_model_pretrained": True}):
        content["meta"]["clipplus"]["model"]["image_tower"]["model"] = {"embed_dim": 8, "vision_cfg": entry}
        torch.save(content, tmp_path / "nested.pth")
        with pytest.raises(ValueError, match=r"nested.pth is refused: its image_tower .* fetch"):
            clipplus.load(tmp_path / "nested.pth")
    assert not marker.exists()


def test_checkpoints_of_the_other_activation_are_refused(
    test_tool: ModuleType, trained: Path, arguments: list[str], tmp_path: Path
) -> None:
    content = load_restricted(trained / "epoch_1.pth")
    content["meta"]["clipplus"]["quick_gelu"] = True
    torch.save(content, tmp_path / "quick.pth")
    with pytest.raises(ValueError, match=r"uses GELU but '.*quick.pth' was trained with QuickGELU"):
        test_tool.main([arguments[0], str(tmp_path / "quick.pth"), "--work-dir", str(tmp_path), *arguments[1:]])


def test_resuming_averaged_weights_without_averaging_is_refused(
    train_tool: ModuleType, trained: Path, arguments: list[str], tmp_path: Path
) -> None:
    content = load_restricted(trained / "epoch_1.pth")
    torch.save(content | {"ema_state_dict": {}}, tmp_path / "ema.pth")
    with pytest.raises(ValueError, match=r"ema.pth was written with EMAHook: resume with the same hook"):
        train_tool.main([
            arguments[0], "--resume", str(tmp_path / "ema.pth"), "--work-dir", str(tmp_path), *arguments[1:],
        ])  # fmt: skip


def test_two_ranks_evaluate_like_one(
    test_tool: ModuleType, trained: Path, pictures: Path, arguments: list[str], tmp_path: Path
) -> None:
    """11 pictures on 2 ranks: the loader pads, and the padding must not count."""
    lines = (pictures / "val.jsonl").read_text().splitlines()[:11]
    (pictures / "odd.jsonl").write_text("\n".join(lines) + "\n")
    options = [*arguments[1:], "test_dataloader.sets.own.dataset.ann_file=odd.jsonl", "test_dataloader.batch_size=2"]
    checkpoint = str(trained / "epoch_1.pth")
    files = ["--out", str(tmp_path / "one.json"), "--dump", str(tmp_path / "one.jsonl")]
    test_tool.main([arguments[0], checkpoint, "--work-dir", str(tmp_path / "one"), *files, *options])
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
        str(ROOT / "tools" / "test.py"),
        arguments[0], checkpoint, "--launcher", "pytorch", "--work-dir", str(tmp_path / "two"),
        "--out", str(tmp_path / "two.json"), "--dump", str(tmp_path / "two.jsonl"), *options,
    ]  # fmt: skip
    run = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-3000:]
    results = [json.loads((tmp_path / f"{name}.json").read_text())["metrics"] for name in ("one", "two")]
    assert results[0] == results[1]
    dumps = [
        [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()] for name in ("one", "two")
    ]
    assert [r["sample_id"] for r in dumps[0]] == [r["sample_id"] for r in dumps[1]]
    assert len(dumps[1]) == 11


@pytest.mark.parametrize(
    ("option", "message", "code"),
    [
        ("optim_wrapper.optimizer.lr=1e30", "error: updates skipped in a row: 5 (max_in_a_row=5); the last", 2),
        ("train_dataloader.dataset.max_bad_fraction=0.0", "1 of 48 samples cannot be read", 1),
    ],
)
def test_a_failed_training_with_workers_ends_with_its_message(
    arguments: list[str], pictures: Path, tmp_path: Path, option: str, message: str, code: int
) -> None:
    for index in range(48):
        keep = 40 if "bad_fraction" in option and index == 3 else None
        (tmp_path / f"{index}.png").write_bytes((pictures / f"{index}.png").read_bytes()[:keep])
    (tmp_path / "train.jsonl").write_text((pictures / "train.jsonl").read_text())
    command = [
        sys.executable, str(ROOT / "tools" / "train.py"), arguments[0], "--no-validate",
        "--work-dir", str(tmp_path / "w"), *arguments[1:],
        f"train_dataloader.dataset.dataset.data_root={tmp_path}", "train_dataloader.num_workers=1",
        "train_cfg.max_epochs=5", "param_scheduler=[]", option,
    ]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert message in run.stderr
    assert run.returncode == code


def test_misspelt_options_are_refused_with_a_guess(train_tool: ModuleType, arguments: list[str]) -> None:
    with pytest.raises(ValueError, match=r"optim_wraper.optimizer.lr: the config has no 'optim_wraper' \(did you mean"):
        train_tool.main([*arguments, "optim_wraper.optimizer.lr=1"])
