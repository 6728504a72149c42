"""What all tests share: no network, no GPU where there is none, golden files.

A golden test says `@pytest.mark.golden("METHOD", "KIND")` and takes `golden`: it runs on every file of that kind below
`tests/data/golden/METHOD`, or below `DIR/METHOD` with `pytest --golden DIR`. A file's kind is what its metadata calls
`kind`, or else the beginning of its name.
"""

import os

# Before any test imports a library that would look for a hub or a device.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("MPLBACKEND", "Agg")

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

_GOLDEN = Path(__file__).parent / "data" / "golden"


@dataclass(frozen=True)
class Golden:
    """A golden file: its tensors by name, and its metadata."""

    path: Path
    tensors: dict[str, torch.Tensor]
    metadata: dict[str, str]

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.tensors[name]

    def __contains__(self, name: str) -> bool:
        return name in self.tensors


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", type=Path, metavar="DIR", help="run golden tests on the files of another folder")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "golden(method, kind): runs on every golden file of this kind")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each golden file of the marked kind."""
    marker = metafunc.definition.get_closest_marker("golden")
    if marker is None:
        return
    method, kind = marker.args
    other = metafunc.config.getoption("--golden")
    folder = (other or _GOLDEN) / method
    files = [path for path in sorted(folder.glob("*.safetensors")) if _kind_fits(path, kind)]
    if files:
        metafunc.parametrize("golden", files, ids=[path.stem for path in files], indirect=True)
    elif other:
        nothing = pytest.mark.skip(reason=f"no file of kind '{kind}' in {folder}")
        metafunc.parametrize("golden", [pytest.param(None, marks=nothing)], indirect=True)
    else:
        pytest.fail(f"no golden file of kind '{kind}' in {folder}", pytrace=False)


def _kind_fits(path: Path, kind: str) -> bool:
    with safe_open(path, framework="pt") as file:
        stated = (file.metadata() or {}).get("kind")
    return path.stem.startswith(kind) if stated is None else stated.strip("_") == kind.strip("_")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """The golden file that a marked test runs on."""
    with safe_open(request.param, framework="pt") as file:
        return Golden(request.param, {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {})  # noqa: SIM118 - no mapping


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked `gpu` on machines without one."""
    skip = pytest.mark.skip(reason="no GPU")
    for item in items:
        if "gpu" in item.keywords and not torch.cuda.is_available():
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Computed class texts never reach the user's cache."""
    monkeypatch.setenv("CLIPPLUS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
