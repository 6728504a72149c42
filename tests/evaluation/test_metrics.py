"""Ranks and recalls against their definitions."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.registry import METRICS

from clipplus.evaluation import CrossModalRecall, ZeroShotAccuracy, label_ranks, retrieval_ranks
from clipplus.evaluation.zero_shot import mean_class_accuracy


def rank_by_definition(scores: list[float], own: int) -> int:
    """Strictly larger scores come first, then equal ones of lower index."""
    return sum(s > scores[own] or (s == scores[own] and i < own) for i, s in enumerate(scores))


@given(st.lists(st.lists(st.integers(-2, 2), min_size=4, max_size=4), min_size=1, max_size=6), st.integers(0, 3))
def test_label_ranks_equal_their_definition_with_ties(rows: list[list[int]], label: int) -> None:
    logits = torch.tensor(rows, dtype=torch.float32)
    ranks = label_ranks(logits, torch.full((len(rows),), label))
    assert ranks.tolist() == [rank_by_definition(row, label) for row in logits.tolist()]


@settings(deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=7), st.integers(0, 1000))
def test_retrieval_ranks_equal_their_definition_for_ragged_captions(counts: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    owner = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    image = torch.randint(-1, 2, (len(counts), 3), generator=generator).float()
    text = torch.randint(-1, 2, (len(owner), 3), generator=generator).float()
    ranks = retrieval_ranks(image, text, owner)
    scores = image @ text.T
    for i in range(len(counts)):
        own = [t for t in range(len(owner)) if owner[t] == i]
        assert int(ranks.image_to_text[i]) == min(rank_by_definition(scores[i].tolist(), t) for t in own)
    for t in range(len(owner)):
        assert int(ranks.text_to_image[t]) == rank_by_definition(scores[:, t].tolist(), int(owner[t]))


def test_blocks_of_rows_change_no_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    owner = torch.repeat_interleave(torch.arange(20), torch.randint(1, 4, (20,), generator=generator))
    image, text = torch.randn(20, 4, generator=generator), torch.randn(len(owner), 4, generator=generator)
    whole = retrieval_ranks(image, text, owner)
    monkeypatch.setattr("clipplus.evaluation.retrieval._ROWS_PER_BLOCK", 3)
    for one, other in zip(retrieval_ranks(image, text, owner), whole, strict=True):
        torch.testing.assert_close(one, other)


def test_mean_class_accuracy_weighs_classes_equally() -> None:
    hits, labels = torch.tensor([True, True, True, False]), torch.tensor([0, 0, 0, 2])
    assert mean_class_accuracy(hits, labels) == 50.0


def class_samples(logits: list[list[float]], labels: list[int]) -> list[dict]:
    return [
        dict(sample_idx=i, gt_label=torch.tensor([label]), logits=torch.tensor(row))
        for i, (row, label) in enumerate(zip(logits, labels, strict=True))
    ]


def test_zero_shot_ranks_logits_and_keeps_predictions() -> None:
    metric = METRICS.build(dict(type="ZeroShotAccuracy", topk=(1, 2)))
    metric.dataset_meta = dict(classes=["cat", "dog", "cow"])
    metric.process({}, class_samples([[1.0, 3.0, 2.0], [5.0, 0.0, 1.0]], [2, 0]))
    assert metric.evaluate(2) == {"top1": 50.0, "top2": 100.0, "mean_class": 50.0}
    assert metric.predictions[0]["label_name"] == "cow"
    assert metric.predictions[0]["top"] == [["dog", 3.0], ["cow", 2.0], ["cat", 1.0]]


def test_padded_duplicates_count_once_and_missing_samples_are_an_error() -> None:
    metric = ZeroShotAccuracy(topk=(1,))
    samples = class_samples([[1.0, 0.0], [1.0, 0.0]], [0, 1])
    metric.process({}, [*samples, samples[0]])
    assert metric.evaluate(2)["top1"] == 50.0
    metric.process({}, samples)
    with pytest.raises(RuntimeError, match="the set has 3 samples, but 2 different sample ids arrived"):
        metric.evaluate(3)


def test_zero_shot_under_a_plain_loop_names_the_loop_to_use() -> None:
    metric = ZeroShotAccuracy(texts=dict(type="ClassTextBank", classes=["a", "b"]))
    with pytest.raises(RuntimeError, match=r"val_cfg=dict\(type='MultiDatasetValLoop'\)"):
        metric.process({}, [dict(image_embedding=torch.zeros(2))])


def test_label_outside_of_the_class_texts_is_refused() -> None:
    with pytest.raises(ValueError, match="sample 0 has label 7, but there are 2 class texts"):
        ZeroShotAccuracy().process({}, class_samples([[1.0, 0.0]], [7]))


def test_recall_by_hand_for_ragged_captions() -> None:
    metric = CrossModalRecall(ks=(1, 2))
    eye = torch.eye(3)
    metric.process({}, [
        dict(sample_id=11, image_embedding=eye[0], text_embeddings=eye[[1, 0]], captions=["b", "a"]),
        dict(sample_id=5, image_embedding=eye[1], text_embeddings=eye[[2]], captions=["c"]),
    ])  # fmt: skip
    # Image 11 finds its own "a"; image 5 prefers the other's "b" (1.0), then ties at 0 by order: its own "c" first.
    values = metric.evaluate(2)
    assert values["image_to_text_R@1"] == 50.0
    assert values["image_to_text_R@2"] == 100.0
    # Captions in order c, b, a: c ties at 0 (own image 5 first), b prefers image 5, a finds image 11.
    assert values["text_to_image_R@1"] == pytest.approx(200 / 3)
    assert metric.predictions[0]["sample_id"] == 5
    assert metric.predictions[0]["image_to_text"][0] == [11, 0, 1.0]
    assert metric.predictions[1]["text_to_image"][1][0] == [11, 1.0]


def test_recall_without_captions_names_the_transforms() -> None:
    with pytest.raises(ValueError, match="add SampleCaptions and TokenizeCaptions"):
        CrossModalRecall().process({}, [dict(sample_id=0, image_embedding=torch.zeros(2))])
