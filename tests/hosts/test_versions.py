"""The doctor's checks, on made-up sets of installed libraries."""

from importlib import metadata

import pytest

from clipplus.hosts.versions import check_versions

REQUIRES = [
    "numpy>=1.24,<2",
    "torch>=2.6",
    "tqdm",
    "resvg_py; extra == 'emoji'",
    "decord; platform_machine in 'no-such-machine'",
]
HEALTHY = {"clipplus": "0.1.0", "numpy": "1.26.4", "torch": "2.15.0+cpu", "tqdm": "4.67.1"}


def install(monkeypatch: pytest.MonkeyPatch, installed: dict[str, str]) -> None:
    """Let the metadata say that exactly these are installed."""

    def version(name: str) -> str:
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(metadata, "requires", lambda name: REQUIRES)


def test_a_healthy_set_needs_no_advice_and_extras_are_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, HEALTHY)
    findings = check_versions()
    assert [finding.name for finding in findings] == ["numpy", "torch", "tqdm"]
    assert [finding.advice for finding in findings] == ["", "", ""]
    assert findings[2].needed == "any"


def test_a_version_out_of_range_is_named_with_the_command_and_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, HEALTHY | {"numpy": "2.1.0"})
    finding = check_versions()[0]
    assert finding.installed == "2.1.0"
    assert finding.advice == 'pip install "numpy<2,>=1.24"  # numpy 2 breaks mmcv 2.1\'s transforms'


def test_a_missing_library_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, {name: version for name, version in HEALTHY.items() if name != "tqdm"})
    finding = check_versions()[2]
    assert finding.installed is None
    assert finding.advice == 'pip install "tqdm"'


def test_both_mmcvs_together_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, HEALTHY | {"mmcv": "2.1.0", "mmcv-lite": "2.1.0"})
    assert "pip uninstall -y mmcv mmcv-lite" in check_versions()[-1].advice
    install(monkeypatch, HEALTHY | {"mmcv": "2.1.0"})
    assert [finding.name for finding in check_versions()] == ["numpy", "torch", "tqdm"]


def test_without_an_installed_package_there_is_nothing_to_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, {})
    assert check_versions() == []
