"""The command line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from clipplus.cli import main

ROOT = Path(__file__).parents[1]
CONFIG = str(ROOT / "configs" / "clip" / "clip_vit-tiny-p8_1xb128-20e_own-pictures.py")


def test_list_names_the_baseline_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    first = capsys.readouterr().out.splitlines()[0].split(maxsplit=1)
    assert first == ["clip", "The one CLIP that all methods start from, train or refine."]


def test_info_describes_a_config(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", CONFIG]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if "  " in line)
    assert rows["model"] == "CLIPModel"
    assert rows["batch"] == "128"
    assert rows["length"] == "max_epochs=20"


def test_info_describes_a_method_and_refuses_unknown_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "clip"]) == 0
    assert "arXiv 2103.00020" in capsys.readouterr().out
    assert main(["info", "clap"]) == 2
    assert "unknown method 'clap'; known: clip" in capsys.readouterr().err
    assert main(["info", "nowhere.py"]) == 2
    assert "config nowhere.py does not exist" in capsys.readouterr().err


def test_method_without_commands_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clip", "train"]) == 2
    assert "method 'clip' has no commands of its own" in capsys.readouterr().err


def test_doctor_prints_versions_and_repairs() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "clipplus.cli", "doctor"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert "repairs for mmseg" in run.stdout or "pip install -e ." in run.stdout
    assert run.returncode == (1 if "!!" in run.stdout or "not installed" in run.stdout else 0)


def test_predict_names_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from mmengine.registry import MODELS

    import clipplus.clip  # noqa: F401 - registers the model

    tower = dict(
        embed_dim=16, quick_gelu=False,
        vision_cfg=dict(image_size=32, patch_size=8, width=32, layers=1, head_width=16),
        text_cfg=dict(context_length=16, vocab_size=49408, width=32, heads=2, layers=1),
    )  # fmt: skip
    config = dict(
        type="CLIPModel", image_tower=dict(type="CLIPImageTower", model=tower),
        text_tower=dict(type="CLIPTextTower", model=tower), loss=dict(type="SoftmaxContrastiveLoss"),
    )  # fmt: skip
    torch.save(
        {"state_dict": MODELS.build(config).state_dict(), "meta": {"clipplus": {"model": config}}}, tmp_path / "a.pth"
    )
    Image.new("RGB", (40, 30), "red").save(tmp_path / "red.png")
    picture = str(tmp_path / "red.png")
    assert main(["predict", str(tmp_path / "a.pth"), "--images", picture, "--names", "cat", "dog", "--json"]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["image"] == picture
    assert sorted(name for name, _ in line["names"]) == ["cat", "dog"]
    assert main(["predict", str(tmp_path / "b.pth"), "--images", picture, "--names", "cat"]) == 2
    assert "is no checkpoint file" in capsys.readouterr().err


def test_doctor_survives_a_host_that_cannot_be_imported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from clipplus import hosts
    from clipplus.hosts import versions

    def broken() -> bool:
        raise ImportError("no libGL.so.1")

    monkeypatch.setattr(hosts, "REPAIRS", {"mmpretrain": (), "mmseg": (broken,)})
    monkeypatch.setattr(versions, "check_versions", lambda: [versions.Finding("torch", "2.15.0", ">=2.6", "")])
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ok torch")
    assert lines[1:] == ["repairs for mmpretrain : none needed", "!! mmseg cannot be used: ImportError: no libGL.so.1"]


def test_installed_plugins_are_listed_and_broken_ones_do_not_hide_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rewrite").mkdir()
    (tmp_path / "rewrite" / "__init__.py").write_text('"""CLIP on rewritten captions."""\nraise SystemExit\n')
    info = tmp_path / "rewrite-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rewrite\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[clipplus.methods]\nrewrite = rewrite\nzombie = gone.package\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["list"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["rewrite"] == "CLIP on rewritten captions."
    assert lines["zombie"].startswith("Cannot be found: its package gone.package is gone")
