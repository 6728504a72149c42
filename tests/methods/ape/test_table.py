"""Tables of accuracy over shots: which cells there are, what is run again, what is printed. Fits are stood in for."""

import json
from pathlib import Path

import pytest

from clipplus.cli import main as clipplus_main
from clipplus.methods.ape import commands, table
from clipplus.methods.ape.table import Cell, Table, cell_config, config_fingerprint, table_cells
from clipplus.methods.ape.table_report import accuracy_curves, finished_records, published_numbers, row_labels

CONFIGS = Path(__file__).parents[3] / "configs" / "ape"
APE, TIP = (CONFIGS / f"{name}_resnet-tiny_clip-pre_16shot_emoji.py" for name in ("ape", "tip-adapter"))


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(shots, seed) of every fit that was asked for; APE gains more than Tip-Adapter."""
    asked: list[tuple[int, int]] = []

    def fit_and_test(config):
        shots = config.train_dataloader.dataset.dataset.num_shots
        seed = config.randomness.seed
        asked.append((shots, seed))
        top1 = 50.0 + shots * (2 if config.model.head.type == "APEHead" else 1) + seed
        best = dict(alpha=1.0, beta=2.0, gamma=0.0)
        metrics = {"twemoji/top1": top1, "twemoji/zero_shot": 50.0}
        return dict(metrics=metrics, search=dict(best=best, accuracy=70.0, search_on_test=False))

    monkeypatch.setattr(table, "fit_and_test", fit_and_test)
    return asked


def run(out: Path, *more: str) -> int:
    return commands.main(
        ["table", str(APE), str(TIP), "--shots", "1", "4", "--seeds", "1", "2", "--out", str(out), *more]
    )


def test_shots_and_seed_reach_everything_that_draws() -> None:
    config = cell_config(Cell(APE, 4, 2))
    drawn = [config.train_dataloader.dataset.dataset, config.val_dataloader.sets.held_out.dataset]
    assert [(subset.num_shots, subset.seed) for subset in drawn] == [(4, 2), (4, 2)]
    assert config.randomness.seed == 2


def test_a_few_pictures_of_a_validation_split_are_no_shots(tmp_path: Path) -> None:
    own = tmp_path / "ape_own.py"
    few = "dict(type='FewShotSubset', num_shots=3, seed=1, dataset=dict(type='ShapesDataset', split='val'))"
    own.write_text(f"_base_ = ['{APE}']\nval_dataloader = dict(sets=dict(few=dict(dataset={few})))\n")
    subset = cell_config(Cell(own, 8, 2)).val_dataloader.sets.few.dataset
    assert (subset.num_shots, subset.seed) == (3, 2)


def test_published_options_of_few_shots_are_taken() -> None:
    food = CONFIGS / "ape-t_rn50_openai-pre_16shot_food101.py"
    assert [cell_config(Cell(food, k, 1)).optim_wrapper.optimizer.eps for k in (1, 2, 4)] == [1e-2, 1e-2, 1e-3]


def test_what_a_cell_depends_on_changes_its_fingerprint(tmp_path: Path) -> None:
    plain = cell_config(Cell(APE, 4, 2))
    same = cell_config(Cell(APE, 4, 2), {"log_level": "DEBUG", "work_dir": "elsewhere"})
    other = cell_config(Cell(APE, 4, 2), {"model.head.num_channels": 0.5})
    assert config_fingerprint(plain) == config_fingerprint(same) != config_fingerprint(other)
    start = tmp_path / "start.pth"
    found = []
    for content in ("one", "other weights"):
        start.write_text(content)
        found.append(config_fingerprint(cell_config(Cell(APE, 4, 2), {"model.image_tower.pretrained": str(start)})))
    assert found[0] != found[1]


def test_cells_that_share_their_shots_stand_together() -> None:
    cells = table_cells([APE, TIP], [1, 4], [1, 2])
    assert [(cell.config, cell.shots, cell.seed) for cell in cells[:4]] == [
        (APE, 1, 1), (TIP, 1, 1), (APE, 4, 1), (TIP, 4, 1),
    ]  # fmt: skip


def test_a_table_is_run_once_and_shows_means_and_zero_shot(tmp_path: Path, fits, capsys) -> None:
    assert run(tmp_path) == 0
    assert len(fits) == 8
    page = (tmp_path / "README.md").read_text()
    assert page in capsys.readouterr().out
    assert "| zero-shot   |        50.00 |        50.00 |" in page
    assert "| ape         | 53.50 ± 0.71 | 59.50 ± 0.71 |" in page
    assert "| tip-adapter | 52.50 ± 0.71 | 55.50 ± 0.71 |" in page
    assert "8 of 8 fits are finished" in page
    assert (tmp_path / "emoji-twemoji.png").is_file()
    lines = (tmp_path / "table.csv").read_text().splitlines()
    assert lines[0].startswith("data,set,config,shots,seed,top1")
    assert len(lines) == 9
    assert run(tmp_path) == 0
    assert len(fits) == 8


def test_a_later_sitting_adds_what_is_missing(tmp_path: Path, fits) -> None:
    commands.main(["table", str(APE), "--shots", "1", "--seeds", "1", "--out", str(tmp_path)])
    assert run(tmp_path) == 0
    assert len(fits) == 8


def test_stale_cells_are_told_and_run_again_on_demand(tmp_path: Path, fits) -> None:
    run(tmp_path)
    changed = ("--cfg-options", "model.head.alpha=3.0")
    assert run(tmp_path, *changed) == 0
    assert len(fits) == 8
    assert "Stale" in (tmp_path / "README.md").read_text()
    assert run(tmp_path, "--redo", *changed) == 0
    assert len(fits) == 16
    assert "Stale" not in (tmp_path / "README.md").read_text()


def test_a_failed_cell_leaves_the_others_alone(tmp_path: Path, fits, monkeypatch, capsys) -> None:
    fit = table.fit_and_test

    def fails_once(config):
        if (config.randomness.seed, config.model.head.type) == (2, "APEHead"):
            raise ValueError("the start is gone")
        return fit(config)

    monkeypatch.setattr(table, "fit_and_test", fails_once)
    assert run(tmp_path) == 1
    assert "seed 2: FAILED: the start is gone" in capsys.readouterr().out
    assert "(1 of 2)" in (tmp_path / "README.md").read_text()


def test_a_broken_result_is_named(tmp_path: Path, fits) -> None:
    run(tmp_path)
    path = next((tmp_path / "results").rglob("*.json"))
    for content in ("{", '{"metrics": {}}'):
        path.write_text(content)
        with pytest.raises(ValueError, match=r"delete it to run .* again"):
            run(tmp_path)


def test_bad_arguments_end_in_one_line(tmp_path: Path, capsys) -> None:
    def message(*arguments: str) -> str:
        assert clipplus_main(["ape", "table", *arguments, "--out", str(tmp_path)]) == 2
        return capsys.readouterr().err

    assert "config nowhere.py does not exist" in message("nowhere.py")
    assert "no FewShotSubset" in message(str(CONFIGS.parent / "clip" / "clip_resnet-tiny_1xb128-8e_shapes.py"))
    assert "has no 'modle' (did you mean 'model'?)" in message(str(APE), "--cfg-options", "modle.head.alpha=1")


def test_numbers_chosen_on_test_are_marked(tmp_path: Path, fits) -> None:
    run(tmp_path)
    for path in (tmp_path / "results" / APE.stem).glob("*.json"):
        record = json.loads(path.read_text())
        record["search"]["search_on_test"] = True
        path.write_text(json.dumps(record))
    assert run(tmp_path, "--print") == 0
    assert "| ape (chosen on test) |" in (tmp_path / "README.md").read_text()


def test_zero_shot_of_other_texts_is_another_row(tmp_path: Path, fits) -> None:
    run(tmp_path)
    for path in (tmp_path / "results" / APE.stem).glob("*.json"):
        record = json.loads(path.read_text())
        record["metrics"]["twemoji/zero_shot"] = 51.0
        path.write_text(json.dumps(record))
    run(tmp_path, "--print")
    page = (tmp_path / "README.md").read_text()
    assert "zero-shot (texts of ape)" in page
    assert "zero-shot (texts of tip-adapter)" in page
    records = finished_records(Table(table_cells([APE, TIP], [1, 4], [1, 2]), tmp_path))
    curves = accuracy_curves(records, "emoji", "twemoji")
    assert curves["zero-shot (texts of ape)"] == {0: [51.0]}
    assert curves["ape"] == {1: [53.0, 54.0], 4: [59.0, 60.0]}


def test_published_numbers_come_from_the_metafile() -> None:
    numbers = published_numbers(CONFIGS / "ape-t_rn50_openai-pre_16shot_dtd.py")
    assert numbers == {"Zero": 40.07, "1": 54.61, "2": 58.81, "4": 65.48, "8": 67.02, "16": 69.66}
    assert published_numbers(APE) == {}


def test_rows_are_called_by_method_unless_that_is_unclear() -> None:
    names = ["ape_rn50_openai-pre_16shot_dtd", "tip-adapter_rn50_openai-pre_16shot-cupl_dtd"]
    assert list(row_labels([Path(f"{name}.py") for name in names]).values()) == ["ape", "tip-adapter-cupl"]
    names = ["ape_rn50_openai-pre_16shot_imagenet", "ape_rn101_openai-pre_16shot_imagenet"]
    assert list(row_labels([Path(f"{name}.py") for name in names]).values()) == [
        "ape_rn50_openai-pre_imagenet", "ape_rn101_openai-pre_imagenet",
    ]  # fmt: skip
