"""Towers against open_clip: features, gradients, patches, trimming, weights and their mismatches."""

from pathlib import Path

import open_clip
import pytest
import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from torch import nn

from clipplus.losses import softmax_contrast
from clipplus.towers import CLIPImageTower, CLIPTextTower, load_pretrained, resolve_model

TEXT = dict(context_length=24, vocab_size=49408, width=32, heads=2, layers=2)
VIT = dict(embed_dim=16, quick_gelu=False, text_cfg=TEXT,
           vision_cfg=dict(image_size=32, patch_size=8, width=32, layers=2, head_width=16))  # fmt: skip
RESNET = dict(embed_dim=16, quick_gelu=False, text_cfg=TEXT,
              vision_cfg=dict(image_size=64, patch_size=None, width=8, layers=[1, 1, 1, 1]))  # fmt: skip
MODELS = {"vit": VIT, "resnet": RESNET}
TOKENS = open_clip.tokenize(["a dog", "a red cat on a mat", "a dog"], context_length=24)


def reference(config: dict, tmp_path: Path) -> tuple[CLIP, str]:
    """open_clip's own CLIP of this config in eval mode, and its weights in a file."""
    torch.manual_seed(0)
    model = CLIP(**config).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            # Their initial zeros would hide the residual branches.
            nn.init.uniform_(module.weight, 0.5, 1.5)
    torch.save(model.state_dict(), tmp_path / "clip.pth")
    return model, str(tmp_path / "clip.pth")


def images(config: dict) -> torch.Tensor:
    side = config["vision_cfg"]["image_size"]
    return torch.randn(3, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", MODELS)
def test_features_and_gradients_equal_open_clip(kind: str, tmp_path: Path) -> None:
    config = MODELS[kind]
    model, path = reference(config, tmp_path)
    image_tower = CLIPImageTower(config, pretrained=path).eval()
    text_tower = CLIPTextTower(config, pretrained=path).eval()
    pixels = images(config)
    theirs = (model.encode_image(pixels), model.encode_text(TOKENS))
    ours = (image_tower(pixels), text_tower(TOKENS))
    for own, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own, other, rtol=0, atol=1e-6)
    for image, text in (theirs, ours):
        softmax_contrast(F.normalize(image, dim=-1), F.normalize(text, dim=-1), torch.tensor(1.0)).backward()
    gradients = {name: p.grad for tower in (image_tower, text_tower) for name, p in tower.named_parameters()}
    for name, parameter in model.named_parameters():
        if name != "logit_scale":
            torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", MODELS)
def test_keys_are_open_clips(kind: str) -> None:
    config = MODELS[kind]
    own = {**CLIPImageTower(config).state_dict(), **CLIPTextTower(config).state_dict()}
    assert own.keys() == CLIP(**config).state_dict().keys() - {"logit_scale"}


@pytest.mark.parametrize("name", ["ViT-B-32", "RN50", "ViT-B-16-SigLIP"])
def test_named_towers_have_open_clips_keys(name: str) -> None:
    with torch.device("meta"):
        own = {*CLIPImageTower(name).state_dict(), *CLIPTextTower(name).state_dict()}
    expected = {"ViT-B-32": 302 - 1, "RN50": 489 - 1, "ViT-B-16-SigLIP": 314 - 2}
    assert len(own) == expected[name]


@pytest.mark.parametrize("unique_rows", [False, True])
def test_trimmed_rows_and_unique_rows_give_the_same_features_and_gradients(unique_rows: bool) -> None:
    tower = CLIPTextTower(VIT, unique_rows=unique_rows).double()
    full = tower._encode(TOKENS)
    full.square().sum().backward()
    expected = {name: p.grad.clone() for name, p in tower.named_parameters()}
    tower.zero_grad()
    short = tower(TOKENS)
    short.square().sum().backward()
    assert tower.trim(TOKENS).shape[1] < TOKENS.shape[1]
    torch.testing.assert_close(short, full, rtol=1e-12, atol=1e-12)
    for name, parameter in tower.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-9, atol=1e-12)


def test_a_tower_that_is_not_causal_is_padded_back_to_its_context() -> None:
    config = dict(VIT, custom_text=True, text_cfg=dict(TEXT, no_causal_mask=True, pool_type="last", pad_id=1))
    tower = CLIPTextTower(config, unique_rows=True).eval()
    padded = torch.ones(2, 24, dtype=torch.int64)
    padded[:, :3] = torch.tensor([[5, 6, 7], [8, 9, 10]])
    torch.testing.assert_close(tower(padded[:, :8]), tower.text(padded), rtol=0, atol=0)
    assert not tower.trims


@pytest.mark.parametrize("kind", MODELS)
def test_pooled_feature_beside_patches_is_the_forwards(kind: str) -> None:
    tower = CLIPImageTower(MODELS[kind]).eval()
    pixels = images(MODELS[kind])
    for stage in ("hidden", "normed", "projected"):
        tokens = tower.tokens(pixels, stage)
        torch.testing.assert_close(tokens.pooled, tower(pixels), rtol=0, atol=1e-6)
        assert tokens.patches.shape[1] == tokens.grid[0] * tokens.grid[1]
    assert tokens.patches.shape[2] == 16


def test_vit_patches_are_open_clips_token_output() -> None:
    config = dict(VIT, vision_cfg=dict(VIT["vision_cfg"], output_tokens=True))
    tower = CLIPImageTower(config).eval()
    pixels = images(VIT)
    _, normed = tower.visual(pixels)
    torch.testing.assert_close(tower.tokens(pixels, "normed").patches, normed, rtol=0, atol=1e-6)
    torch.testing.assert_close(tower.tokens(pixels, "projected").patches, normed @ tower.visual.proj, rtol=0, atol=1e-6)


def test_resnet_patches_are_the_attention_pool_with_all_weight_on_one_position() -> None:
    """Attending to a single position returns exactly its projected value."""
    tower = CLIPImageTower(RESNET).eval()
    pixels = images(RESNET)
    patches = tower.tokens(pixels, "projected").patches
    pool = tower.visual.attnpool
    hidden = tower.tokens(pixels).patches
    value = hidden[:, 2] @ pool.v_proj.weight.T + pool.v_proj.bias
    torch.testing.assert_close(patches[:, 2], value @ pool.c_proj.weight.T + pool.c_proj.bias, rtol=1e-5, atol=1e-5)


def test_frozen_tower_has_no_gradients_and_stays_in_eval_mode() -> None:
    tower = CLIPImageTower(RESNET, frozen=True).train()
    assert not any(p.requires_grad for p in tower.parameters())
    assert not any(module.training for module in tower.modules())


def test_frozen_batch_norm_keeps_its_statistics_while_the_rest_trains() -> None:
    tower = CLIPImageTower(RESNET, bn_mode="frozen").train()
    before = tower.visual.bn1.running_mean.clone()
    tower(images(RESNET))
    torch.testing.assert_close(tower.visual.bn1.running_mean, before, rtol=0, atol=0)
    assert tower.visual.layer1.training
    assert all(p.requires_grad for p in tower.parameters())


def test_gradient_checkpointing_changes_no_gradient() -> None:
    torch.manual_seed(0)
    plain = CLIPImageTower(VIT)
    checkpointed = CLIPImageTower(VIT, grad_checkpointing=True)
    checkpointed.load_state_dict(plain.state_dict())
    for tower in (plain, checkpointed):
        tower.train()(images(VIT)).square().sum().backward()
    for one, other in zip(plain.parameters(), checkpointed.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_larger_images_interpolate_the_positions_of_the_weights(tmp_path: Path) -> None:
    model, path = reference(VIT, tmp_path)
    tower = CLIPImageTower(VIT, pretrained=path, image_size=64)
    assert tower.visual.positional_embedding.shape == (65, 32)
    torch.testing.assert_close(tower.visual.positional_embedding[0], model.visual.positional_embedding[0])


@pytest.mark.parametrize(("size", "grid"), [(32, 1), (128, 4)])
def test_a_resnets_pool_interpolates_its_positions_too(tmp_path: Path, size: int, grid: int) -> None:
    _, path = reference(RESNET, tmp_path)
    start, tower = CLIPImageTower(RESNET, pretrained=path), CLIPImageTower(RESNET, pretrained=path, image_size=size)
    old, new = (each.visual.attnpool.positional_embedding for each in (start, tower))
    assert len(new) == grid**2 + 1
    assert torch.equal(new[0], old[0])
    torch.testing.assert_close(new[1:].mean(dim=0), old[1:].mean(dim=0), atol=1e-5, rtol=0)
    assert torch.equal(tower.visual.conv1.weight, start.visual.conv1.weight)
    assert tower(torch.rand(2, 3, size, size)).shape == (2, tower.embed_dim)


def test_unknown_tower_names_the_nearest_known_one() -> None:
    with pytest.raises(ValueError, match=r"unknown tower 'ViT-B32'; did you mean 'ViT-B-32'"):
        resolve_model("ViT-B32")


def test_dict_with_unknown_and_missing_keys_is_refused() -> None:
    with pytest.raises(ValueError, match=r"missing keys \['text_cfg'\], unknown keys \['visoin'\]"):
        resolve_model(dict(embed_dim=4, vision_cfg={}, visoin={}))


def test_unknown_tag_lists_the_towers_tags() -> None:
    with pytest.raises(
        FileNotFoundError, match=r"no file and no weight tag of tower 'RN50' \(its tags: openai, yfcc15m"
    ):
        CLIPImageTower("RN50", pretrained="opneai")


def test_wrong_weights_are_listed_in_one_error(tmp_path: Path) -> None:
    _, path = reference(VIT, tmp_path)
    other = dict(VIT, vision_cfg=dict(VIT["vision_cfg"], width=48, layers=3))
    with pytest.raises(ValueError, match=r"clip.pth does not fit image tower 'custom': 12 missing .* other shapes \("):
        CLIPImageTower(other, pretrained=path)


def test_tag_that_cannot_be_downloaded_says_what_to_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(tag: dict) -> str:
        raise RuntimeError("no network")

    monkeypatch.setattr(open_clip, "download_pretrained", unreachable)
    with pytest.raises(
        FileNotFoundError,
        match=r"'openai' of tower 'ViT-B-32-quickgelu'.*no network.*fetch the file timm/vit_base_patch32",
    ):
        load_pretrained(resolve_model("ViT-B-32-quickgelu"), "openai")


def test_tag_with_the_other_activation_is_refused_before_any_download() -> None:
    message = r"'ViT-B-32' uses GELU but 'openai' was trained with QuickGELU; use 'ViT-B-32-quickgelu'"
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        CLIPImageTower("ViT-B-32", pretrained="openai")


def test_weights_of_unknown_origin_need_a_stated_activation(tmp_path: Path) -> None:
    config = {key: value for key, value in VIT.items() if key != "quick_gelu"}
    _, path = reference(VIT, tmp_path)
    with pytest.raises(
        ValueError, match=r"does not say with which activation it was trained: state quick_gelu=True or"
    ):
        CLIPImageTower(config, pretrained=path)
    CLIPImageTower(config, pretrained=path, quick_gelu=False)


def test_token_ids_out_of_range_are_refused() -> None:
    tower = CLIPTextTower(dict(VIT, text_cfg=dict(TEXT, vocab_size=100)))
    with pytest.raises(
        ValueError, match=r"token ids reach from 0 to 49407, the vocabulary of text tower 'custom' has 100"
    ):
        tower(TOKENS)


def test_rows_longer_than_the_context_are_refused() -> None:
    with pytest.raises(ValueError, match="token rows have 30 columns, the text tower's context is 24"):
        CLIPTextTower(VIT)(torch.zeros(1, 30, dtype=torch.int64))


def test_short_rows_for_a_tower_that_sees_padding_need_its_pad_id() -> None:
    text_cfg = dict(TEXT, no_causal_mask=True, pool_type="last")
    tower = CLIPTextTower(dict(VIT, custom_text=True, text_cfg=text_cfg))
    with pytest.raises(ValueError, match=r"looks at its padding, and token rows have 8 of its 24 columns"):
        tower(torch.ones(1, 8, dtype=torch.int64))


def test_frozen_parts_are_in_eval_mode_from_the_start() -> None:
    assert not CLIPImageTower(VIT, frozen=True).training
    assert not CLIPImageTower(RESNET, bn_mode="frozen").visual.bn1.training
    assert not CLIPTextTower(VIT, frozen=True).training
