"""What all tests share: no network, no GPU where there is none."""

import os

# Before any test imports a library that would look for a hub or a device.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest
import torch


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
