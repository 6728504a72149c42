"""What tests of MA-CLIP share: tiny towers as configs build them, and tolerances of the fixtures."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn

import clipplus.methods.ma_clip  # noqa: F401 - registers

SIZES = dict(image=[12, 8], frames=3, width=24, layers=2, embed=16, patch=4, heads=4, act="quick_gelu")


def tower_of(sizes: Mapping[str, Any]) -> dict[str, Any]:
    """A tower of a fixture's sizes, in open_clip's form."""
    return dict(
        embed_dim=sizes["embed"],
        quick_gelu=sizes["act"] == "quick_gelu",
        vision_cfg=dict(
            image_size=tuple(sizes["image"]), patch_size=sizes["patch"], width=sizes["width"],
            layers=sizes["layers"], head_width=sizes["width"] // sizes["heads"],
        ),
        text_cfg=dict(context_length=16, vocab_size=49408, width=16, heads=2, layers=1),
    )  # fmt: skip


@pytest.fixture
def tower() -> Callable[..., dict[str, Any]]:
    """`tower(**sizes)`: the config of a tiny tower."""
    return lambda **sizes: tower_of(SIZES | sizes)


@pytest.fixture
def close() -> Callable[..., None]:
    """`close(found, expected, what, gradient=False)`: within the tolerance of the fixtures' README."""

    def compare(found: Tensor, expected: Tensor, what: str, gradient: bool = False) -> None:
        exact, factor = found.dtype == torch.float64, 10 if gradient else 1
        torch.testing.assert_close(
            found.double(), expected.double(), rtol=0 if exact else 2e-4 * factor,
            atol=(1e-9 if exact else 2e-5) * factor, msg=lambda text: f"{what}: {text}",
        )  # fmt: skip

    return compare


@pytest.fixture
def fill() -> Callable[..., None]:
    """`fill(module, weights)`: every weight, by name, no more and no fewer."""

    def load(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
        module.load_state_dict(dict(weights), strict=True)

    return load


@pytest.fixture
def adapter_options() -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Options of `adapter` from a fixture's config."""
    names = (
        "ratio", "temporal_mode", "num_temporal_adapters", "use_text_token", "joint_scale", "extra_token_gate",
        "temporal_embedding",
    )  # fmt: skip
    return lambda config: {name: config[name] for name in names}


@pytest.fixture
def backbone() -> Callable[..., Any]:
    """`backbone(config, **adapter)`: a tower of a fixture's sizes, built from a config; or of default tiny sizes."""
    init_default_scope("mmaction")

    def build(config: Mapping[str, Any] | None = None, num_frames: int | None = None, **adapter: Any) -> Any:
        sizes = SIZES | dict(config or {})
        frames = num_frames or sizes["frames"]
        return MODELS.build(
            dict(type="MACLIPVisualBackbone", model=tower_of(sizes), num_frames=frames, adapter=adapter)
        )

    return build


@pytest.fixture
def settings() -> Callable[[Any], dict[str, Any]]:
    """The switches of a fixture."""
    return lambda golden: json.loads(golden.metadata["config"])
