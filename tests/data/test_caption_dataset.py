"""Captioned pictures from JSON lines, tables and folders; what is wrong with a file is said with its line."""

import copy
import gzip
import json

import cv2
import numpy as np
import pytest
from mmengine.registry import DATASETS

from clipplus.data.caption_dataset import CaptionDataset, sample_id
from clipplus.data.caption_records import captions_of, clean_text


def write_images(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), np.full((4, 6, 3), (10, 20, 30), np.uint8))


def write_lines(path, *records):
    lines = [record if isinstance(record, str) else json.dumps(record, ensure_ascii=False) for record in records]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def texts(dataset, index):
    return [caption["text"] for caption in dataset.get_data_info(index)["captions"]]


def test_jsonl_records_become_items_in_file_order(tmp_path):
    write_images(tmp_path, "a.jpg", "b.jpg")
    write_lines(
        tmp_path / "c.jsonl",
        {"image": "a.jpg", "captions": ["a cat", "a small cat"]},
        {"image": "b.jpg", "caption": "a dog", "key": "dog", "gt_label": 1, "photographer": "Ann"},
    )
    dataset = CaptionDataset(
        "c.jsonl", str(tmp_path), classes=["cat", "dog"], pipeline=[dict(type="LoadImageFromFile")]
    )
    first, second = dataset[0], dataset[1]
    assert first["img"].shape == (4, 6, 3)
    assert first["captions"][1] == {"source": "raw", "kind": "raw", "text": "a small cat", "score": None}
    assert (first["key"], first["sample_idx"], "gt_label" in first) == ("a.jpg", 0, False)
    assert (second["key"], second["sample_idx"], second["gt_label"]) == ("dog", 1, 1)
    assert second["fields"] == {"photographer": "Ann"}
    assert dataset.metainfo["classes"] == ("cat", "dog")


def test_caption_records_keep_source_kind_score_and_further_fields(tmp_path):
    write_images(tmp_path, "a.jpg")
    caption = {"source": "blip2", "kind": "pseudo", "text": " a  cat ", "score": 0.3, "gen": "g0"}
    write_lines(tmp_path / "c.jsonl", {"image": "a.jpg", "captions": [caption]})
    dataset = CaptionDataset("c.jsonl", str(tmp_path))
    assert dataset.get_data_info(0)["captions"] == [{**caption, "text": "a cat"}]


def test_types_and_scores_beside_the_captions_are_read():
    record = {"id": "x", "captions": ["a", "b"], "types": ["raw", "pseudo"], "scores": [None, 0.5]}
    first, second = captions_of(record, "f line 1")
    assert (first["kind"], first["score"], second["kind"], second["score"]) == ("raw", None, "pseudo", 0.5)


def test_captions_are_cleaned_and_repetitions_dropped_keeping_the_first():
    record = {"captions": ["  \uff41\tcat ", "a cat", "", "dog\nhouse", "a cat"]}
    assert [caption["text"] for caption in captions_of(record, "f line 1")] == ["a cat", "dog house"]


def test_long_captions_keep_their_line_breaks_as_ends_of_sentences():
    assert clean_text(" One  line \r\n\n  two ", keep_lines=True) == "One line\ntwo"


def test_failed_records_of_a_caption_generator_are_passed_over(tmp_path):
    write_images(tmp_path, "a.jpg")
    write_lines(
        tmp_path / "c.jsonl",
        {"image": "x.jpg", "captions": [], "error": "unreadable"},
        {"image": "a.jpg", "caption": "a"},
    )
    assert len(CaptionDataset("c.jsonl", str(tmp_path))) == 1


@pytest.mark.parametrize(("name", "delimiter"), [("c.csv", ","), ("c.tsv", "\t")])
def test_rows_of_one_image_are_its_captions(tmp_path, name, delimiter):
    write_images(tmp_path, "a.jpg", "b.jpg")
    rows = [
        ("image", "caption", "width"),
        ("a.jpg", '"one, ""two"""', "5"),
        ("b.jpg", "b", "6"),
        ("a.jpg", "three", "5"),
    ]
    write_lines(tmp_path / name, *(delimiter.join(row) for row in rows))
    dataset = CaptionDataset(name, str(tmp_path))
    assert [texts(dataset, 0), texts(dataset, 1)] == [['one, "two"', "three"], ["b"]]
    assert dataset.get_data_info(0)["fields"] == {"width": "5"}


def test_several_caption_columns_give_source_and_kind(tmp_path):
    write_images(tmp_path, "a.jpg")
    write_lines(tmp_path / "c.csv", "file,raw,longSV", "a.jpg,a cat,A cat. It sits.")
    columns = {"raw": "raw", "longSV": "long"}
    dataset = CaptionDataset("c.csv", str(tmp_path), image_column="file", caption_columns=columns)
    found = [(c["source"], c["kind"], c["text"]) for c in dataset.get_data_info(0)["captions"]]
    assert found == [("raw", "raw", "a cat"), ("longSV", "long", "A cat. It sits.")]


def test_folder_pairs_images_with_text_files_at_any_depth(tmp_path):
    write_images(tmp_path, "b.PNG", "sub/a.jpg", ".hidden.jpg")
    (tmp_path / "b.txt").write_text("a hill\n\na green hill\n", encoding="utf-8")
    (tmp_path / "sub" / "a.txt").write_text("\ufeffa lake", encoding="utf-8")
    (tmp_path / "readme.txt").write_text("no picture", encoding="utf-8")
    dataset = CaptionDataset(data_root=str(tmp_path))
    assert [dataset.get_data_info(i)["key"] for i in range(len(dataset))] == ["b.PNG", "sub/a.jpg"]
    assert [texts(dataset, 0), texts(dataset, 1)] == [["a hill", "a green hill"], ["a lake"]]


def test_images_are_looked_up_below_the_prefix(tmp_path):
    write_images(tmp_path, "pictures/a.jpg")
    write_lines(tmp_path / "c.jsonl", {"image": "a.jpg", "caption": "a"})
    dataset = CaptionDataset("c.jsonl", str(tmp_path), data_prefix=dict(img_path="pictures"))
    assert dataset.get_data_info(0)["img_path"] == str(tmp_path / "pictures" / "a.jpg")


def test_several_files_and_compressed_ones_form_one_data_set(tmp_path):
    write_images(tmp_path, "a.jpg", "b.jpg")
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
        file.write('{"image": "a.jpg", "caption": "a"}\n')
    write_lines(tmp_path / "b.csv", "image,caption", "b.jpg,b")
    dataset = CaptionDataset(["a.jsonl.gz", "b.csv"], str(tmp_path))
    assert [texts(dataset, 0), texts(dataset, 1)] == [["a"], ["b"]]


def test_class_names_come_from_a_file_below_the_root(tmp_path):
    write_images(tmp_path, "a.jpg")
    (tmp_path / "classes.json").write_text('["cat", "dog"]')
    write_lines(tmp_path / "c.jsonl", {"image": "a.jpg", "caption": "a", "gt_label": 0})
    assert CaptionDataset("c.jsonl", str(tmp_path), classes="classes.json").metainfo["classes"] == ("cat", "dog")


def test_a_config_builds_it_from_the_root_registry_and_it_can_be_copied(tmp_path):
    write_images(tmp_path, "a.jpg")
    write_lines(tmp_path / "c.jsonl", {"image": "a.jpg", "caption": "a"})
    dataset = DATASETS.build(dict(type="CaptionDataset", ann_file="c.jsonl", data_root=str(tmp_path)))
    assert texts(copy.deepcopy(dataset), 0) == ["a"]


def test_sample_ids_are_the_same_63_bits_everywhere():
    assert sample_id("a") == 1702698405120146464
    assert all(0 <= sample_id(str(i)) < 2**63 for i in range(1000))
    assert len({sample_id(str(i)) for i in range(1000)}) == 1000


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['{"image": "a.jpg", "captions": []}'], r"c\.jsonl line 1: 'captions' must be a non-.*got \[\].*'a.jpg'"),
        (['{"image": "a.jpg", "captions": ["a", 3]}'], r"line 1: 'captions' must hold nothing but strings, got 3"),
        (['{"image": "a.jpg", "captions": "a"}'], r"line 1: 'captions' must be a non-empty list of strings, got 'a'"),
        (['{"image": "a.jpg", "captions": [" ", ""]}'], r"line 1: every caption is empty for key 'a.jpg'"),
        (['{"image": "a.jpg"}'], r"line 1: neither 'captions' nor 'caption', found the fields 'image'"),
        (["", '{"caption": "a"}'], r"line 2: 'image' must be the path of an image file, got None"),
        (['{"image": "a.jpg", "caption": "a"}', "{"], r"line 2: not JSON in UTF-8.*one object per line"),
        (["[1]"], r"line 1: expected a JSON object, got \[1\]"),
        (['{"image": "a.jpg", "caption": "a", "gt_label": 2}'], r"line 1: 'gt_label' must be .* below 2.*got 2"),
        (['{"image": "a.jpg", "caption": "a", "gt_label": true}'], r"line 1: 'gt_label' must be an integer.*got True"),
        (['{"image": "a.jpg", "captions": ["a"], "types": []}'], r"line 1: 'types' must be a list as long as captions"),
        (['{"image": "a.jpg", "captions": [{"text": "a", "kind": "odd"}]}'], r"line 1: unknown kind 'odd'.*known: raw"),
        ([""], r"no images with captions in .*c\.jsonl"),
        (
            ['{"image": "a.jpg", "caption": "a"}', '{"image": "b.jpg", "key": "a.jpg", "caption": "b"}'],
            r"c\.jsonl line 2: key 'a\.jpg' was used before in .*c\.jsonl line 1; keys must be unique",
        ),
    ],
)  # fmt: skip
def test_a_broken_jsonl_record_is_one_error_with_its_line(tmp_path, lines, message):
    write_images(tmp_path, "a.jpg", "b.jpg")
    write_lines(tmp_path / "c.jsonl", *lines)
    with pytest.raises(ValueError, match=message):
        CaptionDataset("c.jsonl", str(tmp_path), classes=["cat", "dog"])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["file,caption", "a.jpg,a"],
            r"c\.csv line 1: no column 'image' in the header 'file', 'caption'.*image_column",
        ),
        (["image,title", "a.jpg,a"], r"line 1: no column 'caption' in the header"),
        (["image,caption", "a.jpg,a, b"], r"line 2: 3 cells, but the header has 2; cells with a delimiter"),
        (["image,caption", 'a.jpg,"a\nb"', "a.jpg"], r"line 4: 1 cells, but the header has 2"),
        (["image,caption", "b.jpg,b", ",a"], r"line 3: column 'image' is empty"),
        (["image,caption", "b.jpg,b", "a.jpg,"], r"line 3: 'captions' must be a non-empty list of strings.*'a.jpg'"),
    ],
)
def test_a_broken_table_is_one_error_with_its_line(tmp_path, lines, message):
    write_images(tmp_path, "a.jpg", "b.jpg")
    write_lines(tmp_path / "c.csv", *lines)
    with pytest.raises(ValueError, match=message):
        CaptionDataset("c.csv", str(tmp_path))


def test_a_table_in_another_encoding_is_refused(tmp_path):
    (tmp_path / "c.csv").write_bytes("image,caption\na.jpg,Bär\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"c\.csv near line .*a table in UTF-8 is expected"):
        CaptionDataset("c.csv", str(tmp_path))


def test_images_without_text_files_are_named(tmp_path):
    write_images(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(
        ValueError, match=r"1 of 2 images .* have no text file beside them, first: b\.jpg; write b\.txt"
    ):
        CaptionDataset(data_root=str(tmp_path))


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"ann_file '.*c\.jsonl' does not exist"):
        CaptionDataset("c.jsonl", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"data_root '.*nowhere' is not a folder"):
        CaptionDataset(data_root=str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="CaptionDataset needs ann_file, or data_root"):
        CaptionDataset()


def test_the_first_five_missing_images_are_named_before_training(tmp_path):
    write_lines(tmp_path / "c.jsonl", *({"image": f"{i}.jpg", "caption": "a"} for i in range(7)))
    with pytest.raises(FileNotFoundError, match=r"7 of 7 image files are missing, first: .*0\.jpg.*4\.jpg; paths are"):
        CaptionDataset("c.jsonl", str(tmp_path))


def test_a_missing_image_shows_when_it_is_read_if_the_check_is_off(tmp_path):
    write_lines(tmp_path / "c.jsonl", {"image": "gone.jpg", "caption": "a"})
    dataset = CaptionDataset("c.jsonl", str(tmp_path), check_images=False, pipeline=[dict(type="LoadImageFromFile")])
    with pytest.raises(FileNotFoundError, match=r"gone\.jpg"):
        dataset[0]


def test_unknown_formats_are_refused(tmp_path):
    (tmp_path / "c.parquet").write_bytes(b"")
    with pytest.raises(ValueError, match="unknown format 'yaml'; known: auto, jsonl, csv, tsv, folder"):
        CaptionDataset("c.jsonl", str(tmp_path), format="yaml")
    with pytest.raises(ValueError, match=r"c\.parquet': unknown suffix '\.parquet'; state format"):
        CaptionDataset("c.parquet", str(tmp_path))


def test_nouns_and_masks_come_as_segmentation_transforms_read_them(tmp_path):
    write_images(tmp_path, "a.jpg", "b.jpg")
    mask = np.array([[0, 1, 2]], np.uint8)
    cv2.imwrite(str(tmp_path / "a_mask.png"), mask)
    write_lines(
        tmp_path / "c.jsonl",
        {"image": "a.jpg", "caption": "a cat", "nouns": ["cat"], "mask": "a_mask.png"},
        {"image": "b.jpg", "caption": "b"},
    )
    dataset = CaptionDataset("c.jsonl", str(tmp_path))
    first, second = dataset.get_data_info(0), dataset.get_data_info(1)
    assert first["nouns"] == ["cat"]
    assert (first["reduce_zero_label"], first["seg_fields"], first["fields"]) == (False, [], {})
    assert cv2.imread(first["seg_map_path"], cv2.IMREAD_UNCHANGED).tolist() == mask.tolist()
    assert second.keys() & {"nouns", "seg_map_path"} == set()


def test_masks_that_are_missing_are_listed_at_the_start(tmp_path):
    write_images(tmp_path, "a.jpg")
    write_lines(tmp_path / "c.jsonl", {"image": "a.jpg", "caption": "a cat", "mask": "gone.png"})
    with pytest.raises(FileNotFoundError, match=r"1 of 2 image files are missing, first: .*gone\.png"):
        CaptionDataset("c.jsonl", str(tmp_path))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("nouns", "cat, dog", "line 1: 'nouns' must be a list of strings, got 'cat, dog' for key 'a.jpg'"),
        ("nouns", ["cat", 3], r"line 1: 'nouns' must be a list of strings, got \['cat', 3\] for key 'a.jpg'"),
        ("mask", 7, "line 1: 'mask' must be the path of an image file, got 7 for key 'a.jpg'"),
    ],
)
def test_nouns_and_masks_of_another_form_are_refused(tmp_path, field, value, message):
    write_images(tmp_path, "a.jpg")
    write_lines(tmp_path / "c.jsonl", {"image": "a.jpg", "caption": "a cat", field: value})
    with pytest.raises(ValueError, match=message):
        CaptionDataset("c.jsonl", str(tmp_path))
