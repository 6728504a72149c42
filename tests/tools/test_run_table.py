"""tools/analysis/run_table.py with a trainer that takes no time, and once with the real one."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ANALYSIS = ROOT / "tools" / "analysis"

# Called like tools/train.py. top1 = 50 + 2 seed + gain (seed + 1) + what the start's checkpoint holds (top1 / 10). In
# the folder `orders` beside it: ROW.fail, ROW.mute (no results), ROW.block (wait after the first checkpoint).
TRAINER = """
import json, signal, sys
from pathlib import Path

here = Path(__file__).parent
config, work_dir = sys.argv[1], Path(sys.argv[sys.argv.index("--work-dir") + 1])
assert "--resume" in sys.argv
options = dict(text.split("=", 1) for text in sys.argv[sys.argv.index("--cfg-options") + 1 :])
row, data, seed = work_dir.parts[-3:]
pointer, order = work_dir / "last_checkpoint", here / "orders" / row
begun = Path(pointer.read_text()).name if pointer.is_file() else "nothing"
with (here / "calls").open("a") as calls:
    calls.write(f"{row}/{data}/{seed} from {begun}\\n")
if order.with_suffix(".fail").is_file():
    print("the loss is nan")
    sys.exit(3)
if order.with_suffix(".mute").is_file():
    sys.exit(0)
start = options.get("model.pretrained")
value = 50 + 2 * int(seed[4:]) + float(options.get("model.gain", 0)) * (int(seed[4:]) + 1)
value += float(Path(start).read_text()) if start else 0
for epoch in (1, 2):
    (work_dir / f"epoch_{epoch}.pth").write_text(str(value / 10))
    pointer.write_text(str(work_dir / f"epoch_{epoch}.pth"))
    block = order.with_suffix(".block")
    if epoch == 1 and block.is_fifo() and begun == "nothing":
        with block.open("w") as waiting:
            waiting.write("here")
            waiting.flush()
            signal.pause()
metrics = {"set/top1": value, "set/top5": 90.0}
(work_dir / "results.json").write_text(json.dumps({"source": "val", "metrics": metrics}))
"""
CONFIG = """
model = dict(gain=0.0, pretrained=None)
randomness = dict(seed=0)
custom_hooks = [dict(type='ResultTableHook')]
data = [dict(ann_file='a.jsonl', data_root=None)]
"""


@pytest.fixture(scope="module")
def tool() -> Iterator[ModuleType]:
    """The tool as a module, which imports its parts from its own folder."""
    sys.path.insert(0, str(ANALYSIS))
    import run_table

    yield run_table
    sys.path.remove(str(ANALYSIS))


class Comparison:
    """A table file with a trainer beside it, in a folder of its own."""

    def __init__(self, folder: Path, tool: ModuleType) -> None:
        self.folder, self.tool = folder, tool
        self.results = folder / "results"
        self.file = folder / "table.yml"
        (folder / "orders").mkdir()
        (folder / "trainer.py").write_text(TRAINER)
        (folder / "config.py").write_text(CONFIG)
        self.content: dict[str, Any] = dict(
            name="example", title="An example", seeds=[0, 1, 2], baseline="plain",
            data=dict(
                small=dict(config=str(folder / "config.py"), metrics=["set/top1"]),
            ),
            rows=[dict(name="plain"), dict(name="better", cfg_options={"model.gain": 1.5})],
        )  # fmt: skip
        self.write()

    def write(self) -> None:
        """The content into the file."""
        self.file.write_text(yaml.safe_dump(self.content, sort_keys=False))

    def arguments(self, *more: str) -> list[str]:
        """For the tool."""
        return [str(self.file), "--work-dir", str(self.folder / "work"), "--results", str(self.results), *more]

    def run(self, *more: str) -> int:
        """A sitting in this process."""
        return self.tool.main(self.arguments(*more), self.folder / "trainer.py")

    def start(self) -> "subprocess.Popen[bytes]":
        """A sitting in a process of its own."""
        code = (
            "import sys; from pathlib import Path; import run_table; "
            "sys.exit(run_table.main(sys.argv[2:], Path(sys.argv[1])))"
        )
        path = os.pathsep.join([str(ANALYSIS), str(ROOT)])
        command = [sys.executable, "-c", code, str(self.folder / "trainer.py"), *self.arguments()]
        return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.DEVNULL)

    def block(self, row: str) -> Path:
        """Let the row's next training stop half-way; opening the returned file waits for it, its end is its death."""
        path = self.folder / "orders" / f"{row}.block"
        os.mkfifo(path)
        return path

    def calls(self) -> list[str]:
        """`ROW/DATA/seedK from CHECKPOINT` of all trainings until now."""
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.is_file() else []

    def record(self, name: str) -> dict[str, Any]:
        """A result file."""
        return json.loads((self.results / f"{name}.json").read_text())


@pytest.fixture
def comparison(tmp_path: Path, tool: ModuleType) -> Comparison:
    """Two rows, one data set, three seeds."""
    return Comparison(tmp_path, tool)


def table_row(text: str, row: str, number: int = 0) -> list[str]:
    """Cells of the (number + 1)-th line of a printed table that begins with a name."""
    lines = [line for line in text.splitlines() if line.startswith(f"| {row} ")]
    return [cell.strip() for cell in lines[number].strip("|").split("|")]


def test_means_deviations_and_paired_differences_are_those_of_the_seeds(comparison, capsys) -> None:
    assert comparison.run() == 0
    printed = capsys.readouterr().out
    # plain: 50, 52, 54; better: 51.5, 55, 58.5; differences 1.5, 3, 4.5.
    assert table_row(printed, "plain")[1:3] == ["52.00 ± 2.00", "3 of 3"]
    assert table_row(printed, "better")[1:3] == ["55.00 ± 3.50", "3 of 3"]
    assert table_row(printed, "better", 1)[1:] == ["+3.00 ± 1.50 (3 of 3)"]
    assert printed.endswith((comparison.results / "README.md").read_text().split("\n", 1)[1])


def test_rows_of_a_seed_come_before_the_next_seed(comparison) -> None:
    comparison.run()
    cells = [call.split()[0] for call in comparison.calls()]
    assert cells == [f"{row}/small/seed{seed}" for seed in (0, 1, 2) for row in ("plain", "better")]


@pytest.mark.parametrize(
    ("values", "baseline", "expected"),
    [
        ({0: 2.0, 1: 1.0, 2: 3.0}, {0: 1.0, 1: 2.0, 2: 1.0}, "+0.67 ± 1.53 (2 of 3)"),
        ({0: 1.0, 1: 9.0}, {0: 3.5, 2: 4.0}, "-2.50 (1 of 1)"),
        ({0: 1.0, 1: 1.0}, {0: 1.0, 1: 1.0}, "+0.00 ± 0.00 (2 of 2)"),
        ({0: 1.0}, {1: 1.0}, "missing"),
    ],
)
def test_paired_difference_counts_common_seeds_alone(tool, values, baseline, expected) -> None:
    from comparison.report import paired_difference

    assert paired_difference(values, baseline) == expected


def test_finished_cells_are_not_run_again_and_give_the_same_page(comparison) -> None:
    comparison.run()
    before = (comparison.results / "README.md").read_bytes()
    calls = comparison.calls()
    assert comparison.run() == 0
    assert comparison.calls() == calls
    assert (comparison.results / "README.md").read_bytes() == before


def test_results_carry_where_they_come_from(comparison) -> None:
    (comparison.folder / "a.jsonl").write_text("{}")
    config = comparison.folder / "config.py"
    config.write_text(config.read_text().replace("data_root=None", f"data_root={str(comparison.folder)!r}"))
    comparison.run("--only", "better/small/1")
    record = comparison.record("small--better--seed1")
    assert record["metrics"] == {"set/top1": 55.0, "set/top5": 90.0}
    assert record["cfg_options"] == ["model.gain=1.5", "randomness.seed=1"]
    assert f"python tools/train.py {config}" in record["command"]
    assert record["git"].keys() == {"revision", "dirty"}
    assert record["versions"]["torch"]
    assert record["machine"].keys() == {"device", "cpu", "cores", "threads"}
    # SHA-256 of "{}".
    assert record["data_fingerprint"][str(comparison.folder / "a.jsonl")].startswith("44136fa355b3678a")
    assert record["seconds"] == pytest.approx(sum(sitting["seconds"] for sitting in record["sittings"]))


def test_page_names_the_annotations_of_each_data_set_and_no_other(comparison, capsys) -> None:
    config = comparison.folder / "config.py"
    (comparison.folder / "drawn.py").write_text(config.read_text().replace("ann_file='a.jsonl'", "split='train'"))
    comparison.content["data"]["drawn"] = dict(config=str(comparison.folder / "drawn.py"), metrics=["set/top1"])
    comparison.write()
    comparison.run()
    capsys.readouterr()
    comparison.run("--print")
    page = capsys.readouterr().out
    assert "* annotations of small: a.jsonl " in page
    assert "annotations of drawn" not in page


def test_only_what_is_asked_for_runs_and_the_rest_is_marked(comparison, capsys) -> None:
    assert comparison.run("--only", "better/*/[01]") == 0
    printed = capsys.readouterr().out
    assert table_row(printed, "plain")[1:] == ["missing", "0 of 3", "missing"]
    assert table_row(printed, "better")[1:3] == ["53.25 ± 2.47", "2 of 3"]
    assert table_row(printed, "better", 1)[1:] == ["missing"]
    assert "Missing: plain/small/0, plain/small/1, plain/small/2, better/small/2." in printed


def test_pattern_that_fits_nothing_is_refused(comparison) -> None:
    with pytest.raises(ValueError, match=r"--only worse: no cell ROW/DATA/SEED fits; cells are plain/small/0"):
        comparison.run("--only", "worse")


def test_changed_config_makes_results_stale_until_they_are_redone(comparison, capsys) -> None:
    comparison.content["seeds"] = [0, 1]
    comparison.write()
    comparison.run()
    comparison.content["rows"][1]["cfg_options"]["model.gain"] = 2.0
    comparison.write()
    done = comparison.calls()
    assert comparison.run() == 0
    printed = capsys.readouterr().out
    assert comparison.calls() == done
    assert table_row(printed, "better", -2)[1:3] == ["missing", "0 of 2, 2 stale"]
    assert "stale, run again with --redo: better/small/0, better/small/1\n" in printed
    assert comparison.run("--redo") == 0
    # From nothing: the old checkpoint is another config's.
    assert comparison.calls()[len(done) :] == [f"better/small/seed{seed} from nothing" for seed in (0, 1)]
    assert table_row(capsys.readouterr().out, "better")[1:3] == ["54.00 ± 2.83", "2 of 2"]


def test_what_watches_a_run_makes_no_result_stale(comparison, capsys) -> None:
    comparison.run()
    config = comparison.folder / "config.py"
    config.write_text(config.read_text() + "default_hooks = dict(logger=dict(type='LoggerHook'))\n")
    comparison.run("--print")
    assert "stale" not in capsys.readouterr().out


def test_failed_cell_shows_its_log_and_the_others_go_on(comparison, capsys) -> None:
    (comparison.folder / "orders" / "plain.fail").touch()
    assert comparison.run() == 1
    printed = capsys.readouterr().out
    assert re.search(r"plain/small/0: FAILED: .*trainer.py .*\nended with exit code 3:\n    the loss is nan", printed)
    assert printed.endswith("failed: plain/small/0, plain/small/1, plain/small/2\n")
    assert table_row(printed, "better")[2] == "3 of 3"
    (comparison.folder / "orders" / "plain.fail").unlink()
    assert comparison.run() == 0
    assert len(comparison.calls()) == 9


def test_trainer_without_results_is_a_failure(comparison, capsys) -> None:
    (comparison.folder / "orders" / "plain.mute").touch()
    assert comparison.run("--only", "plain/small/0") == 1
    assert "no validation results in" in capsys.readouterr().out


def test_metric_that_no_run_computes_is_named_with_the_known_ones(comparison, capsys) -> None:
    comparison.content["data"]["small"]["metrics"] = ["set/top2"]
    comparison.write()
    assert comparison.run("--only", "plain/small/0") == 1
    assert "data 'small': no metric 'set/top2' among set/top1, set/top5" in capsys.readouterr().out


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_sitting_killed_in_the_middle_goes_on_where_it_was(comparison, signum, code) -> None:
    fifo = comparison.block("better")
    sitting = comparison.start()
    with fifo.open() as training:
        assert training.read(4) == "here"
        sitting.send_signal(signum)
        # The end of the file is the end of the training: it does not outlive its sitting.
        assert training.read() == ""
    assert sitting.wait() == code
    assert [path.name for path in comparison.results.glob("*.json")] == ["small--plain--seed0.json"]
    fifo.unlink()
    assert comparison.run("--only", "*/*/[01]") == 0
    assert comparison.calls()[:4] == [
        "plain/small/seed0 from nothing",
        "better/small/seed0 from nothing",
        "better/small/seed0 from epoch_1.pth",
        "plain/small/seed1 from nothing",
    ]
    assert len(comparison.record("small--better--seed0")["sittings"]) == 2


def test_second_sitting_on_the_same_table_is_refused_while_one_lives(comparison) -> None:
    fifo = comparison.block("plain")
    sitting = comparison.start()
    with fifo.open() as training:
        training.read(4)
        with pytest.raises(ValueError, match=r"another sitting is at work on .*results: wait for it or end it"):
            comparison.run()
        sitting.terminate()
        sitting.wait()
    fifo.unlink()
    assert comparison.run("--only", "plain/small/0") == 0


def test_start_is_made_on_demand_and_its_time_counted(comparison, capsys) -> None:
    comparison.content["rows"].insert(
        0, dict(name="refined", start="better", start_option=["model.pretrained"], cfg_options={"model.gain": 0.5})
    )
    comparison.write()
    assert comparison.run("--only", "refined/small/1") == 0
    assert [call.split()[0] for call in comparison.calls()] == ["better/small/seed1", "refined/small/seed1"]
    record = comparison.record("small--refined--seed1")
    # 50 + 2 + 0.5 * 2, and a tenth of better's 55 from its checkpoint.
    assert record["metrics"]["set/top1"] == 58.5
    assert record["start"]["seconds"] == comparison.record("small--better--seed1")["seconds"]
    assert re.fullmatch(r"0\.0 \+ 0\.0 for better", table_row(capsys.readouterr().out, "refined")[3])
    comparison.content["rows"][2]["cfg_options"]["model.gain"] = 9.0
    comparison.write()
    comparison.run("--dry-run", "--only", "refined/small/1")
    assert "refined/small/1: stale, --redo runs it again" in capsys.readouterr().out


def test_start_whose_checkpoint_is_gone_is_made_again(comparison) -> None:
    comparison.run("--only", "better/small/0")
    (comparison.folder / "work" / "better" / "small" / "seed0" / "epoch_2.pth").unlink()
    comparison.content["rows"].append(dict(name="refined", start="better", start_option="model.pretrained"))
    comparison.write()
    assert comparison.run("--only", "refined/small/0") == 0
    assert comparison.calls()[1:] == ["better/small/seed0 from nothing", "refined/small/seed0 from nothing"]


def test_row_is_not_run_when_its_start_failed(comparison, capsys) -> None:
    comparison.content["rows"].append(dict(name="refined", start="plain", start_option="model.pretrained"))
    comparison.write()
    (comparison.folder / "orders" / "plain.fail").touch()
    assert comparison.run("--only", "refined/small/0") == 1
    assert "refined/small/0: FAILED: its start plain/small/0 failed" in capsys.readouterr().out


def test_sitting_ends_before_a_cell_that_does_not_fit(comparison, capsys) -> None:
    assert comparison.run("--minutes", "3") == 0
    assert "plain/small/0 would take 4.0 min, 3.0 min are left" in capsys.readouterr().out
    assert comparison.calls() == []
    assert comparison.run("--minutes", "5", "--only", "plain/small/0") == 0
    assert comparison.run("--minutes", "3") == 0
    assert len(comparison.calls()) == 6


def test_cells_over_the_budget_are_marked(comparison, capsys) -> None:
    comparison.run("--only", "plain")
    path = comparison.results / "small--plain--seed1.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seconds": 300.0}))
    capsys.readouterr()
    comparison.run("--print")
    assert table_row(capsys.readouterr().out, "plain")[3] == "1.7 **over 4: seed 1**"


def test_dry_run_and_print_run_nothing(comparison, capsys) -> None:
    comparison.run("--only", "plain/small/0")
    calls = comparison.calls()
    capsys.readouterr()
    assert comparison.run("--dry-run") == 0
    listed = capsys.readouterr().out.splitlines()
    assert listed[0] == "plain/small/0: finished"
    assert listed[1] == "better/small/0: missing, runs about 0.0 min"
    assert listed[-1].startswith("5 to run")
    assert comparison.run("--print") == 0
    assert capsys.readouterr().out.startswith("# An example\n\n## small\n\n| row ")
    assert comparison.calls() == calls


def test_rows_and_data_choose_the_config(comparison, tool) -> None:
    other = comparison.folder / "other.py"
    other.write_text(CONFIG + "depth = 3\n")
    comparison.content["data"]["large"] = dict(config=str(other), metrics=["set/top1"], cfg_options={"model.gain": 7})
    comparison.content["rows"].append(dict(name="own", config={"small": str(other)}))
    comparison.content["rows"].append(dict(name="one", config=str(other), cfg_options=dict(model=dict(gain="1e-3"))))
    comparison.write()
    plans = tool.make_plans(tool.read_table(comparison.file))
    chosen = {(c.row, c.data): (p.config.name, p.options.get("model.gain")) for c, p in plans.items() if c.seed == 0}
    assert chosen == {
        ("plain", "small"): ("config.py", None), ("better", "small"): ("config.py", "1.5"),
        ("own", "small"): ("other.py", None), ("one", "small"): ("other.py", "1e-3"),
        ("plain", "large"): ("other.py", "7"), ("better", "large"): ("other.py", "1.5"),
        ("own", "large"): ("other.py", "7"), ("one", "large"): ("other.py", "1e-3"),
    }  # fmt: skip
    prints = {plan.fingerprint for plan in plans.values()}
    # All are different trainings, but for those that resolve to the same: own = plain on large, one on small and large.
    assert len(prints) == len(plans) - 2 * 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(seed=[0]), r"unknown key 'seed'; known: .* \(did you mean 'seeds'\?\)"),
        (dict(baseline="plane"), r"baseline: unknown row 'plane'; known: plain, better \(did you mean 'plain'\?\)"),
        (dict(seeds=[0, 0]), r"seeds must be a list of different whole numbers, e.g. \[0, 1, 2\], got \[0, 0\]"),
        (dict(budget_minutes="4"), r"budget_minutes must be a positive number, got '4'"),
        (dict(name="../x"), r"name: a name is letters and digits, .* got '../x'"),
        (dict(rows=[dict(name="a", cfg_option={})]), r"rows\[0\]: unknown key 'cfg_option'; .* 'cfg_options'\?"),
        (dict(rows=[dict(name="plain"), dict(name="plain")]), r"rows\[1\].name: 'plain' is there already"),
        (dict(rows=[dict(name="plain", start="x", start_option="model.pretrained")]), r"start: unknown row 'x'"),
        (dict(rows=[dict(name="plain", start="plain")]), r"row 'plain': start .* and start_option .* belong together"),
        (
            dict(rows=[dict(name="plain", start="plain", start_option="model.pretrained")]),
            r"row 'plain' starts from itself: plain <- plain",
        ),
        (dict(rows=[dict(name="plain", config={"big": "x.py"})]), r"row 'plain': config: unknown data set 'big'"),
        (
            dict(rows=[dict(name="plain", cfg_options={"modle.gain": 1})]),
            r"row 'plain', data 'small': --cfg-options modle.gain: the config has no 'modle' \(did you mean 'model'",
        ),
        (
            dict(rows=[dict(name="plain", cfg_options={"custom_hooks.4.type": 1})]),
            r"row 'plain', data 'small': cfg_options do not fit config.py",
        ),
        (
            dict(rows=[dict(name="plain", cfg_options={"custom_hooks": []})]),
            r"custom_hooks of config.py need a ResultTableHook",
        ),
        (
            dict(rows=[dict(name="plain", cfg_options={"model.names": ["a rose", "b"]})]),
            r"cfg_options model.names: \['a rose', 'b'\] would reach the training as \['arose', 'b'\]",
        ),
        (
            dict(rows=[dict(name="plain", cfg_options={"val_evaluator.sets.roses.type": "Accuracy"})]),
            r"data 'small': metric 'set/top1': val_evaluator has no set 'set'; known: roses",
        ),
        (dict(data=dict(small=dict(config="x.py"))), r"data 'small': key 'metrics' is missing"),
        (dict(data=dict(small=dict(metrics=["a/b"]))), r"row 'plain': neither the row nor data 'small' names a config"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_with_file_and_key(comparison, change, message) -> None:
    comparison.content |= change
    comparison.write()
    with pytest.raises(ValueError, match=f"{re.escape(str(comparison.file))}.*{message}"):
        comparison.run()
    assert comparison.calls() == []


def test_missing_files_are_named(comparison) -> None:
    comparison.content["data"]["small"]["config"] = "configs/nowhere.py"
    comparison.write()
    with pytest.raises(
        FileNotFoundError, match=r"row 'plain', data 'small': config .*configs/nowhere.py does not exist"
    ):
        comparison.run()
    comparison.file.unlink()
    with pytest.raises(FileNotFoundError, match=r"table .*table.yml does not exist"):
        comparison.run()


def test_folder_that_no_table_wrote_is_left_alone(comparison, capsys) -> None:
    folder = comparison.folder / "work" / "plain" / "small" / "seed0"
    folder.mkdir(parents=True)
    (folder / "thesis.txt").write_text("years of work")
    assert comparison.run("--only", "plain/small/0") == 1
    assert "holds files that no table wrote; move them or use --work-dir" in capsys.readouterr().out
    assert (folder / "thesis.txt").read_text() == "years of work"


def test_truncated_result_file_is_named(comparison) -> None:
    comparison.run("--only", "plain/small/0")
    path = comparison.results / "small--plain--seed0.json"
    path.write_text(path.read_text()[:30])
    with pytest.raises(ValueError, match=r"seed0.json is not a result, delete it to run plain/small/0 again"):
        comparison.run("--print")


@pytest.mark.parametrize(
    "file", sorted((ROOT / "docs" / "results").glob("*/table.yml")), ids=lambda path: path.parent.name
)
def test_tables_of_the_project_fit_their_configs(tool, file: Path) -> None:
    table = tool.read_table(file)
    assert table.name == file.parent.name
    assert tool.make_plans(table)


@pytest.mark.slow
def test_real_trainings_fill_a_table(comparison, tool, capsys) -> None:
    comparison.content |= dict(
        seeds=[0],
        data=dict(
            shapes=dict(
                config="configs/clip/clip_resnet-tiny_1xb128-8e_shapes.py",
                metrics=["shapes_classes/top1"],
                cfg_options={
                    "train_cfg.max_epochs": 1, "train_cfg.val_interval": 1, "param_scheduler.1.T_max": 1,
                    "train_dataloader.batch_size": 16, "train_dataloader.num_workers": 0,
                    "train_dataloader.persistent_workers": False,
                    "train_dataloader.dataset.dataset.num_scenes": 32,
                    "val_dataloader.sets.shapes_classes.dataset.num_scenes": 40,
                    "val_dataloader.sets.shapes_captions.dataset.num_scenes": 20,
                },
            )
        ),
        rows=[
            dict(name="plain"),
            dict(
                name="refined", start="plain",
                start_option=["model.image_tower.pretrained", "model.text_tower.pretrained"],
            ),
        ],
    )  # fmt: skip
    comparison.write()
    assert tool.main(comparison.arguments()) == 0, capsys.readouterr().out
    records = [comparison.record(f"shapes--{row}--seed0") for row in ("plain", "refined")]
    assert all(0 <= record["metrics"]["shapes_classes/top1"] <= 100 for record in records)
    assert records[1]["start"]["row"] == "plain"
    assert records[1]["cfg_options"][-1].startswith("model.text_tower.pretrained=")
