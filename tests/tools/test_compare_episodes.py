"""The tool that compares two dumps of episodes: files in, a table out."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.registry import METRICS

from clipplus.few_shot_video.episode_sample import EpisodeDataSample
from clipplus.visualization import save_predictions

TOOLS = Path(__file__).parents[2] / "tools" / "analysis"


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("compare_episodes")


def dump(path, first_right, sets=("shapes",)):
    """What an evaluation writes: 20 episodes of two queries, the first right in some, the second in all."""
    metric = METRICS.build(dict(type="FewShotAccuracy"))
    metric.dataset_meta = {"classes": ["left", "right", "circle"]}
    for number in range(20):
        label = torch.tensor([0, 1])
        predicted = torch.tensor([0 if number < first_right else 1, 1])
        sample = EpisodeDataSample(
            metainfo=dict(sample_id=number),
            query_label=label,
            way_class=torch.tensor([2, 0]),
            query_class=torch.tensor([2, 0]),
            support_video=torch.tensor([number, number + 1]),
            query_video=torch.tensor([number + 2, number + 3]),
            pred_score=torch.nn.functional.one_hot(predicted, 2).float(),
        )
        metric.process(None, [sample.to_dict()])
    metric.evaluate(20)
    save_predictions(path, dict.fromkeys(sets, metric.predictions))
    return str(path)


def test_two_dumps_give_a_table_and_numbers(tool, tmp_path, capsys):
    a, b = dump(tmp_path / "mean_pool.jsonl", 4), dump(tmp_path / "otam.jsonl", 10)
    result = tool.main([a, b, "--per-class", "--json", str(tmp_path / "result.json")])
    printed = capsys.readouterr().out
    assert "| otam - mean_pool | +15.00 ± 10.04 |" in printed
    assert "otam is better in 6 episodes and worse in 0; p = 0.031" in printed
    assert printed.index("| circle | +30.00 |") < printed.index("| left | +0.00 |")
    stored = json.loads((tmp_path / "result.json").read_text())
    assert stored["difference"] == result.difference == 15.0
    assert (stored["a"], stored["b"]) == ("mean_pool", "otam")


def test_a_set_is_chosen_by_name(tool, tmp_path):
    a, b = (dump(tmp_path / f"{name}.jsonl", right, ("one", "two")) for name, right in (("a", 4), ("b", 10)))
    assert tool.main([a, b, "--set", "two"]).episodes == 20
    with pytest.raises(ValueError, match="has the sets one, two: choose one with --set"):
        tool.main([a, b])
    with pytest.raises(ValueError, match="has no set 'three', only one, two"):
        tool.main([a, b, "--set", "three"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1 is no JSON"),
        ('{"sample_id": 1, "rank": 0}', "line 1 is no episode of a FewShotAccuracy"),
        ('{"sample_id": "x", "label": 1, "predicted": 0}', "line 1 is no episode of a FewShotAccuracy"),
    ],
)
def test_a_file_that_is_no_dump_is_refused(tool, tmp_path, line, message):
    path = tmp_path / "a.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(ValueError, match=message):
        tool.main([str(path), str(path)])


def test_a_file_that_is_no_text_is_named(tool, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"a\.jsonl is no text file"):
        tool.main([str(path), str(path)])


def test_a_missing_file_is_named(tool, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jsonl does not exist: write it with tools/test\.py --dump"):
        tool.main([str(tmp_path / "nowhere.jsonl"), str(tmp_path / "nowhere.jsonl")])


def test_a_repeated_episode_is_refused(tool, tmp_path):
    path = Path(dump(tmp_path / "a.jsonl", 4))
    path.write_text(path.read_text() + path.read_text().splitlines()[3] + "\n")
    with pytest.raises(ValueError, match=r"a\.jsonl line 21 repeats episode 3 of line 4"):
        tool.main([str(path), str(path)])


@pytest.mark.parametrize("field", ["way_class", "query_class", "support_video", "query_video"])
def test_records_that_do_not_say_which_videos_they_are_of_are_refused(tool, tmp_path, field):
    path = Path(dump(tmp_path / "a.jsonl", 4))
    records = [json.loads(line) for line in path.read_text().splitlines()]
    del records[1][field]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    with pytest.raises(ValueError, match=rf"a\.jsonl line 2 has no {field}: which videos"):
        tool.main([str(path), str(path)])


def test_errors_are_one_line_that_names_the_files(tmp_path):
    a, b = Path(dump(tmp_path / "a.jsonl", 4)), Path(dump(tmp_path / "b.jsonl", 4))
    b.write_text("".join(line + "\n" for line in b.read_text().splitlines()[:19]))
    command = [sys.executable, str(TOOLS / "compare_episodes.py"), str(a), str(b)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1].startswith(f"error: {a} and {b}: the results have 20 and 19 episodes")
    assert "Traceback" not in run.stderr
