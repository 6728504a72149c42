"""Scenes of several emoji: what is seen, what is said about it, and that a scene depends on its number alone."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from clipplus.data.caption_dataset import CaptionDataset

COLOURS = {"dog": "#ff0000", "cat": "#00ff00", "owl": "#0000ff", "red apple": "#ff00ff", "umbrella": "#00ffff"}
CODES = {label: f"1f{number}" for number, label in enumerate(COLOURS, start=400)}
# A square with a hole in it.
FRAME = "<path fill='{}' fill-rule='evenodd' d='M0 0h8v8H0z M2 2h4v4H2z'/>"


@pytest.fixture
def files(tmp_path, write_package):
    """(function that writes an icon package, names package, output folder)."""

    def icons(style, bodies=None):
        bodies = {label: FRAME.format(colour) for label, colour in COLOURS.items()} | (bodies or {})
        members = {
            "icons.json": {"icons": {label: {"body": body} for label, body in bodies.items()}, "width": 8, "height": 8},
            "chars.json": {code: label for label, code in CODES.items()},
            "info.json": {"prefix": style, "author": {"name": style.title()}, "license": {"spdx": "MIT"}},
            "package.json": {"name": f"@iconify-json/{style}", "version": "1.0.0"},
        }
        return write_package(tmp_path / f"{style}.tgz", members)

    entries = [{"label": label, "hexcode": code.upper(), "group": 0} for label, code in CODES.items()]
    entries.append({"label": "fog", "hexcode": "1F500", "group": 0})
    names = write_package(
        tmp_path / "names.tgz",
        {
            "en/data.json": entries,
            "meta/groups.json": {"groups": {"0": "all"}, "subgroups": {}},
            "package.json": {"name": "emojibase-data", "version": "1.0.0"},
        },
    )
    return icons, names, tmp_path / "out"


def run(emoji, files, *options, packages=None, out=None, scenes=4):
    icons, names, default_out = files
    packages = packages or [icons("noto"), icons("twemoji")]
    arguments = ["--package", *map(str, packages), "--emojibase", str(names), "--out", str(out or default_out)]
    emoji.main([*arguments, "--size", "8", "--workers", "1", "--scenes", str(scenes), "--scenes-val", "2", *options])


def read_records(out, split="train"):
    return [json.loads(line) for line in (out / f"scenes_{split}.jsonl").read_text().splitlines()]


def contents(out):
    return {path.relative_to(out): path.read_bytes() for path in sorted(out.glob("scenes/*/*/*.png"))}


@pytest.fixture
def parts(emoji):
    """(emoji_scene_render, emoji_scene_words), which the tool's import makes importable."""
    import emoji_scene_render
    import emoji_scene_words

    return emoji_scene_render, emoji_scene_words


def drawings_of(*sizes):
    """Plain rectangles (width, height) by name, without a hole."""
    return {f"thing {number}": [Image.new("RGBA", size, "red")] for number, size in enumerate(sizes)}


def test_masks_hold_the_classes_of_the_nouns_and_nothing_else(emoji, files):
    run(emoji, files, "--scenes-size", "64")
    classes = json.loads((files[2] / "scenes_classes.json").read_text())
    for record in read_records(files[2]):
        mask = cv2.imread(str(files[2] / record["mask"]), cv2.IMREAD_UNCHANGED)
        assert (mask.shape, mask.dtype) == ((64, 64), np.uint8)
        assert {classes[value] for value in np.unique(mask)} == {"background", *record["nouns"]}
        assert 2 <= len(record["nouns"]) == len(set(record["nouns"])) <= 4


def test_pixels_under_a_mask_have_the_colour_of_its_thing(emoji, files):
    run(emoji, files)
    classes = json.loads((files[2] / "scenes_classes.json").read_text())
    for record in read_records(files[2]):
        image = np.asarray(Image.open(files[2] / record["image"]))
        mask = np.asarray(Image.open(files[2] / record["mask"]))
        for noun in record["nouns"]:
            expected = [int(COLOURS[noun][start : start + 2], 16) for start in (1, 3, 5)]
            assert np.median(image[mask == classes.index(noun)], axis=0).tolist() == expected


def test_the_background_shows_through_the_hole_of_a_drawing(parts):
    render, _ = parts
    hollow = Image.new("RGBA", (20, 20), "red")
    hollow.paste((0, 0, 0, 0), (5, 5, 15, 15))
    paste = render.Paste("frame", hollow, left=10, top=10)
    scene = render.paint([paste], Image.new("RGB", (40, 40), "blue"))
    assert scene.getpixel((20, 20)) == (0, 0, 255)
    assert scene.getpixel((12, 12)) == (255, 0, 0)
    assert render.owners_of([paste], 40)[20, 20] == 0


def test_every_thing_lies_within_the_picture_and_keeps_its_visible_share(parts):
    render, _ = parts
    drawings = drawings_of((30, 30), (30, 12), (9, 30), (25, 30), (30, 20))
    size, overlaps = 64, 0
    for seed in range(40):
        pastes = render.lay_out(np.random.default_rng(seed), drawings, size)
        canvas = np.zeros((size, size), int)
        for number, paste in enumerate(pastes, start=1):
            opaque = np.asarray(paste.picture)[..., 3] >= 128
            assert min(paste.left, paste.top) >= 0
            # Fails where the drawing leaves the picture.
            canvas[paste.top :, paste.left :][: opaque.shape[0], : opaque.shape[1]][opaque] = number
        for number, paste in enumerate(pastes, start=1):
            whole = int((np.asarray(paste.picture)[..., 3] >= 128).sum())
            assert (canvas == number).sum() >= 0.6 * whole
            overlaps += (canvas == number).sum() < whole
    assert overlaps > 0


def test_centres_are_far_enough_apart_for_their_relation_to_be_seen(parts):
    render, _ = parts
    for seed in range(20):
        pastes = render.lay_out(np.random.default_rng(seed), drawings_of(*[(30, 4)] * 4), 100)
        centres = [paste.centre for paste in pastes]
        for position, (x, y) in enumerate(centres):
            assert all(max(abs(x - u), abs(y - v)) >= 15 for u, v in centres[:position])


def test_raw_caption_says_where_the_largest_thing_is_as_seen_from_the_others(parts):
    _, words = parts
    things = [words.Placed("dog", 10, 50), words.Placed("red apple", 60, 40), words.Placed("owl", 20, 90)]
    raw = words.captions_of_scene(things, "light and plain")[0]
    assert (raw["kind"], raw["text"]) == ("raw", "a dog left of a red apple, above an owl")


def test_long_caption_names_the_relation_of_every_pair_and_the_background(parts):
    _, words = parts
    things = [
        words.Placed("dog", 10, 10),
        words.Placed("cat", 80, 20),
        words.Placed("owl", 90, 30),
        words.Placed("axe", 85, 90),
    ]
    captions = words.captions_of_scene(things, "dark and striped")
    assert [c["text"] for c in captions if c["kind"] == "short"] == ["a dog", "a cat", "an owl", "an axe"]
    assert captions[-1]["text"] == (
        "There are four things: a dog, a cat, an owl and an axe. The dog is above the axe, left of the cat and the "
        "owl. The cat is above the axe, left of the owl. The owl is above the axe. The background is dark and striped."
    )


@pytest.mark.parametrize(
    ("label", "expected"), [("umbrella", "an umbrella"), ("automobile", "an automobile"), ("house", "a house")]
)
def test_articles_go_by_the_sound(parts, label, expected):
    assert parts[1].with_article(label) == expected


def test_classes_fit_a_byte_and_have_no_name_twice(parts):
    names = parts[1].class_names()
    assert names[0] == "background"
    assert len(set(names)) == len(names) <= 255


def test_background_words_fit_the_pixels(parts):
    render, _ = parts
    seen = set()
    for seed in range(30):
        canvas, words = render.draw_background(np.random.default_rng(seed), 32)
        pixels = np.asarray(canvas, dtype=float)
        assert words.startswith("dark") == (pixels.mean() < 125)
        assert words.endswith("plain") == (np.ptp(pixels, axis=(0, 1)).max() == 0)
        seen.add(words.split()[-1])
    assert seen == {"plain", "shaded", "cloudy", "striped"}


def test_validation_uses_the_style_kept_aside_and_training_all_others(emoji, files):
    icons = files[0]
    black = dict.fromkeys(COLOURS, FRAME.format("#000000"))
    run(emoji, files, packages=[icons("noto"), icons("openmoji"), icons("twemoji", black)])
    sources = [
        [
            entry["package"]
            for entry in json.loads((files[2] / "scenes" / split / "SOURCE.json").read_text())["drawings"]
        ]
        for split in ("train", "val")
    ]
    assert sources == [["@iconify-json/noto", "@iconify-json/openmoji"], ["@iconify-json/twemoji"]]
    record = read_records(files[2], "val")[0]
    image, mask = (np.asarray(Image.open(files[2] / record[name])) for name in ("image", "mask"))
    assert np.median(image[mask > 0]) == 0


def test_scenes_depend_on_their_number_alone(emoji, files, monkeypatch):
    run(emoji, files)
    monkeypatch.setattr("emoji_scenes.PARALLEL_FROM", 1)
    other = files[2].with_name("parallel")
    run(emoji, files, "--workers", "2", out=other, scenes=7)
    assert contents(files[2]).items() <= contents(other).items()
    assert read_records(files[2]) == read_records(other)[:4]


def test_another_run_makes_only_what_is_missing_and_makes_it_alike(emoji, files, capsys):
    run(emoji, files)
    before, records = contents(files[2]), read_records(files[2])
    (files[2] / records[1]["image"]).unlink()
    (files[2] / records[3]["mask"]).unlink()
    capsys.readouterr()
    run(emoji, files)
    assert "scenes train: 4 (2 newly made) of 5 things" in capsys.readouterr().out
    assert (contents(files[2]), read_records(files[2])) == (before, records)


@pytest.mark.parametrize("change", [("--seed", "1"), ("--scenes-size", "40")])
def test_another_seed_or_size_makes_everything_anew(emoji, files, capsys, change):
    run(emoji, files, scenes=6)
    before = contents(files[2])
    run(emoji, files, *change)
    assert "scenes train: 4 (4 newly made)" in capsys.readouterr().out
    after = contents(files[2])
    assert len(after) == 12
    assert all(before[name] != content for name, content in after.items())


def test_drawings_that_do_not_render_are_named_and_left_out(emoji, files, capsys):
    packages = [files[0]("noto", {"dog": "<path d='M0 0"}), files[0]("twemoji", {"cat": ""})]
    run(emoji, files, packages=packages, scenes=12)
    printed = capsys.readouterr().out
    assert "without noto: dog: " in printed
    assert "without twemoji: cat: it draws nothing" in printed
    assert "of 4 things" in printed
    assert all("dog" not in record["nouns"] for record in read_records(files[2]))


def test_drawings_that_a_package_lacks_are_counted(emoji, files, capsys):
    run(emoji, files)
    # Of all things that scenes can show, the package here has five.
    lacking = len(json.loads((files[2] / "scenes_classes.json").read_text())) - 1 - 5
    assert f"without {lacking} that noto does not have: monkey, gorilla, " in capsys.readouterr().out


def fails(emoji, files, message, *options, **changes):
    with pytest.raises(SystemExit) as stop:
        run(emoji, files, *options, **changes)
    assert message in str(stop.value)


def test_too_few_drawings_are_an_error(emoji, files):
    broken = dict.fromkeys(("dog", "owl"), "")
    packages = [files[0]("noto", broken), files[0]("twemoji")]
    fails(emoji, files, "scenes 'train' need drawings of at least 4 of their ", packages=packages)


def test_no_style_for_a_split_is_an_error_before_anything_is_drawn(emoji, files):
    fails(emoji, files, "no style is left for the scenes of 'val': the styles are noto, ", packages=[files[0]("noto")])
    fails(emoji, files, "no style is left for the scenes of 'train'", packages=[files[0]("twemoji")])
    assert not files[2].exists()


def test_without_validation_one_style_is_enough(emoji, files):
    run(emoji, files, "--scenes-val", "0", packages=[files[0]("noto")])
    assert not (files[2] / "scenes_val.jsonl").exists()
    assert len(read_records(files[2])) == 4


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--scenes", "-1"), "--scenes must not be negative, got -1"),
        (("--scenes-size", "8"), "--scenes-size must lie between 32 and 1024 pixels, got 8"),
    ],
)
def test_numbers_out_of_range_are_refused(emoji, capsys, option, message):
    with pytest.raises(SystemExit):
        emoji.main([*option])
    assert message in capsys.readouterr().err


def test_mmseg_reads_the_masks_of_the_data_set(emoji, files):
    pytest.importorskip("mmseg")
    run(emoji, files)
    # In an interpreter of its own: the repairs that mmseg needs would stay for other tests.
    code = textwrap.dedent("""
        import json, sys
        import numpy as np
        from clipplus.hosts import prepare
        from clipplus.data.caption_dataset import CaptionDataset
        prepare("mmseg")
        from mmseg.datasets.transforms import LoadAnnotations
        dataset = CaptionDataset(
            "scenes_train.jsonl", sys.argv[1], classes="scenes_classes.json", pipeline=[LoadAnnotations()]
        )
        item = dataset[0]
        names = [dataset.metainfo["classes"][value] for value in np.unique(item["gt_seg_map"])]
        print(json.dumps([names, item["nouns"]]))
    """)
    output = subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(files[2])], capture_output=True, text=True)
    assert output.returncode == 0, output.stderr
    names, nouns = json.loads(output.stdout.splitlines()[-1])
    assert sorted(names) == sorted(["background", *nouns])


def test_caption_dataset_reads_what_was_written(emoji, files):
    run(emoji, files)
    dataset = CaptionDataset("scenes_val.jsonl", str(files[2]), test_mode=True)
    first = dataset.get_data_info(0)
    assert (len(dataset), first["key"]) == (2, "emoji-scenes-0-val-0")
    assert {caption["kind"] for caption in first["captions"]} == {"raw", "short", "long"}
    assert Path(first["img_path"]).is_file()
