"""`torch.compile` of a tower's residual blocks, in place."""

import os
import shutil
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from torch import nn

_COMPILERS = {"darwin": "clang++", "win32": "cl"}


def compile_blocks(blocks: Iterable[nn.Module], dynamic: bool | None = None) -> None:
    """Let every block be compiled when it is first called; state-dict keys stay as they are.

    Blocks rather than the whole tower: they are alike, so one is compiled and the others take its code.

    Args:
        blocks: modules of one class.
        dynamic: torch.compile's: True compiles at once for every length (texts); None for the shapes that come first.

    Raises:
        FileNotFoundError: this machine cannot compile; the message names what is missing.
    """
    _require_compiler()
    for block in blocks:
        block.compile(dynamic=dynamic)


def _require_compiler() -> None:
    """The two things that torch's code generator needs, looked for where it looks for them."""
    compiler = os.environ.get("CXX") or _COMPILERS.get(sys.platform, "g++")
    if shutil.which(compiler) is None:
        raise FileNotFoundError(
            f"compile=True needs a C++ compiler, and '{compiler}' is not on the PATH: install it, name another one in "
            "the environment variable CXX, or set compile=False"
        )
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.is_file():
        raise FileNotFoundError(
            f"compile=True needs Python's headers, and {header} does not exist: install them (Debian: python3-dev), or "
            "set compile=False"
        )
