"""Which versions of the libraries are installed, which are needed, and what breaks otherwise."""

import re
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement

#: Why a bound is there, for libraries whose other versions install without complaint and break later.
REASONS = {
    "numpy": "numpy 2 breaks mmcv 2.1's transforms",
    "opencv-python": "opencv 4.12 and later need numpy 2",
    "setuptools": "setuptools 81 and later have no pkg_resources, which mmengine's `_base_ = 'mmseg::...'` imports",
    "mmcv-lite": "mmsegmentation and mmaction2 refuse mmcv 2.2",
}


@dataclass(frozen=True)
class Finding:
    """One library.

    Attributes:
        name: on the package index.
        installed: version, or None.
        needed: version range as declared by this package.
        advice: what to do; empty when all is well.
    """

    name: str
    installed: str | None
    needed: str
    advice: str


def installed_version(name: str) -> str | None:
    """Version of an installed distribution, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def check_versions() -> list[Finding]:
    """All declared requirements against what is installed, and the two mmcvs against each other.

    Returns:
        A finding per requirement; none when clipplus itself is not installed as a package.
    """
    findings: list[Finding] = []
    if installed_version("clipplus") is None:
        return findings
    for text in metadata.requires("clipplus") or []:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        findings.append(_check(requirement))
    findings.extend(_check_two_mmcvs())
    return findings


def _check(requirement: Requirement) -> Finding:
    installed = installed_version(requirement.name)
    fits = installed is not None and requirement.specifier.contains(_release(installed), prereleases=True)
    advice = ""
    if not fits:
        reason = REASONS.get(requirement.name, "")
        advice = f'pip install "{requirement.name}{requirement.specifier}"' + (f"  # {reason}" if reason else "")
    return Finding(requirement.name, installed, str(requirement.specifier) or "any", advice)


def _release(version: str) -> str:
    """Without a local part such as `+cpu`."""
    return re.sub(r"\+.*", "", version)


def _check_two_mmcvs() -> list[Finding]:
    """The two mmcvs own the same folder: whichever was installed last has overwritten the other."""
    full = installed_version("mmcv")
    if full is None or installed_version("mmcv-lite") is None:
        return []
    advice = "pip uninstall -y mmcv mmcv-lite && pip install mmcv-lite (or reinstall the full mmcv after clipplus)"
    return [Finding("mmcv", full, "not beside mmcv-lite", advice)]
