"""The recogniser: who sees what, and that neither batching nor order changes an episode."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, MODELS
from torch import Tensor, nn

from clipplus.few_shot_video import EpisodeDataSample
from clipplus.text import ClassTextBank

Configure = Callable[..., dict[str, Any]]


@MODELS.register_module(force=True)
class SeesTexts(nn.Module):
    """A backbone that adds the text it was given to a constant of the pixels."""

    needs_text = True

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(16))
        self.calls: list[Tensor | None] = []

    def forward(self, clips: Tensor, text: Tensor | None) -> Tensor:
        self.calls.append(text)
        features = clips.mean(dim=(2, 3, 4))[..., None] * self.weight
        return features if text is None else features + text[:, None]


@MODELS.register_module(force=True)
class NotesText(nn.Module):
    """A head that keeps the class texts it is given."""

    needs_text = True

    def predict(self, query: Tensor, support: Tensor, data_samples: list, class_text: Tensor | None = None) -> list:
        self.class_text = class_text
        return data_samples


@pytest.fixture
def batch(episodes_config: Configure) -> dict[str, Any]:
    """Three episodes of 3 ways, 2 shots, 1 query."""
    data = DATASETS.build(episodes_config(shots=2))
    return pseudo_collate([data[index] for index in range(3)])


def prepared(model: Any, batch: dict[str, Any]) -> dict[str, Any]:
    return model.eval().data_preprocessor(batch, False)


def clone(samples: list[EpisodeDataSample]) -> list[EpisodeDataSample]:
    return [sample.clone() for sample in samples]


def test_features_are_those_of_each_frame_by_itself(model_config: Configure, batch: dict[str, Any]) -> None:
    model = MODELS.build(model_config())
    data = prepared(model, batch)
    query, support = model(**data, mode="tensor")
    assert query.shape == (3, 3, 4, 16)
    assert support.shape == (3, 6, 4, 16)
    torch.testing.assert_close(support[1, 4, 2], model.backbone(data["inputs"][1, 4, 2][None])[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(query[2, 0, 3], model.backbone(data["inputs"][2, 6, 3][None])[0], rtol=0, atol=1e-5)


def test_separate_encoding_is_the_same_where_no_batch_norm_trains(
    model_config: Configure, batch: dict[str, Any]
) -> None:
    model = MODELS.build(model_config())
    data = prepared(model, batch)
    joint = model(**data, mode="tensor")
    model.encode = "separate"
    for found, expected in zip(model(**data, mode="tensor"), joint, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_batch_norms_are_updated_once_jointly_and_twice_separately(
    model_config: Configure, episodes_config: Configure
) -> None:
    resnet = dict(
        embed_dim=16, quick_gelu=False,
        vision_cfg=dict(image_size=32, patch_size=None, width=4, layers=[1, 1, 1, 1]),
        text_cfg=dict(context_length=16, vocab_size=100, width=16, heads=2, layers=1),
    )  # fmt: skip
    config = episodes_config()
    config["dataset"]["size"] = 32
    batch = pseudo_collate([DATASETS.build(config)[0]])
    for encode, updates in (("joint", 1), ("separate", 2)):
        model = MODELS.build(model_config(backbone=dict(type="CLIPImageTower", model=resnet), encode=encode)).train()
        model(**model.data_preprocessor(batch, True), mode="loss")
        assert int(model.backbone.visual.bn1.num_batches_tracked) == updates


def test_episodes_of_a_batch_do_not_see_each_other(model_config: Configure, batch: dict[str, Any]) -> None:
    model = MODELS.build(model_config())
    data = prepared(model, batch)
    together = model(data["inputs"], clone(data["data_samples"]), mode="predict")
    for index, expected in enumerate(together):
        alone = model(data["inputs"][index : index + 1], clone(data["data_samples"][index : index + 1]), mode="predict")
        torch.testing.assert_close(alone[0].pred_score, expected.pred_score, rtol=0, atol=1e-5)
    loss = model(data["inputs"], data["data_samples"], mode="loss")["loss_few_shot"]
    each = [
        model(data["inputs"][i : i + 1], data["data_samples"][i : i + 1], mode="loss")["loss_few_shot"]
        for i in range(3)
    ]
    torch.testing.assert_close(loss, torch.stack(each).mean())


def test_order_of_supports_changes_nothing(model_config: Configure, batch: dict[str, Any]) -> None:
    model = MODELS.build(model_config())
    data = prepared(model, batch)
    samples = clone(data["data_samples"])
    expected = [sample.pred_score for sample in model(data["inputs"], samples, mode="predict")]
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    moved = torch.cat([data["inputs"][:, :6][:, order], data["inputs"][:, 6:]], dim=1)
    shuffled = clone(data["data_samples"])
    for sample in shuffled:
        sample.support_label = sample.support_label[order]
    for found, wanted in zip(model(moved, shuffled, mode="predict"), expected, strict=True):
        torch.testing.assert_close(found.pred_score, wanted, rtol=0, atol=1e-5)


def test_supports_get_the_text_of_their_class_and_queries_none(
    model_config: Configure, text_config: dict[str, Any], batch: dict[str, Any]
) -> None:
    model = MODELS.build(model_config(backbone=dict(type="SeesTexts"), text=text_config))
    data = prepared(model, batch)
    _, support = model(**data, mode="tensor")
    with_text, without = model.backbone.calls
    assert without is None
    names = batch["data_samples"][0].classes
    bank: ClassTextBank = MODELS.build(text_config)
    bank.tower = model.text.tower
    texts = bank.embeddings(names=names)
    classes = torch.cat([sample.support_class for sample in batch["data_samples"]])
    torch.testing.assert_close(with_text, texts[classes])
    plain = data["inputs"][0, 1].mean(dim=(1, 2, 3))[:, None]
    torch.testing.assert_close(support[0, 1], plain + texts[batch["data_samples"][0].support_class[1]])


def test_texts_are_of_the_split_that_is_shown_computed_once_and_not_saved(
    model_config: Configure, text_config: dict[str, Any], episodes_config: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = MODELS.build(model_config(cls_head=dict(type="NotesText"), text=text_config))
    computed: list[int] = []
    embeddings = ClassTextBank.embeddings
    monkeypatch.setattr(
        ClassTextBank, "embeddings", lambda bank, names: computed.append(len(names)) or embeddings(bank, names=names)
    )
    for split, classes in (("train", 36), ("test", 14), ("train", 36)):
        batch = pseudo_collate([DATASETS.build(episodes_config(split))[0]])
        model(**prepared(model, batch), mode="predict")
        assert model.cls_head.class_text.shape == (classes, 16)
    assert computed == [36, 14]
    assert all(name.startswith("backbone.") for name in model.state_dict())


def test_a_neck_stands_between_tower_and_head(model_config: Configure, batch: dict[str, Any]) -> None:
    @MODELS.register_module(force=True)
    class Doubles(nn.Module):
        def forward(self, query: Tensor, support: Tensor, data_samples: list) -> tuple[Tensor, Tensor]:
            return query * 0, support * 0

    model = MODELS.build(model_config(neck=dict(type="Doubles")))
    found = model(**prepared(model, batch), mode="predict")
    torch.testing.assert_close(found[0].pred_score, torch.full((3, 3), 1 / 3))


def test_bad_input_is_refused(
    model_config: Configure, text_config: dict[str, Any], batch: dict[str, Any], episodes_config: Configure
) -> None:
    with pytest.raises(ValueError, match="encode must be 'joint' or 'separate', got 'both'"):
        MODELS.build(model_config(encode="both"))
    with pytest.raises(ValueError, match="SeesTexts needs class texts: give the model text="):
        MODELS.build(model_config(backbone=dict(type="SeesTexts")))
    model = MODELS.build(model_config())
    data = prepared(model, batch)
    with pytest.raises(ValueError, match="unknown mode 'train'; known: tensor, loss, predict"):
        model(**data, mode="train")
    with pytest.raises(ValueError, match="needs data_samples"):
        model(data["inputs"])
    nameless = clone(data["data_samples"])
    for sample in nameless:
        sample.set_metainfo(dict(classes=None))
    with_text = MODELS.build(model_config(cls_head=dict(type="NotesText"), text=text_config))
    with pytest.raises(ValueError, match="class texts are needed: the model lacks classes_file in its data set"):
        with_text(data["inputs"], nameless, mode="predict")


def test_texts_of_another_width_than_the_features_are_refused(
    model_config: Configure, text_config: dict[str, Any], batch: dict[str, Any]
) -> None:
    wide = dict(model_config()["backbone"]["model"], embed_dim=24)
    backbone = dict(type="CLIPImageTower", model=wide)
    model = MODELS.build(model_config(backbone=backbone, cls_head=dict(type="NotesText"), text=text_config))
    message = "class texts have 16 channels, but NotesText gets features of 24: model.text.tower and model.backbone"
    with pytest.raises(ValueError, match=message):
        model(**prepared(model, batch), mode="predict")


def test_an_unknown_matcher_is_named_when_the_config_is_built(model_config: Configure) -> None:
    with pytest.raises(KeyError, match="OTAMMatch is not in the"):
        MODELS.build(model_config(cls_head=dict(type="FewShotHead", matcher=dict(type="OTAMMatch"))))
