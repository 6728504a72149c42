"""Which methods there are: found by looking, never by importing, so that listing them costs nothing."""

import ast
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

#: Installed plugins name their packages in this entry-point group.
ENTRY_POINTS = "clipplus.methods"


@dataclass(frozen=True)
class Method:
    """One method.

    Attributes:
        name: of its folder, and of its commands.
        module: to import, and what a config's `custom_imports` names.
        docstring: of its package.
        folder: where its code is.
    """

    name: str
    module: str
    docstring: str
    folder: Path

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return self.docstring.strip().splitlines()[0] if self.docstring.strip() else ""


def find_methods() -> list[Method]:
    """The baseline, the methods of this package, and those of installed plugins, in this order."""
    here = Path(__file__).parent
    found = [_read("clip", "clipplus.clip", here / "clip")]
    found += [
        _read(init.parent.name, f"clipplus.methods.{init.parent.name}", init.parent)
        for init in sorted((here / "methods").glob("*/__init__.py"))
    ]
    for entry in sorted(metadata.entry_points(group=ENTRY_POINTS)):
        origin = _origin(entry.value)
        if origin is None:
            broken = f"Cannot be found: its package {entry.value} is gone; reinstall or uninstall the plugin."
            found.append(Method(entry.name, entry.value, broken, here))
        else:
            found.append(_read(entry.name, entry.value, origin.parent))
    return found


def _origin(module: str) -> Path | None:
    """The file of a plugin's package, if it is still there."""
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:
        return None
    return None if spec is None or spec.origin is None else Path(spec.origin)


def _read(name: str, module: str, folder: Path) -> Method:
    tree = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
    return Method(name, module, ast.get_docstring(tree) or "", folder)
