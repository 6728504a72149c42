"""Class names: lists, files, and named sets that data sets bring along."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import open_clip

from clipplus.did_you_mean import did_you_mean
from clipplus.text.benchmark_classes import CALTECH101, FLOWERS102

#: Named class-name sets; a data set of ours adds its own on import. A name never changes its content.
CLASS_SETS: dict[str, Callable[[], Sequence[str]]] = {
    "caltech101": lambda: CALTECH101,
    "flowers102": lambda: FLOWERS102,
    "imagenet": lambda: open_clip.IMAGENET_CLASSNAMES,
}


def readable_names(labels: Sequence[str]) -> list[str]:
    """A data set's labels as words: blanks for underscores ('aquarium_fish' -> 'aquarium fish')."""
    return [" ".join(label.replace("_", " ").split()) for label in labels]


def resolve_class_names(classes: str | Sequence[str]) -> list[str]:
    """A list of class names; position = label.

    Args:
        classes: a list; the name of a set in `CLASS_SETS`; or a file, `PATH` or `PATH:SPLIT`: text with one name per
            line, JSON with a list, or JSON with an object of lists of which `SPLIT` names one.

    Raises:
        ValueError: unknown set (with the nearest known one), unknown split, empty list, or a name that appears twice.
    """
    if isinstance(classes, str) and classes in CLASS_SETS:
        # Published sets are taken as they are: ImageNet's has 'missile' and 'sunglasses' twice.
        return list(CLASS_SETS[classes]())
    names = _read(classes) if isinstance(classes, str) else list(classes)
    if not names:
        raise ValueError(f"no class names in {classes!r}")
    if any(not name.strip() for name in names):
        raise ValueError(f"class names must not be empty, got {classes!r:.80}")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(
            f"class names must differ, but {', '.join(map(repr, twice[:5]))} appear twice in {classes!r:.80}"
        )
    return names


def _read(classes: str) -> list[str]:
    path, split = Path(classes).expanduser(), None
    if not path.is_file() and ":" in classes:
        name, split = classes.rsplit(":", 1)
        path = Path(name).expanduser()
    if not path.is_file():
        hint = did_you_mean(classes, CLASS_SETS)
        raise ValueError(f"'{classes}' is neither a class-name set ({', '.join(sorted(CLASS_SETS))}) nor a file{hint}")
    if path.suffix != ".json":
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    content = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(content, dict):
        if split not in content:
            raise ValueError(f"{path} has the splits {', '.join(content)}; state one as '{path}:SPLIT'")
        content = content[split]
    if not isinstance(content, list) or not all(isinstance(name, str) for name in content):
        raise ValueError(f"{path} must hold a list of class names")
    return content
