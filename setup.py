"""Packaging of clipplus; tools are configured in pyproject.toml."""

import runpy
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = runpy.run_path(str(HERE / "clipplus" / "version.py"))["__version__"]

# Tested together; docs/troubleshooting.md says why each upper bound is there.
REQUIRES = [
    "torch>=2.6",
    "torchvision",
    "numpy>=1.24,<2",
    "opencv-python>=4.8,<4.12",
    "setuptools<81",
    "mmengine>=0.10.7,<0.11",
    "mmcv-lite>=2.1,<2.2",
    "mmpretrain>=1.2,<1.3",
    "mmsegmentation>=1.2.2,<1.3",
    # It requires decord, whose wheels are for x86-64 only; elsewhere the video methods say so and the others work.
    "mmaction2>=1.2,<1.3; platform_machine in 'x86_64 AMD64'",
    "decord; platform_machine in 'x86_64 AMD64'",
    "open_clip_torch>=3.3",
    "diffusers>=0.30",
    "transformers>=4.45",
    "av>=12",
    "safetensors",
    "einops",
    "jaxtyping>=0.3",
    "packaging",
    "tqdm",
]

EXTRAS = {
    "tests": [
        "pytest>=8",
        "hypothesis",
        "beartype",
        "ruff==0.17.*",
        "mypy>=2.4,<2.5",
        "import-linter>=2.16,<3",
        "coverage",
        "scikit-image",
        "scikit-learn",
        "tensorboard",
        "resvg_py",
    ],
    "docs": ["scikit-image", "scikit-learn"],
    "emoji": ["resvg_py"],
    "tensorboard": ["tensorboard"],
}

setup(
    name="clipplus",
    version=VERSION,
    description="Seven methods that make CLIP better, sharing one CLIP, on MMEngine",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["clipplus", "clipplus.*"]),
    install_requires=REQUIRES,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["clipplus = clipplus.cli:main"]},
)
