"""The plain CLIP: modes, keys, errors; and its preprocessor."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import MODELS
from mmengine.structures import BaseDataElement
from open_clip.model import CLIP

import clipplus.clip  # noqa: F401 - registers the model
from clipplus.clip.preprocessor import CLIP_MEAN, CLIP_STD
from clipplus.losses import non_finite_rows

TOWER = dict(
    embed_dim=16,
    quick_gelu=False,
    vision_cfg=dict(image_size=32, patch_size=8, width=32, layers=1, head_width=16),
    text_cfg=dict(context_length=16, vocab_size=50, width=32, heads=2, layers=1),
)


def build(**options: Any) -> Any:
    torch.manual_seed(0)
    config = dict(
        type="CLIPModel",
        image_tower=dict(type="CLIPImageTower", model=TOWER),
        text_tower=dict(type="CLIPTextTower", model=TOWER),
        loss=dict(type="SoftmaxContrastiveLoss"),
    )
    return MODELS.build(config | options)


def batch(images: int = 3, counts: tuple[int, ...] = (1, 1, 1)) -> dict[str, Any]:
    tokens = torch.randint(1, 40, (sum(counts), 8), generator=torch.Generator().manual_seed(0))
    tokens[:, -1] = 49
    drawn = torch.Generator().manual_seed(1)
    return dict(
        inputs=torch.randint(0, 256, (images, 3, 32, 32), dtype=torch.uint8, generator=drawn),
        tokens=tokens, counts=torch.tensor(counts), ids=torch.arange(images) + 100, keys=["a", "b", "c"][:images],
    )  # fmt: skip


def test_state_dict_without_first_components_is_an_open_clip_file() -> None:
    model = build()
    stripped = {
        key.removeprefix("image_tower.").removeprefix("text_tower."): v for key, v in model.state_dict().items()
    }
    reference = CLIP(**TOWER)
    reference.load_state_dict(stripped, strict=True)
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(model.eval().embed_images(images), reference.eval().encode_image(images, normalize=True))


def test_preprocessor_normalises_rgb_pixels() -> None:
    model = build()
    data = model.data_preprocessor(batch())
    pixel = batch()["inputs"][0, :, 4, 5].float()
    expected = (pixel - torch.tensor(CLIP_MEAN)) / torch.tensor(CLIP_STD)
    torch.testing.assert_close(data["inputs"][0, :, 4, 5], expected)
    assert data["keys"] == ["a", "b", "c"]


def test_loss_mode_is_the_contrast_of_the_embeddings() -> None:
    model = build()
    data = model.data_preprocessor(batch())
    terms = model(**data, mode="loss")
    expected = model.contrast(
        model.embed_images(data["inputs"]), model.embed_texts(data["tokens"]), model.logit_scale.exp()
    )
    torch.testing.assert_close(terms["loss_contrast"], expected)
    assert float(terms["scale"]) == pytest.approx(1 / 0.07, rel=1e-5)


def test_training_reaches_every_parameter() -> None:
    model = build()
    model(**model.data_preprocessor(batch()), mode="loss")["loss_contrast"].backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_predict_gives_each_image_its_own_ragged_captions() -> None:
    model = build().eval()
    data = model.data_preprocessor(batch(counts=(1, 3, 2)))
    samples = model(**data, mode="predict")
    assert [len(sample.text_embeddings) for sample in samples] == [1, 3, 2]
    assert [sample.sample_id for sample in samples] == [100, 101, 102]
    torch.testing.assert_close(samples[1].text_embeddings, model.embed_texts(data["tokens"])[1:4])


def test_predict_fills_the_hosts_own_samples() -> None:
    model = build().eval()
    own = [BaseDataElement(), BaseDataElement()]
    inputs = torch.randn(2, 3, 32, 32)
    filled = model(inputs, data_samples=own, mode="predict")
    assert filled is own
    torch.testing.assert_close(own[1].image_embedding, model.embed_images(inputs)[1])


def test_host_batches_need_a_host_preprocessor() -> None:
    with pytest.raises(ValueError, match=r"states no host: add host=dict\(type='mmpretrain.ClsDataPreprocessor'"):
        build().data_preprocessor(dict(inputs=[], data_samples=[]))


def test_several_captions_per_image_are_refused_in_training() -> None:
    model = build()
    with pytest.raises(
        ValueError, match=r"contrasts one caption per image, got 3 images and 6 captions: use SampleCaptions"
    ):
        model(**model.data_preprocessor(batch(counts=(1, 3, 2))), mode="loss")


def test_non_finite_loss_shows_the_sample_behind_it() -> None:
    model = build()
    data = model.data_preprocessor(batch())
    data["inputs"][1] = float("nan")
    assert not torch.isfinite(model(**data, mode="loss")["loss_contrast"])
    assert non_finite_rows(model.rows_behind_loss) == [1]


def test_batch_of_one_is_warned_about_once(capfd: pytest.CaptureFixture[str]) -> None:
    MMLogger.get_instance("batch_of_one", log_level="INFO")
    model = build()
    for _ in range(2):
        assert float(model(**model.data_preprocessor(batch(1, (1,))), mode="loss")["loss_contrast"]) == 0.0
    printed = "".join(capfd.readouterr())
    assert printed.count("the batch has one pair") == 1


def test_towers_of_different_widths_are_refused() -> None:
    with pytest.raises(ValueError, match="joint widths differ: image 16, text 8"):
        build(text_tower=dict(type="CLIPTextTower", model=dict(TOWER, embed_dim=8)))


def test_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown mode 'train'; known: tensor, loss, predict"):
        build()(torch.zeros(1, 3, 32, 32), mode="train")


def test_scale_of_pretrained_weights_is_taken_over(tmp_path: Path) -> None:
    reference = CLIP(**TOWER, init_logit_bias=-7.0)
    reference.logit_scale.data.fill_(math.log(100.0))
    torch.save(reference.state_dict(), tmp_path / "clip.pth")
    tower = dict(model=TOWER, pretrained=str(tmp_path / "clip.pth"))
    towers = dict(image_tower=dict(type="CLIPImageTower", **tower), text_tower=dict(type="CLIPTextTower", **tower))
    assert float(build(**towers).logit_scale) == pytest.approx(math.log(100.0))
    assert float(build(**towers, init_scale=20.0).logit_scale) == pytest.approx(math.log(20.0))


def test_towers_that_see_their_padding_get_the_tokenizers_pad_id() -> None:
    text_cfg = dict(TOWER["text_cfg"], no_causal_mask=True, pool_type="last", vocab_size=49408)
    model = build(text_tower=dict(type="CLIPTextTower", model=dict(TOWER, custom_text=True, text_cfg=text_cfg)))
    assert model.text_tower.pad_id == 0
    short = torch.tensor([[5, 6, 7]])
    padded = torch.nn.functional.pad(short, (0, 13), value=0)
    torch.testing.assert_close(model.text_tower(short), model.text_tower.text(padded))
