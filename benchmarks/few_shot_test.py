"""10,000 test episodes from features of videos against encoding the clips of every episode.

The list has the shape of Kinetics-100's test list: 24 classes with 100 videos each; episodes are 5-way with one query
per class, clips have 8 frames. Pixels are noise around a picture of the class, at 32 px, and the tower is a small ViT
with random weights: what is compared is how often frames are encoded, and whether results are equal.

Both loops first run the same 200 episodes, whose predictions must be equal. Then the loop over features runs all
10,000; the other side's frames and time are those of its 200 episodes, times 50, since each of them costs the same.
`frames_ratio` is ours / reference, frames that the tower saw; times are those of the processor, one thread.

    python benchmarks/few_shot_test.py [--json RESULT.json]
"""

import argparse
import logging
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import print_rows, write_rows
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import Runner
from torch.utils.data import Dataset

import clipplus.few_shot_video  # noqa: F401 - registers its parts

CLASSES, VIDEOS_PER_CLASS = 24, 100
FRAMES, PIXELS = 8, 32
EPISODES, COMPARED = 10_000, 200
TOWER = dict(
    embed_dim=64,
    quick_gelu=False,
    vision_cfg=dict(image_size=PIXELS, patch_size=8, width=64, layers=2, head_width=32),
    text_cfg=dict(context_length=16, vocab_size=49408, width=64, heads=2, layers=1),
)


@DATASETS.register_module()
class NoisyClips(Dataset[dict[str, Any]]):
    """Clips that cost nothing to read: a picture of the class, darker or lighter, and noise."""

    def __init__(self) -> None:
        self.labels = [video % CLASSES for video in range(CLASSES * VIDEOS_PER_CLASS)]
        rng = np.random.default_rng(0)
        self.pictures = rng.integers(60, 196, (CLASSES, 1, 3, PIXELS, PIXELS))

    def __len__(self) -> int:
        return len(self.labels)

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Class and name."""
        return {"label": self.labels[index], "key": f"clip-{index}"}

    def __getitem__(self, index: int) -> dict[str, Any]:
        noise = np.random.default_rng(index).integers(-60, 60, (FRAMES, 3, PIXELS, PIXELS))
        return {"inputs": torch.from_numpy((self.pictures[self.labels[index]] + noise).astype(np.uint8))}


def evaluate(loop: str, shots: int, episodes: int) -> tuple[list[dict[str, Any]], int, float]:
    """Predictions of every episode, frames that the tower saw, and seconds."""
    init_default_scope("mmaction")
    data = dict(type="EpisodeDataset", dataset=dict(type="NoisyClips"), split="test", shots=shots)
    with tempfile.TemporaryDirectory() as work_dir:
        runner = Runner(
            model=dict(
                type="FewShotRecognizer",
                backbone=dict(type="CLIPImageTower", model=TOWER),
                cls_head=dict(type="FewShotHead", matcher=dict(type="OTAMMatcher")),
            ),
            work_dir=work_dir, test_cfg=dict(type=loop),
            test_dataloader=dict(
                batch_size=64 if loop.startswith("FeatureCache") else 4, num_workers=0,
                collate_fn=dict(type="pseudo_collate"), sets=dict(test=dict(dataset=data | {"num_episodes": episodes})),
            ),
            test_evaluator=dict(sets=dict(test=dict(type="FewShotAccuracy"))),
            default_scope="mmaction", randomness=dict(seed=0), log_level="ERROR",
            experiment_name=f"{loop}-{shots}-{episodes}",
        )  # fmt: skip
        seen = 0

        def count(_: Any, inputs: tuple[torch.Tensor, ...]) -> None:
            nonlocal seen
            seen += len(inputs[0])

        runner.model.backbone.register_forward_pre_hook(count)
        start = time.process_time()
        runner.test()
        taken = time.process_time() - start
        return runner.test_loop.set_metrics["test"][0].predictions, seen, taken


def require_equal(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    """The same episodes, the same predictions, and scores that differ by rounding at most.

    Raises:
        AssertionError: they do not.
    """
    scores = [torch.tensor([record["score"]["few_shot"] for record in records]) for records in (ours, theirs)]
    torch.testing.assert_close(*scores, rtol=0, atol=1e-5)
    assert [{**record, "score": None} for record in ours] == [{**record, "score": None} for record in theirs]


def row(shots: int) -> dict[str, str | float]:
    """Both loops for so many shots."""
    theirs, frames, seconds = evaluate("MultiDatasetTestLoop", shots, COMPARED)
    require_equal(evaluate("FeatureCacheTestLoop", shots, COMPARED)[0], theirs)
    _, our_frames, our_seconds = evaluate("FeatureCacheTestLoop", shots, EPISODES)
    many = EPISODES // COMPARED
    fewer = many * frames / our_frames
    print(f"{shots}-shot: {our_frames} frames encoded instead of {many * frames}: {fewer:.1f} times fewer")
    return {
        "benchmark": "few_shot_test",
        "case": f"{EPISODES} episodes, 5-way {shots}-shot",
        "frames_ratio": our_frames / (many * frames),
        "time_ratio": our_seconds / (many * seconds),
        "time_s": our_seconds,
        "reference_s": many * seconds,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows here as well")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    rows = [row(shots) for shots in (1, 5)]
    print_rows(rows)
    write_rows(rows, arguments.json)


if __name__ == "__main__":
    main()
