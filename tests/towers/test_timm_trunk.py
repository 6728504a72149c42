"""SigLIP towers and other timm trunks: parity with open_clip, patch tokens, image sizes, gradient checkpointing."""

import json
from pathlib import Path

import open_clip
import pytest
import torch
from open_clip.model import CustomTextCLIP
from torch import Tensor, nn

from clipplus.towers import CLIPImageTower, CLIPTextTower

TEXT = dict(context_length=16, vocab_size=60, width=96, heads=2, layers=2, no_causal_mask=True, proj_bias=True,
            pool_type="last", norm_kwargs=dict(eps=1e-6))  # fmt: skip
SIGLIP = dict(embed_dim=96, quick_gelu=False, custom_text=True, init_logit_bias=-10, text_cfg=TEXT,
              vision_cfg=dict(image_size=64, timm_model_name="test_vit3", timm_model_pretrained=False, timm_pool="map",
                              timm_proj="none"))  # fmt: skip
STAGES = ("hidden", "normed", "projected")


def with_vision(embed_dim: int, **vision: object) -> dict:
    """A config with another image tower."""
    return dict(embed_dim=embed_dim, quick_gelu=False, custom_text=True, text_cfg=TEXT, vision_cfg=vision)


def vit(embed_dim: int, name: str, pool: str, **vision: object) -> dict:
    return with_vision(embed_dim, **{"image_size": 64, "timm_proj": "none", **vision, "timm_model_name": name,
                                     "timm_pool": pool})  # fmt: skip


TRUNKS = {
    "siglip": SIGLIP,
    "class token and attention pool": vit(64, "test_vit", "map"),
    "average before the norm": vit(64, "test_vit2", "avg"),
    "linear projection": vit(16, "test_vit", "token", timm_proj="linear"),
    "eva": vit(192, "eva02_tiny_patch14_224", "token", image_size=28),
    "not square": vit(64, "test_vit", "map", image_size=(64, 96)),
}


def images(config: dict) -> Tensor:
    size = config["vision_cfg"]["image_size"]
    height, width = (size, size) if isinstance(size, int) else size
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def theirs(tmp_path: Path) -> tuple[CustomTextCLIP, str]:
    """open_clip's own SigLIP of the config, made by `create_model`, and its weights in a file."""
    folder = tmp_path / "siglip"
    folder.mkdir()
    settings = {key: value for key, value in SIGLIP.items() if key != "quick_gelu"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": settings, "preprocess_cfg": {}}))
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", force_image_size=64, load_weights=False).eval()
    for parameter in model.parameters():
        # Zero biases and layer scales of 1e-5 would hide what is wrong.
        nn.init.normal_(parameter, std=0.1)
    torch.save(model.state_dict(), tmp_path / "siglip.pth")
    return model, str(tmp_path / "siglip.pth")


def test_siglip_features_equal_open_clips(theirs: tuple[CustomTextCLIP, str]) -> None:
    model, path = theirs
    image_tower = CLIPImageTower(SIGLIP, pretrained=path).eval()
    text_tower = CLIPTextTower(SIGLIP, pretrained=path, pad_id=1).eval()
    pixels = images(SIGLIP)
    rows = torch.randint(2, 60, (3, 16), generator=torch.Generator().manual_seed(2))
    rows[:, 5:] = 1
    torch.testing.assert_close(image_tower(pixels), model.encode_image(pixels), rtol=0, atol=1e-6)
    torch.testing.assert_close(text_tower(rows), model.encode_text(rows), rtol=0, atol=1e-6)
    torch.testing.assert_close(text_tower(rows[:, :8]), model.encode_text(rows), rtol=0, atol=1e-6)


def test_scalars_of_siglip_weights_are_kept(theirs: tuple[CustomTextCLIP, str]) -> None:
    model, path = theirs
    scalars = CLIPImageTower(SIGLIP, pretrained=path).pretrained_scalars
    assert scalars == {"logit_scale": model.logit_scale.item(), "logit_bias": model.logit_bias.item()}


def test_keys_and_shapes_of_the_real_siglip_are_open_clips() -> None:
    config = open_clip.get_model_config("ViT-B-16-SigLIP")
    del config["custom_text"]
    with torch.device("meta"):
        expected = {key: value.shape for key, value in CustomTextCLIP(**config).state_dict().items()}
        towers = (CLIPImageTower("ViT-B-16-SigLIP"), CLIPTextTower("ViT-B-16-SigLIP"))
    own = {key: value.shape for tower in towers for key, value in tower.state_dict().items()}
    assert len(expected) == 314
    assert own == {key: shape for key, shape in expected.items() if key not in ("logit_scale", "logit_bias")}


def test_positions_of_siglip_weights_are_interpolated_as_open_clip_does(theirs: tuple[CustomTextCLIP, str]) -> None:
    model, path = theirs
    tower = CLIPImageTower(SIGLIP, pretrained=path, image_size=96).eval()
    model.visual.set_input_size(96)
    pixels = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(tower(pixels), model.encode_image(pixels), rtol=0, atol=1e-6)
    assert tower.tokens(pixels).grid == (6, 6)


@pytest.mark.parametrize("name", TRUNKS)
def test_pooled_feature_beside_patches_is_the_forwards(name: str) -> None:
    config = TRUNKS[name]
    tower, pixels = CLIPImageTower(config).eval(), images(config)
    patch = 14 if name == "eva" else 16
    for stage in STAGES:
        tokens = tower.tokens(pixels, stage)
        torch.testing.assert_close(tokens.pooled, tower(pixels), rtol=0, atol=1e-6)
        assert tokens.grid == (pixels.shape[2] // patch, pixels.shape[3] // patch)
        assert tokens.patches.shape[1] == tokens.grid[0] * tokens.grid[1]


def test_patches_are_the_last_blocks_output_and_its_norm() -> None:
    tower, pixels = CLIPImageTower(SIGLIP).eval(), images(SIGLIP)
    trunk, seen = tower.visual.trunk, []
    nn.init.normal_(trunk.norm.weight)
    handle = trunk.blocks[-1].register_forward_hook(lambda module, inputs, output: seen.append(output))
    hidden, normed, projected = (tower.tokens(pixels, stage).patches for stage in STAGES)
    handle.remove()
    torch.testing.assert_close(hidden, seen[0][:, 1:], rtol=0, atol=0)  # one register token comes first
    torch.testing.assert_close(normed, trunk.norm(seen[0])[:, 1:], rtol=0, atol=0)
    torch.testing.assert_close(projected, normed, rtol=0, atol=0)


def test_average_pooled_trunks_norm_their_patches_as_their_average() -> None:
    config = TRUNKS["average before the norm"]
    tower, pixels = CLIPImageTower(config).eval(), images(config)
    nn.init.normal_(tower.visual.trunk.fc_norm.weight)
    hidden, normed = (tower.tokens(pixels, stage).patches for stage in STAGES[:2])
    torch.testing.assert_close(normed, tower.visual.trunk.fc_norm(hidden), rtol=0, atol=1e-6)
    torch.testing.assert_close(tower.visual.trunk.fc_norm(hidden.mean(dim=1)), tower(pixels), rtol=0, atol=1e-5)


def test_patches_lie_row_by_row() -> None:
    """What changes most when one patch of the image is repainted is that patch's token."""
    config = TRUNKS["not square"]
    tower, pixels = CLIPImageTower(config).eval(), images(config)
    painted = pixels.clone()
    painted[:, :, 32:48, 64:80] = 3.0  # row 2, column 4 of 4 x 6
    change = (tower.tokens(painted).patches - tower.tokens(pixels).patches).norm(dim=-1)
    assert change.argmax(dim=1).tolist() == [2 * 6 + 4] * 2


def test_left_out_patches_are_refused_in_training_only() -> None:
    tower = CLIPImageTower(vit(64, "test_vit", "map", patch_dropout=0.5))
    pixels = images(SIGLIP)
    with pytest.raises(ValueError, match=r"left out patches, so the rest has no grid: set vision_cfg\.patch_dropout=0"):
        tower.train().tokens(pixels)
    assert tower.eval().tokens(pixels).grid == (4, 4)


def test_trunk_without_blocks_gives_no_patch_tokens() -> None:
    tower = CLIPImageTower(vit(16, "test_resnet", "avg", timm_proj="linear")).eval()
    with pytest.raises(ValueError, match=r"tower 'custom' \(ResNet of timm\) gives no patch tokens: only ViT towers"):
        tower.tokens(images(SIGLIP))
    assert tower(images(SIGLIP)).shape == (2, 16)


def test_unknown_trunk_names_the_nearest_known_one() -> None:
    with pytest.raises(ValueError, match=r"no model timm_model_name='vit_base_patch16_siglip'; did you mean 'vit_"):
        CLIPImageTower(vit(64, "vit_base_patch16_siglip", "map"))


def test_trunk_of_another_width_than_the_joint_space_is_refused() -> None:
    with pytest.raises(ValueError, match=r"features of 'test_vit' 64 wide, but embed_dim is 16: set embed_dim=64, or"):
        CLIPImageTower(vit(16, "test_vit", "map"))


def test_pooling_that_the_trunk_cannot_have_is_refused_with_its_options() -> None:
    with pytest.raises(ValueError, match=r"cannot be built with .*'timm_pool': 'map'.*Cannot currently add attention"):
        CLIPImageTower(vit(16, "test_vit", "map", timm_proj="linear"))


def block_of(tower: nn.Module) -> nn.Module:
    """The first residual block."""
    return tower.visual.trunk.blocks[0] if isinstance(tower, CLIPImageTower) else tower.text.transformer.resblocks[0]


@pytest.mark.parametrize("kind", [CLIPImageTower, CLIPTextTower])
def test_gradient_checkpointing_recomputes_blocks_and_changes_no_gradient(kind: type) -> None:
    torch.manual_seed(0)
    plain = kind(SIGLIP)
    checkpointed = kind(SIGLIP, grad_checkpointing=True)
    checkpointed.load_state_dict(plain.state_dict())
    batch = images(SIGLIP) if kind is CLIPImageTower else torch.randint(2, 60, (3, 16))
    calls = []
    for tower in (plain, checkpointed):
        block_of(tower).register_forward_pre_hook(lambda module, inputs: calls.append(module))
        tower.train()(batch).square().sum().backward()
    assert calls.count(block_of(plain)) == 1
    assert calls.count(block_of(checkpointed)) == 2
    for one, other in zip(plain.parameters(), checkpointed.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_trunk_that_cannot_checkpoint_is_refused() -> None:
    with pytest.raises(ValueError, match=r"tower 'custom' \(\w+ of timm\) cannot checkpoint its gradients"):
        CLIPImageTower(vit(16, "dla46x_c", "avg", timm_proj="linear"), grad_checkpointing=True)
