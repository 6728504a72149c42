"""Predictions as JSON lines."""

import json

import pytest
import torch

from clipplus.visualization import save_predictions


def test_lines_give_back_what_was_predicted_with_its_set(tmp_path):
    shapes = [dict(sample_id=3, label=1, label_name="piñata", top=[["piñata", 0.25], ["red star", -0.5]])]
    captions = [dict(sample_id=i, captions=["a ring"], image_to_text=[[i, 0, 0.5]]) for i in (1, 2)]
    path = tmp_path / "out" / "predictions.jsonl"
    save_predictions(path, dict(shapes=shapes, captions=captions))
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        dict(set=name, **record) for name, records in (("shapes", shapes), ("captions", captions)) for record in records
    ]
    assert "piñata" in lines[0]


def test_a_record_that_json_cannot_hold_names_set_and_sample_and_leaves_no_file(tmp_path):
    with pytest.raises(TypeError, match=r"set 'shapes', sample 7: .*Tensor"):
        save_predictions(tmp_path / "p.jsonl", dict(shapes=[dict(sample_id=7, score=torch.tensor(1.0))]))
    assert list(tmp_path.iterdir()) == []
