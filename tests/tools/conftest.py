"""What tests of the emoji tool share: the tool as a module, and a writer of npm packages."""

import importlib.util
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DATA_TOOLS = Path(__file__).parents[2] / "tools" / "data"


@pytest.fixture
def emoji(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The tool; its neighbours are found as they are when it runs as a script."""
    pytest.importorskip("resvg_py")
    monkeypatch.syspath_prepend(str(DATA_TOOLS))
    # Under a name of its own: PyPI has a package `emoji` too.
    spec = importlib.util.spec_from_file_location("emoji_tool", DATA_TOOLS / "emoji.py")
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


@pytest.fixture
def write_package() -> Callable[[Path, dict[str, Any]], Path]:
    """Writes an npm package: members by name, as JSON; bytes go in as they are."""

    def write(path: Path, members: dict[str, Any]) -> Path:
        with tarfile.open(path, "w:gz") as package:
            for name, content in members.items():
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                member = tarfile.TarInfo(f"package/{name}")
                member.size = len(data)
                package.addfile(member, io.BytesIO(data))
        return path

    return write
