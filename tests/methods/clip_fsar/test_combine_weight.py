"""The weight of texts: what the sweep counts, which weight is taken, where it is stored."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from clipplus.checkpoints import load_restricted
from clipplus.methods.clip_fsar.combination import combined_log_score
from clipplus.methods.clip_fsar.combine_weight import CombineSweep, best_weight, store_weight, sweep


def sample(number: int, distance: torch.Tensor, text: torch.Tensor, label: torch.Tensor) -> dict:
    return dict(
        sample_id=number,
        query_label=label,
        pred_score=(-distance).softmax(-1).float(),
        text_score=text.softmax(-1).float(),
    )


def test_the_sweep_counts_what_each_weight_gets_right() -> None:
    generator = torch.Generator().manual_seed(0)
    metric = CombineSweep(steps=5)
    right = torch.zeros(5, dtype=torch.float64)
    for number in range(40):
        distance, text = (4 * torch.randn(6, 3, generator=generator, dtype=torch.float64) for _ in range(2))
        label = torch.randint(3, (6,), generator=generator)
        metric.process({}, [sample(number, distance, text, label)])
        for step, weight in enumerate(metric.weights):
            score = combined_log_score(text.log_softmax(-1)[None], -distance[None], weight)[0]
            right[step] += (score.argmax(-1) == label).double().mean() / 40
    found = metric.evaluate(40)
    assert list(found) == ["b=0", "b=0.25", "b=0.5", "b=0.75", "b=1"]
    assert list(found.values()) == pytest.approx((100 * right).tolist())


def test_ties_go_to_the_published_weight() -> None:
    assert best_weight({0.0: 50.0, 0.5: 60.0, 0.85: 60.0, 1.0: 55.0}) == 0.85
    assert best_weight({0.0: 70.0, 0.5: 60.0}) == 0.0


def test_the_weight_is_stored_with_where_it_came_from(tmp_path: Path) -> None:
    start = {"cls_head.text_coefficient": torch.tensor(0.9, dtype=torch.float64), "other": torch.ones(2)}
    torch.save({"state_dict": start, "meta": {"epoch": 2}}, tmp_path / "in.pth")
    assert store_weight(tmp_path / "in.pth", tmp_path / "out.pth", {0.0: 50.0, 0.3: 60.0}) == 0.3
    content = load_restricted(tmp_path / "out.pth")
    assert float(content["state_dict"]["cls_head.text_coefficient"]) == 0.3
    assert torch.equal(content["state_dict"]["other"], torch.ones(2))
    assert content["meta"]["epoch"] == 2
    assert content["meta"]["clip_fsar"]["chosen_on"] == "val"
    torch.save({"state_dict": {"other": torch.ones(2)}}, tmp_path / "in.pth")
    with pytest.raises(ValueError, match="it is no checkpoint of a CLIPFSARHead"):
        store_weight(tmp_path / "in.pth", tmp_path / "out.pth", {0.0: 50.0})


def test_nothing_is_chosen_on_test() -> None:
    episodes = dict(type="EpisodeDataset", split="test")
    with pytest.raises(ValueError, match=r"val_dataloader\.sets\.a is of the test split"):
        sweep(Config(dict(val_dataloader=dict(sets=dict(a=dict(dataset=episodes))))), Path("x.pth"))
    with pytest.raises(ValueError, match=r"no val_dataloader\.sets"):
        sweep(Config(dict(val_dataloader=None)), Path("x.pth"))


def test_a_sweep_has_both_ends() -> None:
    with pytest.raises(ValueError, match="steps must be at least 2"):
        CombineSweep(steps=1)
