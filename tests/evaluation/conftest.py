"""Points and their evaluation, for the tests of classifiers on frozen features."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def points() -> ModuleType:
    """probe_worker.py as a module."""
    path = Path(__file__).with_name("probe_worker.py")
    spec = importlib.util.spec_from_file_location("probe_worker", path)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module
