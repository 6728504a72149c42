"""`compile=True`: values, gradients and keys stay; what cannot be compiled is refused."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from clipplus.towers import CLIPImageTower, CLIPTextTower
from clipplus.towers.compiling import compile_blocks

TEXT = dict(context_length=24, vocab_size=60, width=32, heads=2, layers=2)
VIT = dict(embed_dim=16, quick_gelu=False, text_cfg=TEXT,
           vision_cfg=dict(image_size=32, patch_size=8, width=32, layers=2, head_width=16))  # fmt: skip
SIGLIP = dict(embed_dim=64, quick_gelu=False, custom_text=True,
              text_cfg=dict(TEXT, no_causal_mask=True, pool_type="last", pad_id=1),
              vision_cfg=dict(image_size=32, timm_model_name="test_vit", timm_pool="map",
                              timm_proj="none"))  # fmt: skip
RESNET = dict(VIT, vision_cfg=dict(image_size=64, patch_size=None, width=8, layers=[1, 1, 1, 1]))
TIMM_RESNET = dict(VIT, vision_cfg=dict(image_size=64, timm_model_name="test_resnet", timm_pool="avg"))


def images() -> Tensor:
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def tokens(length: int = 24) -> Tensor:
    rows = torch.randint(2, 59, (3, length), generator=torch.Generator().manual_seed(0))
    rows[:, -1] = 59
    return rows


TOWERS = {
    "open_clip image": (CLIPImageTower, VIT, images),
    "timm image": (CLIPImageTower, SIGLIP, images),
    "causal text": (CLIPTextTower, VIT, tokens),
    "SigLIP text": (CLIPTextTower, SIGLIP, tokens),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TOWERS)
def test_compiled_blocks_change_neither_values_nor_gradients(name: str) -> None:
    kind, config, batch = TOWERS[name]
    torch._dynamo.reset()
    frames = torch._dynamo.utils.counters["frames"]
    torch.manual_seed(0)
    plain: Any = kind(config)
    plain.train()(batch()).square().mean().backward()
    compiled_so_far = frames["ok"]
    for grad_checkpointing in (False, True):
        compiled: Any = kind(config, compile=True, grad_checkpointing=grad_checkpointing)
        compiled.load_state_dict(plain.state_dict())
        compiled.train()(batch()).square().mean().backward()
        # Fused kernels add in another order.
        torch.testing.assert_close(compiled(batch()), plain(batch()), rtol=1e-4, atol=1e-5)
        for one, other in zip(compiled.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-5)
    assert frames["ok"] > compiled_so_far


@pytest.mark.slow
def test_compiled_text_tower_takes_rows_of_any_length() -> None:
    torch.manual_seed(0)
    plain = CLIPTextTower(VIT).eval()
    compiled = CLIPTextTower(VIT, compile=True).eval()
    compiled.load_state_dict(plain.state_dict())
    for length in (24, 8, 16, 11):
        with torch.no_grad():
            torch.testing.assert_close(compiled(tokens(length)), plain(tokens(length)), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_training_and_testing_with_texts_of_many_lengths_stays_within_the_limit_of_recompilation() -> None:
    torch._dynamo.reset()
    image, text = CLIPImageTower(VIT, compile=True), CLIPTextTower(VIT, compile=True)
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        for training in (True, False):
            image.train(training), text.train(training)
            with torch.set_grad_enabled(training):
                for size in (3, 2):
                    image(images()[:size])
                    for length in (8, 16, 20, 24):
                        text(tokens(length)[:size])


@pytest.mark.parametrize("name", TOWERS)
def test_state_dict_keys_stay_as_they_are(name: str) -> None:
    kind, config, _ = TOWERS[name]
    assert kind(config, compile=True).state_dict().keys() == kind(config).state_dict().keys()


def test_copy_of_a_compiled_tower_is_a_plain_one_with_its_weights() -> None:
    """Averaged weights (EMA) live in a deep copy, made before anything is compiled."""
    tower = CLIPImageTower(VIT, compile=True).eval()
    plain = CLIPImageTower(VIT).eval()
    plain.load_state_dict(tower.state_dict())
    torch.testing.assert_close(copy.deepcopy(tower)(images()), plain(images()), rtol=0, atol=0)


@pytest.mark.parametrize("config", [RESNET, TIMM_RESNET])
def test_convolutional_tower_is_refused(config: dict) -> None:
    with pytest.raises(ValueError, match=r"tower 'custom' \(.*ResNet.*\) is no ViT: it has no blocks to compile"):
        CLIPImageTower(config, compile=True)


def test_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(FileNotFoundError, match="compile=True needs a C\\+\\+ compiler, and 'no-such-compiler' is not"):
        CLIPImageTower(VIT, compile=True)


def test_missing_python_headers_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipplus.towers.compiling.sysconfig.get_path", lambda name: "/nowhere")
    with pytest.raises(FileNotFoundError, match=r"needs Python's headers, and /nowhere/Python.h does not exist"):
        compile_blocks([])
