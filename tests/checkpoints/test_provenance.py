"""Facts about code, data and machine."""

import os
import subprocess
from pathlib import Path

import pytest

from clipplus.checkpoints.provenance import annotation_fingerprints, drawn_data, git_state, machine, versions
from clipplus.version import __version__


def git(folder: Path, *arguments: str) -> None:
    name = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *name, *arguments], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with code and a document."""
    git(tmp_path, "init")
    (tmp_path / "clipplus").mkdir()
    (tmp_path / "clipplus" / "a.py").write_text("a = 1")
    (tmp_path / "page.md").write_text("words")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    return tmp_path


def test_changed_code_makes_a_checkout_dirty_and_a_document_does_not(checkout: Path) -> None:
    state = git_state(checkout)
    assert len(state["revision"]) == 40
    assert state["dirty"] is False
    (checkout / "page.md").write_text("other words")
    assert git_state(checkout)["dirty"] is False
    (checkout / "clipplus" / "a.py").write_text("a = 2")
    assert git_state(checkout) == {"revision": state["revision"], "dirty": True}


def test_a_package_inside_of_another_project_does_not_take_its_revision(checkout: Path, tmp_path: Path) -> None:
    assert git_state(checkout / "clipplus") == {"revision": None, "dirty": None}


def test_a_folder_without_git_has_no_revision(tmp_path: Path) -> None:
    assert git_state(tmp_path) == {"revision": None, "dirty": None}


def test_versions_and_machine_are_those_of_this_process() -> None:
    assert versions()["clipplus"] == __version__
    assert versions()["torch"]
    assert machine()["cores"] == len(os.sched_getaffinity(0))


def test_annotation_files_are_told_by_their_content(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}")
    config = dict(loaders=[dict(dataset=dict(ann_file=("a.jsonl", "none.jsonl"), data_root=str(tmp_path)))])
    found = annotation_fingerprints(config)
    assert found == {
        str(tmp_path / "a.jsonl"): "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        str(tmp_path / "none.jsonl"): None,
    }
    (tmp_path / "a.jsonl").write_text("{ }")
    assert annotation_fingerprints(config)[str(tmp_path / "a.jsonl")] != found[str(tmp_path / "a.jsonl")]


def test_drawn_data_are_their_options_once_and_without_pipeline() -> None:
    scenes = dict(type="Scenes", num_scenes=8, pipeline=[dict(type="Mix", dataset=dict(type="Pasted"))])
    wrapped = dict(dataset=dict(type="KeyedDataset", dataset=scenes))
    files = dict(dataset=dict(type="KeyedDataset", dataset=dict(type="Files", ann_file="a.jsonl")))
    assert drawn_data([wrapped, wrapped, files])[0] == {"type": "Scenes", "num_scenes": 8}
