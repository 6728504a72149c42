"""Read what emoji pictures are made of: icon packages of Iconify and emojibase's English names, both from npm."""

import json
import re
import shutil
import subprocess
import tarfile
import unicodedata
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ICON_MEMBERS = ("icons.json", "chars.json", "info.json", "package.json")
NAME_MEMBERS = ("en/data.json", "meta/groups.json", "package.json")
LEFT_OUT_GROUPS = ("component", "flags")
STYLE_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Thing:
    """One class: what a picture can show.

    Attributes:
        label: English name, unique.
        keywords: further English words for it.
        group, subgroup: emojibase's folders.
        emoji: the characters.
        hexcode: their code points without variation selectors, lower case, as icon packages write them.
        file: file name without suffix, unique within its group.
    """

    label: str
    keywords: tuple[str, ...]
    group: str
    subgroup: str
    emoji: str
    hexcode: str
    file: str


def read_package(path: Path, members: Iterable[str]) -> dict[str, Any]:
    """The JSON members of an npm package by name; nothing is extracted to disk.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a package, a truncated one, or one without these members.
    """
    if not path.is_file():
        raise FileNotFoundError(f"package '{path}' does not exist")
    contents = {}
    try:
        with tarfile.open(path, "r:gz") as package:
            for name in members:
                member = package.getmember(f"package/{name}")
                stream = package.extractfile(member) if member.isfile() else None
                if stream is None:
                    raise ValueError(f"{path}: package/{name} is not a plain file")
                contents[name] = _parse(stream.read(), f"{path}: package/{name}")
    except KeyError as error:
        raise ValueError(
            f"{path}: {error.args[0]}; expected an npm package (.tgz) with {', '.join(members)}"
        ) from error
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise ValueError(f"{path}: not a whole npm package (.tgz), delete it and fetch it again: {error}") from error
    return contents


def _parse(content: bytes, where: str) -> Any:
    try:
        return json.loads(content)
    # Also what is not UTF-8 at all.
    except ValueError as error:
        raise ValueError(f"{where} is no whole JSON file, delete the package and fetch it again: {error}") from error


def require_style_name(style: Any, what: str) -> None:
    """Refuse a style name that could not be a folder's and a package's.

    Raises:
        ValueError: as said; begins with `what`.
    """
    if not isinstance(style, str) or not STYLE_NAME.fullmatch(style):
        raise ValueError(f"{what} must name a style (a-z, 0-9, dashes), got {style!r:.60}")


def read_icons(path: Path) -> dict[str, Any]:
    """An icon package's members, see `ICON_MEMBERS`.

    Raises:
        ValueError: as `read_package`, members of another form, or a style name that could not be a folder's.
    """
    package = read_package(path, ICON_MEMBERS)
    icons, npm = package["icons.json"], package["package.json"]
    if not isinstance(icons, dict) or not isinstance(icons.get("icons"), dict):
        raise ValueError(f"{path}: icons.json must be an object with the drawings in 'icons'")
    if not all(map(_is_icon, icons["icons"].values())):
        raise ValueError(f"{path}: every drawing in icons.json must have its SVG text in 'body', and numbers as sizes")
    aliases, chars = icons.get("aliases", {}), package["chars.json"]
    if not isinstance(aliases, dict) or not all(map(_is_alias, aliases.values())):
        raise ValueError(f"{path}: 'aliases' in icons.json must be an object of objects with 'parent'")
    if not isinstance(chars, dict) or not all(isinstance(name, str) for name in chars.values()):
        raise ValueError(f"{path}: chars.json must be an object from code points to names of drawings")
    _require_version(npm, path)
    info = package["info.json"]
    require_style_name(info.get("prefix") if isinstance(info, dict) else None, f"{path}: 'prefix' in info.json")
    for name in ("author", "license"):
        if not isinstance(info.get(name, {}), dict):
            raise ValueError(f"{path}: '{name}' in info.json must be an object, got {info[name]!r:.60}")
    return package


def _is_icon(icon: Any) -> bool:
    sizes = ("width", "height", "left", "top")
    return (
        isinstance(icon, dict)
        and isinstance(icon.get("body"), str)
        and all(isinstance(icon.get(size), int | float | None) for size in sizes)
    )


def read_names(path: Path) -> dict[str, Any]:
    """emojibase-data's members, see `NAME_MEMBERS`.

    Raises:
        ValueError: as `read_package`, or members of another form.
    """
    package = read_package(path, NAME_MEMBERS)
    entries, meta = package["en/data.json"], package["meta/groups.json"]
    if not isinstance(entries, list) or not all(map(_is_entry, entries)):
        raise ValueError(f"{path}: en/data.json must be a list of objects with 'hexcode', 'label' and 'tags'")
    if not isinstance(meta, dict) or not all(map(_is_names, map(meta.get, ("groups", "subgroups")))):
        raise ValueError(f"{path}: meta/groups.json must be an object with the names of 'groups' and 'subgroups'")
    _require_version(package["package.json"], path)
    return package


def _is_alias(alias: Any) -> bool:
    return isinstance(alias, dict) and isinstance(alias.get("parent"), str)


def _is_names(names: Any) -> bool:
    return isinstance(names, dict) and all(isinstance(name, str) for name in names.values())


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("hexcode"), str):
        return False
    label, tags = entry.get("label"), entry.get("tags", [])
    return isinstance(label, str | None) and isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)


def _require_version(npm: Any, path: Path) -> None:
    if not isinstance(npm, dict) or not all(isinstance(npm.get(name), str) for name in ("name", "version")):
        raise ValueError(f"{path}: package.json must have 'name' and 'version'")


def fetch_package(name: str, folder: Path) -> Path:
    """`npm pack` a package into `folder`; one that is there already is taken.

    Raises:
        RuntimeError: npm is missing or fails; says how to do without.
    """
    stem = name.lstrip("@").replace("/", "-")
    there = list(folder.glob(f"{stem}-[0-9]*.tgz"))
    if there:
        return max(there, key=lambda path: _version_parts(path.name))
    npm = shutil.which("npm")
    without = f"fetch the package elsewhere with `npm pack {name}` and state it with --package or --emojibase"
    if npm is None:
        raise RuntimeError(f"npm is not installed: {without}")
    folder.mkdir(parents=True, exist_ok=True)
    # npm writes in place; a folder of its own keeps a half-fetched file from being taken the next time.
    aside = folder / f"{stem}.partial"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    run = subprocess.run(
        [npm, "pack", name, "--pack-destination", str(aside)], capture_output=True, text=True, check=False
    )
    fetched = sorted(aside.glob("*.tgz"))
    if run.returncode or not fetched:
        # npm says the same several times over; the last part of it names a log file.
        reason = " ".join(run.stderr.split("npm error A complete log")[0].replace("npm error", " ").split())
        raise RuntimeError(f"`npm pack {name}` failed (is the name right?): {reason[:200]}; {without}")
    path = fetched[0].replace(folder / fetched[0].name)
    aside.rmdir()
    return path


def _version_parts(file_name: str) -> list[int]:
    """The numbers in a name: 9.0.0 comes before 15.1.2, which text would sort the other way round."""
    return [int(number) for number in re.findall(r"\d+", file_name)]


def bare_hexcode(hexcode: str) -> str:
    """Code points without variation selectors, lower case: icon packages and emojibase differ in both."""
    return "-".join(part for part in hexcode.lower().split("-") if part not in ("fe0e", "fe0f"))


def file_name(label: str) -> str:
    """A label as a plain file name: 'piñata' -> 'pinata', 'kiss: man, man' -> 'kiss-man-man'."""
    ascii_only = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", ascii_only.lower()).strip("-")


def list_things(names: dict[str, Any]) -> tuple[list[Thing], int]:
    """All things in emojibase's order, and how many entries had no label.

    Args:
        names: emojibase's members, see `NAME_MEMBERS`.

    Raises:
        ValueError: two things with one label, or nothing but unlabelled entries.
    """
    groups, subgroups = names["meta/groups.json"]["groups"], names["meta/groups.json"]["subgroups"]
    things: dict[str, Thing] = {}
    unlabelled, files = 0, set()
    for entry in names["en/data.json"]:
        group = groups.get(str(entry.get("group")))
        if group is None or group in LEFT_OUT_GROUPS or "gender" in entry:
            continue
        group = file_name(group)
        label = (entry.get("label") or "").strip()
        if not label:
            unlabelled += 1
            continue
        hexcode = bare_hexcode(entry["hexcode"])
        if label in things:
            raise ValueError(f"emojibase-data: {hexcode} and {things[label].hexcode} have the same label '{label}'")
        file = file_name(label)
        file = file if file and (group, file) not in files else "-".join(filter(None, (file, hexcode)))
        files.add((group, file))
        keywords = tuple(word for word in entry.get("tags", ()) if word != label)
        subgroup = subgroups.get(str(entry.get("subgroup")), "")
        things[label] = Thing(label, keywords, group, subgroup, entry.get("emoji", ""), hexcode, file)
    if not things:
        raise ValueError(f"emojibase-data: no entry with a group and a label ({unlabelled} without a label)")
    return list(things.values()), unlabelled


def svg_of(icons: dict[str, Any], name: str) -> str | None:
    """An icon as a square SVG document; None if the package has no such drawing."""
    aliases = dict(icons.get("aliases", {}))
    while name not in icons["icons"]:
        # Taken out, so that aliases in a circle come to an end.
        alias = aliases.pop(name, {})
        # Turned or mirrored aliases do not occur among emoji.
        if alias.keys() != {"parent"}:
            return None
        name = alias["parent"]
    icon = icons["icons"][name]
    width, height = (float(icon.get(side) or icons.get(side) or 16) for side in ("width", "height"))
    left, top = (float(icon.get(side) or 0) for side in ("left", "top"))
    side = max(width, height)
    box = f"{left - (side - width) / 2:g} {top - (side - height) / 2:g} {side:g} {side:g}"
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{box}">{icon["body"]}</svg>'
    )


def svgs_of(package: dict[str, Any], things: Iterable[Thing]) -> dict[str, str]:
    """SVG documents by label, of those things that an icon package has."""
    by_code = {bare_hexcode(code): name for code, name in package["chars.json"].items()}
    found = {thing.label: svg_of(package["icons.json"], by_code.get(thing.hexcode, "")) for thing in things}
    return {label: svg for label, svg in found.items() if svg is not None}
