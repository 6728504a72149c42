"""Every clip is encoded twice at most, and the scores are those of encoding every episode."""

from pathlib import Path
from typing import Any

import torch
from mmengine.runner import Runner

EPISODES = 6


def test_cached_scores_are_those_of_every_episode_with_two_encodings_of_a_clip(tower: Any, tmp_path: Path) -> None:
    config = tower(image=[16, 16], patch=8)
    pipeline = [
        dict(type="SampleFrames", clip_len=1, frame_interval=1, num_clips=3, test_mode=True),
        dict(type="ArrayDecode"), dict(type="FormatShape", input_format="NCHW"), dict(type="PackActionInputs"),
    ]  # fmt: skip
    videos = dict(
        type="ShapesVideoDataset", split="test", videos_per_class=2, num_frames=6, size=16, pipeline=pipeline,
        test_mode=True,
    )  # fmt: skip
    episodes = dict(type="EpisodeDataset", dataset=videos, split="test", way=3, shots=1, num_episodes=EPISODES)
    text = dict(
        type="ClassTextBank", templates=["a photo of {}"], average="raw", normalize=False,
        tower=dict(type="CLIPTextTower", model=config, frozen=True),
    )  # fmt: skip

    def run(loop: str) -> tuple[list[Any], int]:
        runner = Runner(
            model=dict(
                type="FewShotRecognizer",
                backbone=dict(type="MACLIPVisualBackbone", model=config, num_frames=3),
                neck=dict(type="TPCM", embed_dim=16, heads=2, ffn_channels=24), cls_head=dict(type="MACLIPHead"),
                text=text,
            ),
            work_dir=str(tmp_path / loop), test_cfg=dict(type=loop),
            test_dataloader=dict(
                batch_size=2, num_workers=0, collate_fn=dict(type="pseudo_collate"),
                sets=dict(few=dict(dataset=episodes)),
            ),
            test_evaluator=dict(sets=dict(few=dict(type="FewShotAccuracy"))), default_scope="mmaction",
            randomness=dict(seed=0), log_level="WARNING", experiment_name=f"{tmp_path.name}-{loop}",
        )  # fmt: skip
        seen = 0

        def count(_: Any, inputs: tuple[torch.Tensor, ...]) -> None:
            nonlocal seen
            seen += len(inputs[0])

        runner.model.backbone.register_forward_pre_hook(count)
        runner.test()
        return [metric.predictions for [metric] in runner.test_loop.set_metrics.values()], seen

    (cached, encoded), (direct, all_encoded) = run("FeatureCacheTestLoop"), run("MultiDatasetTestLoop")
    assert all_encoded == EPISODES * (3 + 3)
    shown = {video for record in cached[0] for video in (*record["support_video"], *record["query_video"])}
    assert encoded == 2 * len(shown) < all_encoded * 2
    for ours, theirs in zip(cached[0], direct[0], strict=True):
        scores = [torch.tensor(record["score"]["few_shot"]) for record in (ours, theirs)]
        torch.testing.assert_close(*scores, rtol=0, atol=1e-6)
