"""The classifier that configs name: batches of images and of features, precision, what it refuses."""

from typing import Any

import pytest
import torch
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

import clipplus.methods.ape

CLASSES, SIDE = 3, 16
WIDTHS = (8, 12)


@pytest.fixture(autouse=True, scope="module")
def _scope() -> None:
    assert clipplus.methods.ape  # registers the parts
    init_default_scope("mmpretrain")


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tower(kind: str, width: int = WIDTHS[0], **options: Any) -> dict[str, Any]:
    model = dict(
        embed_dim=width, quick_gelu=False,
        vision_cfg=dict(image_size=SIDE, patch_size=8, width=16, layers=1, head_width=8),
        text_cfg=dict(context_length=77, vocab_size=49408, width=8, heads=1, layers=1),
    )  # fmt: skip
    return dict(type=kind, model=model, frozen=True, **options)


def classifier(image_tower: dict | None = None, head: str = "TipAdapterHead", **options: Any):
    torch.manual_seed(0)
    own = dict(type=head, alpha=2.0, beta=1.5) | (dict(num_channels=0.5) if head == "APETHead" else {})
    return MODELS.build(dict(type="FewShotClassifier", head=own, image_tower=image_tower, **options))


def fitted(dtype: torch.dtype = torch.float32, **options: Any):
    model = classifier(**options)
    keys = normalize(draw(2, 2 * CLASSES, WIDTHS[0]), dim=1).to(dtype)
    model.head.fit(normalize(draw(1, CLASSES, WIDTHS[0]), dim=1).to(dtype), keys, torch.arange(CLASSES).repeat(2))
    return model


def samples(*labels: int) -> list[DataSample]:
    return [DataSample().set_gt_label(label) for label in labels]


def test_images_are_classified_by_what_the_tower_says_of_them() -> None:
    model = fitted(image_tower=tower("CLIPImageTower"))
    images = draw(3, 5, 3, SIDE, SIDE)
    expected = model.head(normalize(model.image_tower(images), dim=1))
    torch.testing.assert_close(model(images), expected)
    torch.testing.assert_close(model(model.image_tower(images)), expected)


def test_features_of_any_length_count_by_their_direction() -> None:
    model, features = fitted(), draw(3, 5, WIDTHS[0])
    torch.testing.assert_close(model(features * 7), model(normalize(features, dim=1)))


def test_predictions_hold_what_metrics_read() -> None:
    model, features = fitted(), draw(3, 2, WIDTHS[0])
    logits = model(features)
    for found, row, feature in zip(model(features, samples(0, 2), mode="predict"), logits, features, strict=True):
        assert torch.equal(found.logits, row)
        assert int(found.pred_label) == int(row.argmax())
        torch.testing.assert_close(found.pred_score, row.double().softmax(0))
        torch.testing.assert_close(found.image_embedding, normalize(feature, dim=0))
        assert "gt_label" in found


def test_scores_of_logits_that_lie_far_apart_are_not_zero() -> None:
    """In float32, ranks behind the first would be lost."""
    model = fitted()
    model.head.choose(alpha=200.0, beta=0.0)
    model.head.text_weight *= 4
    found = model(normalize(model.head.text_weight[:1], dim=1), mode="predict")[0]
    assert float(found.logits.max() - found.logits.min()) > 110
    assert (found.pred_score > 0).all()
    assert found.pred_score.argsort().tolist() == found.logits.argsort().tolist()


def test_the_loss_is_cross_entropy() -> None:
    model, features = fitted(), draw(3, 4, WIDTHS[0])
    expected = cross_entropy(model(features), torch.tensor([2, 0, 1, 1]))
    torch.testing.assert_close(model(features, samples(2, 0, 1, 1), mode="loss")["loss_class"], expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_features_in_half_precision_are_computed_with_in_float32(dtype: torch.dtype) -> None:
    model, features = fitted(), draw(3, 5, WIDTHS[0]).to(dtype)
    logits = model(features)
    assert logits.dtype == torch.float32
    assert torch.equal(logits, model(features.float()))


@pytest.mark.parametrize("head", ["TipAdapterHead", "APETHead"])
def test_mixed_precision_ends_with_the_tower(head: str) -> None:
    model, features = fitted(head=head), draw(3, 5, WIDTHS[0])
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(features)
        loss = model(features, samples(0, 1, 2, 0, 1), mode="loss")["loss_class"]
    assert torch.equal(logits, model(features))
    assert torch.equal(loss, model(features, samples(0, 1, 2, 0, 1), mode="loss")["loss_class"])


def test_double_precision_is_kept() -> None:
    assert fitted(torch.float64)(draw(3, 5, WIDTHS[0]).double()).dtype == torch.float64


def test_the_scale_of_the_towers_is_known_to_the_head(tmp_path) -> None:
    start = classifier(tower("CLIPImageTower")).image_tower.state_dict()
    torch.save({**{f"image_tower.{k}": v for k, v in start.items()}, "logit_scale": torch.tensor(3.0)}, tmp_path / "c")
    model = classifier(tower("CLIPImageTower", pretrained=str(tmp_path / "c")))
    assert model.head.model_scale == pytest.approx(torch.tensor(3.0).exp().item())


def test_towers_of_two_clips_are_refused() -> None:
    model = classifier(
        tower("CLIPImageTower"), text_bank=dict(type="ClassTextBank", tower=tower("CLIPTextTower", WIDTHS[1]))
    )
    with pytest.raises(ValueError, match=r"joint widths differ: image 8, text 12; .* must be of one CLIP"):
        model.build_text_bank()


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match=r"set image_tower\.frozen=True"):
        classifier({**tower("CLIPImageTower"), "frozen": False})
    model = fitted()
    with pytest.raises(ValueError, match=r"the inputs are images, but model\.image_tower is None"):
        model(draw(0, 1, 3, SIDE, SIDE))
    with pytest.raises(ValueError, match="training needs gt_label in every sample"):
        model(draw(0, 1, WIDTHS[0]), [DataSample()], mode="loss")
    with pytest.raises(ValueError, match="training needs gt_label"):
        model(draw(0, 1, WIDTHS[0]), mode="loss")
    with pytest.raises(ValueError, match="unknown mode 'train'; known: tensor, loss, predict"):
        model(draw(0, 1, WIDTHS[0]), mode="train")
    with pytest.raises(ValueError, match=r"a fit needs model\.text_bank"):
        model.build_text_bank()


def test_the_preprocessor_takes_pixels_and_features() -> None:
    preprocessor = classifier().data_preprocessor
    images = [torch.full((3, 4, 4), 255, dtype=torch.uint8)] * 2
    found = preprocessor(dict(inputs=images, data_samples=samples(0, 1)))["inputs"]
    # BGR became RGB, on the scale of CLIP's statistics.
    assert found[0, :, 0, 0].tolist() == pytest.approx([1.930336, 2.074885, 2.145897], abs=1e-4)
    rows = [draw(0, 8), draw(1, 8)]
    assert torch.equal(preprocessor(dict(inputs=rows))["inputs"], torch.stack(rows))
    assert preprocessor.identity["to_rgb"] is True
