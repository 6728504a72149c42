"""What is drawn is what is compared: frames behind the transformer, with the texts of the classes."""

import torch
from mmengine.registry import MODELS

import clipplus.methods.clip_fsar  # noqa: F401 - registers the parts
from clipplus.few_shot_video import EpisodeDataSample

TOWER = dict(
    embed_dim=16, quick_gelu=False, vision_cfg=dict(image_size=32, patch_size=None, width=8, layers=[1, 1, 1, 1]),
    text_cfg=dict(context_length=24, vocab_size=49408, width=16, heads=2, layers=1),
)  # fmt: skip


def test_distances_between_frames_are_those_that_the_logits_come_from() -> None:
    torch.manual_seed(0)
    text = dict(type="ClassTextBank", average="raw", normalize=False, tower=dict(type="CLIPTextTower", model=TOWER))
    model = MODELS.build(
        dict(
            type="FewShotRecognizer", backbone=dict(type="CLIPImageTower", model=TOWER), text=text,
            cls_head=dict(type="CLIPFSARHead", in_channels=16, heads=4, hidden=24),
        )
    ).eval()  # fmt: skip
    sample = EpisodeDataSample(metainfo=dict(episode_id=0, sample_id=0, classes=("fall", "jump", "run")))
    labels = torch.tensor([1, 0, 1, 0])
    sample.set_data(
        dict(support_label=labels, query_label=torch.tensor([0]), support_class=labels + 1, query_class=labels[:1])
    )
    query, support = torch.randn(1, 1, 5, 16), torch.randn(1, 4, 5, 16)
    with torch.no_grad():
        dist = model.between_frames(query, support, [sample])
        (predicted,) = model.predict_features(query, support, [sample])
    assert dist.shape == (1, 1, 2, 5, 5)
    logits = -model.cls_head.matcher.clip_distance(dist)
    torch.testing.assert_close(logits.softmax(-1)[0], predicted.pred_score)
