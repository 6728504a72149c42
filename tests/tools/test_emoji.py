"""Icon packages become captioned pictures; packages here are made up."""

import importlib.util
import io
import json
import sys
import tarfile
from pathlib import Path

import cv2
import pytest

from clipplus.data.caption_dataset import CaptionDataset

TOOL = Path(__file__).parents[2] / "tools" / "data" / "emoji.py"
pytest.importorskip("resvg_py")

RED, BLUE = "<path fill='#ff0000' d='M0 0h8v8H0z'/>", "<path fill='#0000ff' d='M0 0h8v8H0z'/>"
GROUPS = {"groups": {"0": "nature", "2": "component", "9": "flags"}, "subgroups": {"5": "plant flower"}}
ENTRIES = [
    {"label": "red rose", "hexcode": "1F339", "tags": ["flower", "red rose", "love"], "group": 0, "subgroup": 5,
     "emoji": "R"},
    {"label": "piñata", "hexcode": "1FA85-FE0F", "group": 0, "emoji": "P"},
    {"label": "woman gardening", "hexcode": "1F469-200D-1F33E", "group": 0, "gender": 0},
    {"label": "red hair", "hexcode": "1F9B0", "group": 2},
    {"label": "flag: Chad", "hexcode": "1F1F9-1F1E9", "group": 9},
    {"label": "regional indicator A", "hexcode": "1F1E6"},
    {"label": "", "hexcode": "1F335", "group": 0},
    {"label": "fern", "hexcode": "1F33F", "group": 0},
]  # fmt: skip


@pytest.fixture(scope="module")
def emoji():
    """The tool as a module."""
    spec = importlib.util.spec_from_file_location("emoji_tool", TOOL)
    module = importlib.util.module_from_spec(spec)
    # Worker processes and dataclasses look the module up by name.
    sys.modules["emoji_tool"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["emoji_tool"]


def write_package(path, members):
    with tarfile.open(path, "w:gz") as package:
        for name, content in members.items():
            data = json.dumps(content).encode()
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(data)
            package.addfile(member, io.BytesIO(data))
    return path


def icon_package(path, style="plain", version="1.0.0", icons=None):
    icons = {"rose": {"body": RED}, "pinata": {"body": BLUE}} if icons is None else icons
    aliases = {"pinata-alias": {"parent": "pinata"}}
    members = {
        "icons.json": {"icons": icons, "aliases": aliases, "width": 8, "height": 8},
        "chars.json": {"1f339": "rose", "1fa85": "pinata-alias"},
        "info.json": {"prefix": style, "author": {"name": "Ann"}, "license": {"spdx": "MIT", "url": "https://example.com"}},
        "package.json": {"name": f"@iconify-json/{style}", "version": version},
    }  # fmt: skip
    return write_package(path, members)


def names_package(path, entries=ENTRIES):
    return write_package(
        path, {"en/data.json": entries, "meta/groups.json": GROUPS, "package.json": {"version": "1.0.0"}}
    )


@pytest.fixture
def files(tmp_path):
    """(icon package, names package, output folder)."""
    return icon_package(tmp_path / "icons.tgz"), names_package(tmp_path / "names.tgz"), tmp_path / "out"


def run(emoji, files, *options):
    icons, names, out = files
    emoji.main(["--package", str(icons), "--emojibase", str(names), "--out", str(out), "--workers", "1", *options])


def read_records(out, style="plain"):
    return [json.loads(line) for line in (out / f"{style}.jsonl").read_text().splitlines()]


def test_things_are_labelled_entries_without_flags_components_and_gendered_forms(emoji, files):
    run(emoji, files)
    assert json.loads((files[2] / "classes.json").read_text()) == ["red rose", "piñata", "fern"]


def test_records_have_label_keywords_and_both_together_as_captions(emoji, files):
    run(emoji, files)
    rose, pinata = read_records(files[2])
    captions = [(caption["kind"], caption["text"]) for caption in rose["captions"]]
    assert captions == [("raw", "red rose"), ("short", "flower"), ("short", "love"), ("long", "red rose, flower, love")]
    assert [caption["text"] for caption in pinata["captions"]] == ["piñata"]
    assert (rose["gt_label"], rose["group"], rose["subgroup"], rose["emoji"]) == (0, "nature", "plant flower", "R")
    assert pinata["image"] == "plain/nature/pinata.png"


def test_pictures_have_the_icons_colour_on_white_and_the_asked_size(emoji, files):
    run(emoji, files, "--size", "16")
    image = cv2.imread(str(files[2] / "plain/nature/red-rose.png"))
    assert image.shape == (16, 16, 3)
    assert image[4, 4].tolist() == [0, 0, 255]


def test_icons_that_are_not_square_keep_their_proportions(emoji, tmp_path):
    icons = {"rose": {"body": RED, "width": 8, "height": 4}, "pinata": {"body": BLUE}}
    files = icon_package(tmp_path / "i.tgz", icons=icons), names_package(tmp_path / "n.tgz"), tmp_path / "out"
    run(emoji, files, "--size", "16")
    image = cv2.imread(str(files[2] / "plain/nature/red-rose.png"))
    assert image[1, 8].tolist() == [255, 255, 255]
    assert image[8, 8].tolist() == [0, 0, 255]


def test_caption_dataset_reads_what_was_written(emoji, files):
    run(emoji, files)
    dataset = CaptionDataset("plain.jsonl", str(files[2]), classes="classes.json", test_mode=True)
    assert dataset.metainfo["classes"] == ("red rose", "piñata", "fern")
    assert [dataset.get_data_info(i)["gt_label"] for i in range(2)] == [0, 1]


def test_classes_are_the_same_for_every_style(emoji, files, tmp_path):
    run(emoji, files)
    other = icon_package(tmp_path / "other.tgz", style="other", icons={"pinata": {"body": BLUE}})
    run(emoji, (other, *files[1:]))
    assert [record["gt_label"] for record in read_records(files[2], "other")] == [1]


def test_a_second_run_draws_only_what_is_missing(emoji, files, capsys):
    run(emoji, files)
    rose, pinata = files[2] / "plain/nature/red-rose.png", files[2] / "plain/nature/pinata.png"
    before = rose.stat().st_mtime_ns
    pinata.unlink()
    run(emoji, files)
    assert pinata.is_file()
    assert rose.stat().st_mtime_ns == before
    assert "plain: 2 things (1 newly drawn)" in capsys.readouterr().out


@pytest.mark.parametrize("change", ["size", "version"])
def test_another_size_or_version_draws_everything_anew(emoji, files, tmp_path, capsys, change):
    run(emoji, files)
    icons = icon_package(tmp_path / "new.tgz", version="2.0.0") if change == "version" else files[0]
    run(emoji, (icons, *files[1:]), *(["--size", "32"] if change == "size" else []))
    assert "plain: 2 things (2 newly drawn)" in capsys.readouterr().out


def test_processes_draw_the_same(emoji, files, monkeypatch):
    run(emoji, files)
    monkeypatch.setattr(emoji, "PARALLEL_FROM", 1)
    run(emoji, (*files[:2], files[2].with_name("parallel")), "--workers", "2")
    for name in ("red-rose.png", "pinata.png"):
        one, two = (folder / "plain/nature" / name for folder in (files[2], files[2].with_name("parallel")))
        assert one.read_bytes() == two.read_bytes()


def test_licences_missing_icons_and_unlabelled_entries_are_printed(emoji, files, capsys):
    run(emoji, files)
    printed = capsys.readouterr().out
    assert "drawings by Ann, licence MIT https://example.com" in printed
    assert "1 are not in the package: fern" in printed
    assert "(1 entries without a label left out)" in printed
    assert json.loads((files[2] / "plain" / "SOURCE.json").read_text())["license"] == "MIT"


@pytest.mark.parametrize("body", ["<path d='M0 0", ""], ids=["broken", "blank"])
def test_icons_that_do_not_render_are_counted_and_left_out(emoji, tmp_path, capsys, body):
    icons = icon_package(tmp_path / "i.tgz", icons={"rose": {"body": body}, "pinata": {"body": BLUE}})
    out = tmp_path / "out"
    run(emoji, (icons, names_package(tmp_path / "n.tgz"), out))
    printed = capsys.readouterr().out
    assert "left out 'red rose': " in printed
    assert "1 could not be drawn" in printed
    assert [record["gt_label"] for record in read_records(out)] == [1]


def fails(emoji, files, message, *options):
    with pytest.raises(SystemExit) as stop:
        run(emoji, files, *options)
    assert message in str(stop.value)


def test_truncated_foreign_and_missing_packages_are_named(emoji, files, tmp_path):
    cut = tmp_path / "cut.tgz"
    cut.write_bytes(files[0].read_bytes()[:-40])
    fails(emoji, (cut, *files[1:]), f"{cut}: not a whole npm package (.tgz), fetch it again")
    fails(emoji, (files[1], *files[1:]), "names.tgz: filename 'package/icons.json' not found; expected an npm package")
    fails(emoji, (tmp_path / "no.tgz", *files[1:]), "no.tgz' does not exist")


def test_a_style_name_cannot_lead_out_of_the_folder(emoji, files, tmp_path):
    evil = icon_package(tmp_path / "evil.tgz", style="../evil")
    fails(emoji, (evil, *files[1:]), "info.json must name the style in 'prefix' (a-z, 0-9, dashes), got '../evil'")


def test_links_in_a_package_are_not_followed(emoji, files, tmp_path):
    evil = tmp_path / "evil.tgz"
    with tarfile.open(evil, "w:gz") as package:
        member = tarfile.TarInfo("package/icons.json")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/hostname"
        package.addfile(member)
    fails(emoji, (evil, *files[1:]), "package/icons.json is not a plain file")


def test_an_unknown_style_lists_those_given(emoji, files):
    fails(emoji, files, "--style noto: the packages given have the styles plain", "--style", "noto")


def test_another_emojibase_does_not_mix_classes(emoji, files, tmp_path):
    run(emoji, files)
    names = names_package(tmp_path / "new.tgz", ENTRIES[1:])
    fails(emoji, (files[0], names, files[2]), "lists other classes (another version of emojibase-data)")


def test_a_label_used_twice_is_refused(emoji, files, tmp_path):
    names = names_package(tmp_path / "twice.tgz", [*ENTRIES, {"label": "fern", "hexcode": "1FAB4", "group": 0}])
    fails(emoji, (files[0], names, files[2]), "1fab4 and 1f33f have the same label 'fern'")


def test_without_npm_the_other_way_is_told(emoji, tmp_path, monkeypatch):
    monkeypatch.setattr(emoji.shutil, "which", lambda _: None)
    with pytest.raises(SystemExit) as stop:
        emoji.main(["--style", "noto", "--out", str(tmp_path)])
    assert "npm is not installed: fetch the package elsewhere with `npm pack @iconify-json/noto`" in str(stop.value)


def test_packages_fetched_before_are_not_fetched_again(emoji, files, monkeypatch):
    icons, names, out = files
    (out / "packages").mkdir(parents=True)
    icons.rename(out / "packages" / "iconify-json-plain-1.0.0.tgz")
    names.rename(out / "packages" / "emojibase-data-1.0.0.tgz")
    monkeypatch.setattr(emoji.shutil, "which", lambda _: None)
    emoji.main(["--style", "plain", "--out", str(out), "--workers", "1"])
    assert len(read_records(out)) == 2
