"""What cannot work says what is wrong and what to do."""

from typing import Any

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from clipplus.few_shot_video import EpisodeDataSample
from clipplus.methods.ma_clip import TPCM, AdapterOptions, MACLIPHead


@pytest.mark.parametrize(("options", "message"), [
    (dict(ratio=0.001), r"adapter ratio 0.001 leaves no hidden channel of 24"),
    (dict(temporal_mod="none"), r"unknown option adapter.temporal_mod; .*temporal_mode"),
    (dict(temporal_mode="cls"), r"adapter.temporal_mode must be one of cls_token, all_tokens, none, got 'cls'"),
    (dict(num_temporal_adapters=3), r"adapter.num_temporal_adapters must be one of 1, 2, got 3"),
    (dict(num_temporal_adapters=2, temporal_mode="none"), r"has no effect with temporal_mode='none'"),
    (dict(extra_token_gate="zero"), r"adapter.extra_token_gate must be one of none, zero_init"),
    (dict(adapter_layers=[0, 2]), r"adapter.adapter_layers must be different blocks of 0..1, got \[0, 2\]"),
    (dict(adapter_layers=[]), r"adapter.adapter_layers must be different blocks"),
    (dict(drop_path=1.0), r"adapter.drop_path must be at least 0 and below 1"),
], ids=str)  # fmt: skip
def test_adapter_options(backbone: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        backbone(**options)


def test_resnets_are_sent_to_full_fine_tuning() -> None:
    init_default_scope("mmaction")
    message = r"cannot be adapted: it is a ModifiedResNet .* use CLIPImageTower"
    with pytest.raises(ValueError, match=message), torch.device("meta"):
        MODELS.build(dict(type="MACLIPVisualBackbone", model="RN50-quickgelu"))


@pytest.mark.parametrize("vision", [dict(attentional_pool=True), dict(pool_type="avg")], ids=str)
def test_other_pooling_is_refused(tower: Any, vision: dict[str, Any]) -> None:
    config = tower()
    config["vision_cfg"] |= vision
    init_default_scope("mmaction")
    with pytest.raises(ValueError, match="cannot be adapted: its features are not those of the normed class token"):
        MODELS.build(dict(type="MACLIPVisualBackbone", model=config))


@pytest.mark.parametrize(("clips", "text", "message"), [
    ((2, 4, 3, 12, 8), None, r"clips have 4 frames, but .* num_frames=3: sample as many, or set interpolate"),
    ((2, 3, 3, 8, 8), None, r"expected clips \(clips, frames, 3, 12, 8\), got \(2, 3, 3, 8, 8\)"),
    ((0, 3, 3, 12, 8), None, r"no clips or no frames"),
    ((2, 3, 3, 12, 8), (3, 16), r"expected texts \(2, 16\), one per support clip .* got \(3, 16\)"),
    ((2, 3, 3, 12, 8), (2, 24), r"expected texts \(2, 16\), .* model.text.tower and model.backbone must"),
], ids=str)  # fmt: skip
def test_clips_and_texts_that_do_not_fit(backbone: Any, clips: Any, text: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        backbone()(torch.zeros(clips), None if text is None else torch.zeros(text))


def test_texts_without_a_place_for_them(backbone: Any) -> None:
    with pytest.raises(ValueError, match=r"adapter.use_text_token is False"):
        backbone(use_text_token=False)(torch.zeros(2, 3, 3, 12, 8), torch.zeros(2, 16))


@pytest.mark.parametrize(("part", "options", "message"), [
    (TPCM, dict(embed_dim=16, heads=3), r"TPCM.heads=3 must divide embed_dim=16"),
    (TPCM, dict(embed_dim=16, norm="post"), r"TPCM.norm must be one of pre, none, got 'post'"),
    (TPCM, dict(embed_dim=16, shot_merge="mean"), r"TPCM.shot_merge must be one of before, after"),
    (TPCM, dict(embed_dim=16, prototype="none"), r"TPCM.prototype must be one of tpcm, unimodal, concat_self_attn"),
    (MACLIPHead, dict(alpha=1.5), r"MACLIPHead.alpha must lie in \[0, 1\], got 1.5"),
    (MACLIPHead, dict(scale=0), r"MACLIPHead.scale must be above 0"),
    (MACLIPHead, dict(reduction="mean"), r"MACLIPHead.reduction must be one of batchmean, actionclip"),
    (MACLIPHead, dict(contrast="all"), r"MACLIPHead.contrast must be one of episode, all_train"),
], ids=str)  # fmt: skip
def test_options_of_neck_and_head(part: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        part(**options)


def sample(support: list[int], query: list[int], classes: list[int]) -> EpisodeDataSample:
    made = EpisodeDataSample(metainfo=dict(classes=("a", "b"), episode_id=5, sample_id=5))
    made.support_label, made.query_label = torch.tensor(support), torch.tensor(query)
    made.support_class, made.query_class = torch.tensor(classes), torch.tensor(query)
    return made


@pytest.mark.parametrize(("support", "query", "classes", "message"), [
    ([0, 1], [2], [0, 1], r"query 0 of episode 0 in the batch has label 2, but its supports have \[0, 1\]"),
    ([0, 1], [1], [0, 2], r"support_class 2 has no text: there are texts for 2 classes"),
    ([0, 0], [0], [0, 1], r"supports of one label have different classes"),
], ids=str)  # fmt: skip
def test_episodes_that_do_not_fit(support: Any, query: Any, classes: Any, message: str) -> None:
    features = (torch.randn(1, len(query), 3, 16), torch.randn(1, len(support), 3, 16))
    with pytest.raises(ValueError, match=message):
        MACLIPHead().loss(*features, [sample(support, query, classes)], torch.randn(2, 16), features)


def test_features_that_are_not_finite_name_the_episode() -> None:
    features = (torch.full((1, 1, 3, 16), float("nan")), torch.randn(1, 2, 3, 16))
    with pytest.raises(ValueError, match="5"):
        MACLIPHead().predict(*features, [sample([0, 1], [1], [0, 1])], torch.randn(2, 16), features)


def test_options_are_those_of_the_class() -> None:
    assert AdapterOptions.of(None) == AdapterOptions()
