"""Files of fitted heads: published ones in and out, slim ones, and fits on imported features."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from safetensors.torch import load_file, save_file
from torch.nn.functional import normalize, one_hot

from clipplus.cli import main
from clipplus.methods.ape.checkpoints import (
    load_head,
    read_official,
    read_official_apet,
    save_head,
    write_official,
)

ROOT = Path(__file__).parents[3]
CLASSES, SHOTS, WIDTH = 5, 4, 24


@pytest.fixture(autouse=True, scope="module")
def _scope() -> None:
    init_default_scope("mmpretrain")


def rows(count: int, seed: int) -> torch.Tensor:
    return normalize(torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed)), dim=1)


LABELS = torch.arange(CLASSES).repeat_interleave(SHOTS)
APE = dict(type="APEHead", num_channels=9, weights=(0.5, 0.5), alpha=2.0, beta=1.5, gamma=0.3)


def fitted(config: dict = APE):
    head = MODELS.build(config)
    head.fit(rows(CLASSES, 1), rows(len(LABELS), 2), LABELS)
    return head


def checkpoint(path: Path, config: dict = APE) -> Path:
    state = {f"head.{name}": value for name, value in fitted(config).state_dict().items()}
    meta = dict(ape=dict(head=dict(config), classes=[str(i) for i in range(CLASSES)]))
    torch.save(dict(state_dict={"other": torch.ones(1), **state}, meta=meta), path)
    return path


def test_official_files_come_back_as_they_went(tmp_path: Path) -> None:
    head = fitted()
    write_official(head, tmp_path, SHOTS)
    assert torch.load(tmp_path / "text_weights_cupl_t.pt").shape == (WIDTH, CLASSES)
    back = read_official(tmp_path, SHOTS)
    assert torch.equal(back.labels, LABELS)
    torch.testing.assert_close(back.text, head.text_weight, rtol=0, atol=1e-3)
    torch.testing.assert_close(back.keys, head.cache_keys, rtol=0, atol=1e-3)
    torch.testing.assert_close(back.keys.norm(dim=1), torch.ones(len(LABELS)))
    kept = read_official(tmp_path, SHOTS, renormalize=False)
    assert torch.equal(kept.keys, head.cache_keys.half().float())
    # In and out again changes no bit.
    again = MODELS.build(APE)
    again.fit(kept.text, kept.keys, kept.labels)
    write_official(again, tmp_path / "again", SHOTS)
    for file in tmp_path.glob("*.pt"):
        assert torch.equal(torch.load(file), torch.load(tmp_path / "again" / file.name))


def test_wrong_official_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"text_weights_cupl_t\.pt does not exist"):
        read_official(tmp_path, SHOTS)
    write_official(fitted(), tmp_path, SHOTS)
    with pytest.raises(FileNotFoundError, match=r"keys_8shots\.pt does not exist"):
        read_official(tmp_path, 8)
    torch.save(one_hot(LABELS).half() * 2, tmp_path / f"values_{SHOTS}shots.pt")
    with pytest.raises(ValueError, match="must be one-hot"):
        read_official(tmp_path, SHOTS)
    torch.save(one_hot(LABELS)[:3].half(), tmp_path / f"values_{SHOTS}shots.pt")
    with pytest.raises(ValueError, match=r"is \(3, 5\), but there are 20 keys and 5 class texts"):
        read_official(tmp_path, SHOTS)


OFFICIAL_MODULE = """
import sys, types, torch
utils = types.ModuleType('utils')
class APE_Training(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.shots, self.feat_dim, self.cate_num, self.feat_num = 4, 24, 5, 9
        self.res = torch.nn.Parameter(torch.full((5, 9), 0.25).half())
        self.value_weights = torch.nn.Parameter(torch.ones(20, 1).half())
        self.indices = torch.arange(9)
        self.other = NAMED
APE_Training.__module__ = 'utils'
utils.APE_Training = APE_Training
sys.modules['utils'] = utils
torch.save(APE_Training(), sys.argv[1])
"""


def official_module(path: Path, other: str = "1") -> Path:
    """A pickled module as the published code leaves it, from another process."""
    subprocess.run([sys.executable, "-c", OFFICIAL_MODULE.replace("NAMED", other), str(path)], check=True)
    return path


def test_an_official_ape_t_is_read_without_its_code(tmp_path: Path) -> None:
    found = read_official_apet(official_module(tmp_path / "APE-T_4shots.pt"))
    assert torch.equal(found["residual"], torch.full((5, 9), 0.25))
    assert found["value_weights"].shape == (20,)
    assert torch.equal(found["channels"], torch.arange(9))


def test_a_pickle_that_wants_more_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is refused: it asks for more .*posix"):
        read_official_apet(official_module(tmp_path / "x.pt", other="__import__('os').getcwd"))


def test_a_slim_head_has_the_same_logits_and_less_keys(tmp_path: Path) -> None:
    head, content = load_head(checkpoint(tmp_path / "best.pth"))
    before = head(rows(7, 3))
    head.slim()
    save_head(head, content, tmp_path / "slim.pth")
    small, _ = load_head(tmp_path / "slim.pth")
    assert small.cache_keys.shape == (len(LABELS), 9)
    torch.testing.assert_close(small(rows(7, 3)), before, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="slim cache holds the selected channels only and cannot be extended"):
        small.extend(rows(1, 4), torch.tensor([0]))
    with pytest.raises(ValueError, match="slim cache holds the selected channels only: export"):
        write_official(small, tmp_path, SHOTS)


def test_a_file_that_no_fit_wrote_is_refused(tmp_path: Path) -> None:
    torch.save(dict(state_dict={"a": torch.ones(1)}), tmp_path / "clip.pth")
    with pytest.raises(ValueError, match="holds no fitted few-shot classifier"):
        load_head(tmp_path / "clip.pth")


def test_export_and_extend_from_the_command_line(tmp_path: Path) -> None:
    file = checkpoint(tmp_path / "best.pth")
    assert main(["ape", "export", str(file), "--out", str(tmp_path / "all.safetensors")]) == 0
    assert torch.equal(load_file(tmp_path / "all.safetensors")["head.cache_keys"], fitted().cache_keys)
    more = {"features": rows(3, 5) * 2, "labels": torch.tensor([0, 5, 5])}
    save_file(more, tmp_path / "more.safetensors")
    save_file({"text_weight": rows(1, 6)}, tmp_path / "new.safetensors")
    grown = ["--features", str(tmp_path / "more.safetensors"), "--texts", str(tmp_path / "new.safetensors")]
    assert main(["ape", "extend", str(file), *grown, "--out", str(tmp_path / "grown.pth")]) == 0
    head, _ = load_head(tmp_path / "grown.pth")
    whole = MODELS.build(APE)
    whole.fit(
        torch.cat([rows(CLASSES, 1), rows(1, 6)]),
        torch.cat([rows(len(LABELS), 2), rows(3, 5)]),
        torch.cat([LABELS, more["labels"]]),
    )
    torch.testing.assert_close(head(rows(7, 3)), whole(rows(7, 3)))
    assert main(["ape", "export", str(file), "--out", str(tmp_path / "caches"), "--official", "4"]) == 0
    assert len(read_official(tmp_path / "caches", 4).keys) == len(LABELS)


@pytest.mark.usefixtures("plain_configs")
@pytest.mark.parametrize("name", ["ape", "ape-t"])
def test_published_features_are_fitted_and_tested_without_a_picture(tmp_path: Path, name: str) -> None:
    """Import, train and test, as a user would."""
    write_official(fitted(), tmp_path / "caches", SHOTS)
    centres, labels = rows(CLASSES, 1), torch.arange(CLASSES).repeat(6)
    for split, seed in (("val", 7), ("test", 8)):
        features = normalize(centres[labels] + 0.6 * rows(len(labels), seed), dim=1)
        torch.save(features.half(), tmp_path / "caches" / f"{split}_f.pt")
        torch.save(labels, tmp_path / "caches" / f"{split}_l.pt")
    config = ROOT / "configs" / "ape" / f"{name}_rn50_openai-pre_16shot_dtd.py"
    out = tmp_path / "features"
    arguments = [str(tmp_path / "caches"), "--shots", str(SHOTS), "--out", str(out), "--config", str(config)]
    assert main(["ape", "import", *arguments]) == 0
    own = out / config.name
    assert Config.fromfile(own).train_dataloader.dataset.dataset.path.endswith("train-{num_shots}shot.safetensors")
    table = ["ape", "table", str(own), "--shots", str(SHOTS), "--seeds", "1", "--out", str(tmp_path / "table")]
    options = ["model.head.num_channels=9", "train_cfg.search.steps=[5,5,5]" if name == "ape" else "randomness.seed=1"]
    assert main([*table, "--cfg-options", *options]) == 0
    line = (tmp_path / "table" / "table.csv").read_text().splitlines()[1].split(",")
    assert line[:5] == ["dtd", "dtd", config.stem, str(SHOTS), "1"]
    assert float(line[5]) > 60


def test_a_config_without_features_to_choose_or_test_on_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write_official(fitted(), tmp_path / "caches", SHOTS)
    config = ROOT / "configs" / "ape" / "ape_rn50_openai-pre_16shot_dtd.py"
    arguments = [str(tmp_path / "caches"), "--shots", str(SHOTS), "--out", str(tmp_path / "features")]
    assert main(["ape", "import", *arguments, "--config", str(config)]) == 2
    assert "neither val_f.pt and val_l.pt nor test_f.pt and test_l.pt" in capsys.readouterr().err
    assert not (tmp_path / "features").exists()
    assert main(["ape", "import", *arguments]) == 0
