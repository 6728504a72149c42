"""The documents: links point to files that exist, and the own-pictures page is followed to the letter."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "configs").rglob("*.md")]
)
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_own_files_are_alive(page: Path) -> None:
    dead = [target for target in LINK.findall(page.read_text()) if not (page.parent / target).exists()]
    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_commands_name_exist(page: Path) -> None:
    """Whatever a page tells to run is there."""
    named = re.findall(
        r"(?:python|bash) ((?:tools|configs|benchmarks)/[\w./-]+)|(configs/[\w./-]+\.py)", page.read_text()
    )
    missing = [path for pair in named for path in pair if path and not (ROOT / path).exists()]
    assert missing == []


def bash_blocks(page: Path) -> list[str]:
    """The page's ```bash blocks, in order."""
    return re.findall(r"^```bash\n(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def run_block(block: str, folder: Path) -> str:
    """Run a block as a reader would, in a folder that looks like a checkout."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    run = subprocess.run(["bash", "-euo", "pipefail", "-c", block], cwd=folder, env=environment, capture_output=True,
                         text=True, timeout=280, check=False)  # fmt: skip
    assert run.returncode == 0, f"{block}\n{run.stderr[-3000:]}"
    return run.stdout + run.stderr


def test_own_pictures_page_followed_literally(tmp_path: Path) -> None:
    for name in ("configs", "tools"):
        (tmp_path / name).symlink_to(ROOT / name)
    outputs = [run_block(block, tmp_path) for block in bash_blocks(ROOT / "docs" / "own_pictures.md")]
    metrics = json.loads((tmp_path / "work_dirs" / "own" / "metrics.json").read_text())["metrics"]
    assert metrics["own/image_to_text_R@1"] >= 60
    assert metrics["own/text_to_image_R@1"] >= 60
    assert (tmp_path / "work_dirs" / "own" / "pictures" / "own_gallery.png").is_file()
    assert "('a ginger cat', " in outputs[-1]
