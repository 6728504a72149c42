"""Recognisers from checkpoints, configs and CLIPs; what a file says of itself is never run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.registry import MODELS

from clipplus.checkpoints import tower_hash
from clipplus.few_shot_video.recognizer_loading import load_recognizer

Configure = Callable[..., dict[str, Any]]
CLIPS = [dict(type="SampleFrames", clip_len=1, frame_interval=1, num_clips=4, test_mode=True)]


def save(path: Path, model: Any, described: Any, clips: Any = CLIPS, **meta: Any) -> Path:
    record = dict(model=described, clips=clips)
    torch.save(dict(state_dict=model.state_dict(), meta=dict(clipplus=record, **meta)), path)
    return path


@pytest.mark.parametrize(
    "matcher",
    [
        dict(type="TRXMatcher", in_channels=16, out_channels=8, cardinalities=[2]),
        dict(type="OTAMMatcher", smoothing=0.25, shots="distance_mean"),
        dict(type="BiMHMMatcher", reduction="mean"),
        dict(type="MeanPoolMatcher", measure="squared_euclidean"),
    ],
    ids=lambda matcher: matcher["type"],
)
def test_a_checkpoint_describes_its_recogniser(model_config: Configure, matcher: dict, tmp_path: Path) -> None:
    config = model_config(
        cls_head=dict(type="FewShotHead", matcher=matcher),
        data_preprocessor=dict(type="FewShotDataPreprocessor", size=[20, 20], crop=16, query_flip=0.5),
    )
    model = MODELS.build(config)
    loaded = load_recognizer(save(tmp_path / "a.pth", model, config))
    assert loaded.clips == CLIPS
    assert type(loaded.model.cls_head.matcher).__name__ == matcher["type"]
    for name in ("smoothing", "shots", "reduction", "measure"):
        assert getattr(loaded.model.cls_head.matcher, name, None) == getattr(model.cls_head.matcher, name, None)
    assert loaded.model.data_preprocessor.evaluation_settings == model.data_preprocessor.evaluation_settings
    assert not loaded.model.training
    torch.testing.assert_close(loaded.model.state_dict(), model.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            dict(backbone=dict(type="os.system")),
            r"its backbone is described as 'os\.system', expected 'CLIPImageTower'",
        ),
        (dict(backbone=dict(type="CLIPImageTower", model="hf-hub:a/b")), "would be fetched from elsewhere"),
        (
            dict(cls_head=dict(type="subprocess.run", matcher=dict(type="OTAMMatcher"))),
            r"a head 'subprocess\.run' with",
        ),
        (dict(cls_head=dict(type="FewShotHead", matcher=dict(type="os.system"))), r"with 'os\.system': not all of it"),
        (dict(cls_head=dict(type="FewShotHead", matcher="OTAMMatcher")), "with 'OTAMMatcher': not all of it is taken"),
        (dict(cls_head=dict(type="FewShotHead", matcher=dict(type="OTAMMatcher"), init_cfg=dict())), "not all of it"),
        (dict(neck=dict(type="os.system")), "neck: not all of it is taken from a file; give its config"),
        (dict(data_preprocessor=dict(size=[dict(type="os.system")])), "refused: its size must be a number, a word"),
        (
            dict(cls_head=dict(type="FewShotHead", matcher=dict(type="OTAMMatcher", smoothing=dict(type="os.system")))),
            "refused: its smoothing must be a number",
        ),
    ],
)
def test_descriptions_that_ask_for_more_are_refused(
    changes: dict, message: str, model_config: Configure, tmp_path: Path
) -> None:
    path = save(tmp_path / "evil.pth", MODELS.build(model_config()), model_config() | changes)
    with pytest.raises(ValueError, match=message):
        load_recognizer(path)


def test_config_text_in_a_checkpoint_is_not_executed(model_config: Configure, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    text = f"import os\nos.system('touch {marker}')\n"
    path = save(tmp_path / "evil.pth", MODELS.build(model_config()), model_config(), config=text, cfg=text)
    load_recognizer(path)
    path = save(tmp_path / "evil.pth", MODELS.build(model_config()), None, config=text, cfg=text)
    with pytest.raises(ValueError, match=r"evil\.pth does not describe its model: give its config"):
        load_recognizer(path)
    assert not marker.exists()


def test_weights_that_a_description_names_are_not_read(model_config: Configure, tmp_path: Path) -> None:
    """The backbone's start is of no interest: the checkpoint holds what became of it."""
    backbone = dict(model_config()["backbone"], pretrained=str(tmp_path / "gone.pth"))
    model = MODELS.build(model_config())
    loaded = load_recognizer(save(tmp_path / "a.pth", model, model_config(backbone=backbone)))
    torch.testing.assert_close(loaded.model.state_dict(), model.state_dict(), rtol=0, atol=0)


def test_checkpoints_that_do_not_fit_are_refused(model_config: Configure, place_config: Path, tmp_path: Path) -> None:
    model = MODELS.build(model_config())
    trx = dict(type="FewShotHead", matcher=dict(type="TRXMatcher", in_channels=16, cardinalities=[2]))
    with pytest.raises(ValueError, match=r"does not fit this recogniser: 8 keys missing \(cls_head\.matcher"):
        load_recognizer(save(tmp_path / "a.pth", model, model_config(cls_head=trx)))
    with pytest.raises(ValueError, match=r"a\.pth does not fit this recogniser: 1 keys missing .*is it of another"):
        load_recognizer(save(tmp_path / "a.pth", model, model_config()), place_config)
    with pytest.raises(ValueError, match="does not say how its clips are sampled"):
        load_recognizer(save(tmp_path / "a.pth", model, model_config(), clips=None))
    (tmp_path / "a.pth").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"a\.pth cannot be read"):
        load_recognizer(tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"a\.pth cannot be read"):
        load_recognizer(tmp_path / "a.pth", place_config)


def test_a_frozen_backbone_that_was_not_saved_comes_from_the_config(place_config: Path, tmp_path: Path) -> None:
    text = place_config.read_text()
    trx = "type='TRXMatcher', in_channels=25, cardinalities=[2], out_channels=8"
    place_config.write_text(text.replace("type='OTAMMatcher', smoothing=0.1", trx))
    model = load_recognizer(config=place_config).model
    head = {key: value for key, value in model.state_dict().items() if key.startswith("cls_head.")}
    towers = dict(backbone=dict(model="place", pretrained="itself", hash=tower_hash(model.backbone.state_dict())))
    torch.save(dict(state_dict=head, meta=dict(towers=towers)), tmp_path / "a.pth")
    loaded = load_recognizer(tmp_path / "a.pth", place_config)
    torch.testing.assert_close(loaded.model.state_dict(), model.state_dict(), rtol=0, atol=0)
    towers["backbone"]["hash"] = "other"
    torch.save(dict(state_dict=head, meta=dict(towers=towers)), tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"was made with the backbone 'place' from 'itself', but that of .* has other"):
        load_recognizer(tmp_path / "a.pth", place_config)
    place_config.write_text(place_config.read_text().replace(", pretrained='itself'", ""))
    with pytest.raises(ValueError, match=r"a\.pth does not hold its backbone: give a config that does"):
        load_recognizer(tmp_path / "a.pth", place_config)


def clip_checkpoint(tower: dict, path: Path) -> Path:
    config = dict(
        type="CLIPModel", image_tower=dict(type="CLIPImageTower", model=tower),
        text_tower=dict(type="CLIPTextTower", model=tower), loss=dict(type="SoftmaxContrastiveLoss"),
        data_preprocessor=dict(type="CaptionDataPreprocessor", mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0]),
    )  # fmt: skip
    torch.save(dict(state_dict=MODELS.build(config).state_dict(), meta=dict(clipplus=dict(model=config))), path)
    return path


def test_a_clip_that_never_saw_a_video_compares_clips(model_config: Configure, tmp_path: Path) -> None:
    path = clip_checkpoint(model_config()["backbone"]["model"], tmp_path / "clip.pth")
    loaded = load_recognizer(path)
    assert loaded.clips[0]["num_clips"] == 8
    assert loaded.model.cls_head.matcher.measure == "cosine"
    # 256 and 224 for a tower of 224 pixels; this one has 16.
    settings = loaded.model.data_preprocessor.evaluation_settings
    assert settings == dict(mean=[1, 2, 3], std=[4, 5, 6], size=[18, 18], crop=16)
    weights = torch.load(path)["state_dict"]
    torch.testing.assert_close(loaded.model.backbone.visual.proj, weights["image_tower.visual.proj"], rtol=0, atol=0)
    assert loaded.model.encode_clips(torch.zeros(2, 8, 3, 16, 16)).shape == (2, 8, 16)
    assert load_recognizer(path, matcher="otam").model.cls_head.matcher.smoothing == 0.1


def test_a_config_gives_the_recogniser(model_config: Configure, place_config: Path, tmp_path: Path) -> None:
    loaded = load_recognizer(config=place_config)
    assert type(loaded.model.backbone).__name__ == "SeesPlace"
    loaded.model.backbone.centres.data.zero_()
    torch.save(dict(state_dict=loaded.model.state_dict()), tmp_path / "a.pth")
    again = load_recognizer(tmp_path / "a.pth", place_config)
    assert again.model.backbone.centres.abs().sum() == 0
    assert again.clips == loaded.clips


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(), "state a checkpoint, or a config whose backbone is pretrained"),
        (dict(checkpoint="gone.pth"), r"'gone\.pth' is no checkpoint file; for an open_clip model state its weights"),
        (dict(checkpoint="gone.pth", matcher="otm"), "unknown matcher 'otm'; known: mean-pool, otam, bi-mhm"),
        (dict(config="gone.py"), r"config gone\.py does not exist"),
        (dict(config="gone.py", matcher="otam"), "a config says which weights and which matcher"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict, message: str) -> None:
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        load_recognizer(**options)


def test_configs_of_other_things_are_refused(place_config: Path) -> None:
    text = place_config.read_text()
    place_config.write_text(text.replace("type='FewShotRecognizer'", "type='CLIPModel'"))
    with pytest.raises(ValueError, match="is no config of few-shot video: its model is CLIPModel"):
        load_recognizer(config=place_config)
    place_config.write_text(text.replace("test_dataloader", "other"))
    with pytest.raises(ValueError, match="has no videos: how clips are cut out is read from its evaluation"):
        load_recognizer(config=place_config)
    place_config.write_text(text.replace(", pretrained='itself'", ""))
    with pytest.raises(ValueError, match=r"the backbone of .* is not pretrained: state a checkpoint"):
        load_recognizer(config=place_config)
