"""Icon packages become captioned pictures; packages here are made up."""

import json
import shutil
import tarfile

import cv2
import pytest

from clipplus.data.caption_dataset import CaptionDataset

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


def icon_members(style="plain", version="1.0.0", icons=None):
    icons = {"rose": {"body": RED}, "pinata": {"body": BLUE}} if icons is None else icons
    aliases = {"pinata-alias": {"parent": "pinata"}}
    return {
        "icons.json": {"icons": icons, "aliases": aliases, "width": 8, "height": 8},
        "chars.json": {"1f339": "rose", "1fa85": "pinata-alias"},
        "info.json": {"prefix": style, "author": {"name": "Ann"}, "license": {"spdx": "MIT", "url": "https://example.com"}},
        "package.json": {"name": f"@iconify-json/{style}", "version": version},
    }  # fmt: skip


def name_members(entries=ENTRIES):
    npm = {"name": "emojibase-data", "version": "1.0.0"}
    return {"en/data.json": entries, "meta/groups.json": GROUPS, "package.json": npm}


@pytest.fixture
def icon_package(write_package):
    return lambda path, **content: write_package(path, icon_members(**content))


@pytest.fixture
def names_package(write_package):
    return lambda path, entries=ENTRIES: write_package(path, name_members(entries))


@pytest.fixture
def files(tmp_path, icon_package, names_package):
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


def test_icons_that_are_not_square_keep_their_proportions(emoji, tmp_path, icon_package, names_package):
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


def test_classes_are_the_same_for_every_style(emoji, files, tmp_path, icon_package):
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


def test_newest_of_the_fetched_packages_is_taken(emoji, tmp_path):
    for version in ("9.0.0", "15.1.2", "15.1.10"):
        (tmp_path / f"iconify-json-noto-{version}.tgz").touch()
    assert emoji.fetch_package("@iconify-json/noto", tmp_path).name == "iconify-json-noto-15.1.10.tgz"


@pytest.mark.parametrize("change", ["size", "version"])
def test_another_size_or_version_draws_everything_anew(emoji, files, tmp_path, capsys, change, icon_package):
    run(emoji, files)
    icons = icon_package(tmp_path / "new.tgz", version="2.0.0") if change == "version" else files[0]
    run(emoji, (icons, *files[1:]), *(["--size", "32"] if change == "size" else []))
    assert "plain: 2 things (2 newly drawn)" in capsys.readouterr().out


def test_processes_draw_the_same(emoji, files, monkeypatch):
    run(emoji, files)
    monkeypatch.setattr("emoji_drawings.PARALLEL_FROM", 1)
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
def test_icons_that_do_not_render_are_counted_and_left_out(emoji, tmp_path, capsys, body, icon_package, names_package):
    icons = icon_package(tmp_path / "i.tgz", icons={"rose": {"body": body}, "pinata": {"body": BLUE}})
    out = tmp_path / "out"
    run(emoji, (icons, names_package(tmp_path / "n.tgz"), out))
    printed = capsys.readouterr().out
    assert "left out 'red rose': " in printed
    assert "1 could not be drawn: red rose" in printed
    assert [record["gt_label"] for record in read_records(out)] == [1]


def fails(emoji, files, message, *options):
    with pytest.raises(SystemExit) as stop:
        run(emoji, files, *options)
    assert message in str(stop.value)


def test_truncated_foreign_and_missing_packages_are_named(emoji, files, tmp_path):
    cut = tmp_path / "cut.tgz"
    cut.write_bytes(files[0].read_bytes()[:-40])
    fails(emoji, (cut, *files[1:]), f"{cut}: not a whole npm package (.tgz), delete it and fetch it again")
    fails(emoji, (files[1], *files[1:]), "names.tgz: filename 'package/icons.json' not found; expected an npm package")
    fails(emoji, (tmp_path / "no.tgz", *files[1:]), "no.tgz' does not exist")


def test_a_style_name_cannot_lead_out_of_the_folder(emoji, files, tmp_path, icon_package):
    evil = icon_package(tmp_path / "evil.tgz", style="../evil")
    fails(
        emoji, (evil, *files[1:]), "evil.tgz: 'prefix' in info.json must name a style (a-z, 0-9, dashes), got '../evil'"
    )


def test_links_in_a_package_are_not_followed(emoji, files, tmp_path):
    evil = tmp_path / "evil.tgz"
    with tarfile.open(evil, "w:gz") as package:
        member = tarfile.TarInfo("package/icons.json")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/hostname"
        package.addfile(member)
    fails(emoji, (evil, *files[1:]), "package/icons.json is not a plain file")


def test_an_unknown_style_lists_those_given(emoji, files):
    fails(emoji, files, "--style noto: the packages given have the styles plain", "--style", "noto")


def test_another_emojibase_does_not_mix_classes(emoji, files, tmp_path, names_package):
    run(emoji, files)
    names = names_package(tmp_path / "new.tgz", ENTRIES[1:])
    fails(emoji, (files[0], names, files[2]), "lists other classes (another version of emojibase-data)")


def test_a_label_used_twice_is_refused(emoji, files, tmp_path, names_package):
    names = names_package(tmp_path / "twice.tgz", [*ENTRIES, {"label": "fern", "hexcode": "1FAB4", "group": 0}])
    fails(emoji, (files[0], names, files[2]), "1fab4 and 1f33f have the same label 'fern'")


def test_without_npm_the_other_way_is_told(emoji, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(SystemExit) as stop:
        emoji.main(["--style", "noto", "--out", str(tmp_path)])
    assert "npm is not installed: fetch the package elsewhere with `npm pack @iconify-json/noto`" in str(stop.value)


def test_packages_fetched_before_are_not_fetched_again(emoji, files, monkeypatch):
    icons, names, out = files
    (out / "packages").mkdir(parents=True)
    icons.rename(out / "packages" / "iconify-json-plain-1.0.0.tgz")
    names.rename(out / "packages" / "emojibase-data-1.0.0.tgz")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    emoji.main(["--style", "plain", "--out", str(out), "--workers", "1"])
    assert len(read_records(out)) == 2


@pytest.mark.parametrize(
    ("member", "content", "message"),
    [
        ("icons.json", b'{"icons": {"rose": {"bo', "icons.tgz: package/icons.json is no whole JSON file, delete"),
        ("icons.json", b"\xff\xfe", "icons.tgz: package/icons.json is no whole JSON file, delete"),
        ("icons.json", ["rose"], "icons.tgz: icons.json must be an object with the drawings in 'icons'"),
        ("icons.json", {"icons": {"rose": {}}}, "every drawing in icons.json must have its SVG text in 'body'"),
        (
            "icons.json",
            {"icons": {"rose": {"body": "", "width": "a"}}},
            "icons.json must have its SVG text in 'body', and",
        ),
        ("icons.json", {"icons": {}, "aliases": {"rose": 3}}, "'aliases' in icons.json must be an object of objects"),
        ("chars.json", {"1f339": ["rose"]}, "icons.tgz: chars.json must be an object from code points to names"),
        ("info.json", {"prefix": "plain", "license": "MIT"}, "'license' in info.json must be an object, got 'MIT'"),
        ("chars.json", ["1f339"], "icons.tgz: chars.json must be an object from code points to names of drawings"),
        ("info.json", {}, "icons.tgz: 'prefix' in info.json must name a style (a-z, 0-9, dashes), got None"),
        ("package.json", {"name": "x"}, "icons.tgz: package.json must have 'name' and 'version'"),
    ],
)
def test_icon_packages_of_another_form_are_named(emoji, files, write_package, member, content, message):
    write_package(files[0], icon_members() | {member: content})
    fails(emoji, files, message)


@pytest.mark.parametrize(
    ("member", "content", "message"),
    [
        ("en/data.json", {"label": "rose"}, "names.tgz: en/data.json must be a list of objects with 'hexcode'"),
        ("en/data.json", [{"label": 5, "hexcode": "1F339"}], "en/data.json must be a list of objects with 'hexcode'"),
        ("en/data.json", [{"label": "rose", "hexcode": "1F339", "tags": None}], "with 'hexcode', 'label' and 'tags'"),
        ("en/data.json", [], "emojibase-data: no entry with a group and a label (0 without a label)"),
        ("meta/groups.json", {"groups": {"0": 1}, "subgroups": {}}, "must be an object with the names of 'groups'"),
        ("meta/groups.json", {"groups": []}, "names.tgz: meta/groups.json must be an object with the names of"),
        ("package.json", [], "names.tgz: package.json must have 'name' and 'version'"),
    ],
)
def test_name_packages_of_another_form_are_named(emoji, files, write_package, member, content, message):
    write_package(files[1], name_members() | {member: content})
    fails(emoji, files, message)


def test_a_file_that_is_no_archive_is_named(emoji, files):
    files[0].write_text("<html>not found</html>")
    fails(emoji, files, "icons.tgz: not a whole npm package (.tgz), delete it and fetch it again")


def test_aliases_in_a_circle_count_as_missing(emoji, files, write_package, capsys):
    members = icon_members()
    members["icons.json"]["aliases"] = {"pinata-alias": {"parent": "other"}, "other": {"parent": "pinata-alias"}}
    write_package(files[0], members)
    run(emoji, files)
    assert "2 are not in the package: piñata, fern" in capsys.readouterr().out


def test_a_style_that_is_no_name_is_refused_before_npm_is_asked(emoji, tmp_path):
    with pytest.raises(SystemExit, match=r"--style must name a style \(a-z, 0-9, dashes\), got '../noto'"):
        emoji.main(["--style", "../noto", "--out", str(tmp_path)])


def test_what_npm_says_of_an_unknown_style_is_one_line(emoji, tmp_path, monkeypatch):
    npm = tmp_path / "npm"
    npm.write_text(
        "#!/bin/sh\nprintf 'npm error code E404\\nnpm error 404 Not Found\\nnpm error A complete log' >&2\nexit 1\n"
    )
    npm.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda _: str(npm))
    with pytest.raises(SystemExit) as stop:
        emoji.main(["--style", "notto", "--out", str(tmp_path / "out")])
    message = str(stop.value)
    assert "`npm pack @iconify-json/notto` failed (is the name right?): code E404 404 Not Found; fetch" in message
    assert "\n" not in message
