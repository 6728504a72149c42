"""How a clip is cut out, as configs and checkpoints say it."""

from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from clipplus.few_shot_video.evaluation_pipeline import describe_pipeline, require_harmless

CONFIGS = Path(__file__).parents[2] / "configs" / "few_shot_video"
SEGMENTS = dict(type="SampleFrames", clip_len=1, frame_interval=1, num_clips=8, test_mode=True)
STRIDE = dict(type="StrideSampleFrames", num_frames=8, stride=35, target_fps=12, test_mode=True)


def resize(side: int) -> dict[str, Any]:
    return dict(type="Resize", scale=[side, side], keep_ratio=False)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # Drawn by the program, at the size of the tower.
        ("otam_resnet-tiny_1xb4-1x1x8-5w1s-2e_shapes", [SEGMENTS]),
        # The frame cache resizes.
        ("otam_resnet-tiny_1xb4-1x1x8-5w1s-4e_shapes-files", [SEGMENTS, resize(64)]),
        ("frozen-clip_rn50_openai-pre_5way_hmdb51", [SEGMENTS, resize(256)]),
        ("otam_vit-base-p16_openai-pre_1xb1-accum4-8x35x1-5w1s-1250iters_kinetics100", [STRIDE, resize(256)]),
    ],
)
def test_configs_say_how_evaluation_cuts_out_a_clip(name: str, expected: list[dict[str, Any]]) -> None:
    found = describe_pipeline(Config.fromfile(CONFIGS / f"{name}.py").to_dict())
    assert found == expected
    assert require_harmless(found, "a.pth") == expected


def test_a_training_alone_is_described_without_its_draws() -> None:
    loader = dict(dataset=dict(dataset=dict(pipeline=[dict(type="ClipInit"), dict(SEGMENTS, test_mode=False)])))
    assert describe_pipeline(dict(train_dataloader=loader, val_dataloader=None)) == [SEGMENTS]
    assert describe_pipeline(dict(train_dataloader=dict(dataset=dict(type="Other")))) is None


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (None, r"a\.pth does not say how its clips are sampled: give its config, --config"),
        (["SampleFrames"], "does not say how its clips are sampled"),
        (
            [SEGMENTS, dict(type="os.system", command="true")],
            r"go through 'os\.system', which is not taken",
        ),
        ([dict(SEGMENTS, num_clips="8")], r"refused: SampleFrames\.num_clips must be a number, got '8'"),
        ([dict(type="Resize", scale=[1, dict(type="os.system")])], r"refused: Resize\.scale must be a number"),
    ],
)
def test_files_may_not_describe_anything_else(steps: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        require_harmless(steps, "a.pth")
