"""Training throughput of our Runner against open_clip's `train_one_epoch`: same towers, batch, optimiser, data.

Both sides run in one process, in turn, several rounds; the ratio of each round is taken, and the median printed.
Texts of two lengths: full ones leave nothing to trim, short ones are what captions look like (open_clip pads them to
its context, our text tower does not).

    python benchmarks/train_step.py [--batch-size 64] [--updates 12] [--rounds 5] [--json RESULT.json]
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from measure import print_rows, write_rows
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from open_clip.loss import ClipLoss
from open_clip.model import CLIP
from open_clip_train.train import train_one_epoch
from torch.utils.data import DataLoader, Dataset

import clipplus.clip  # noqa: F401 - registers the parts that the config below names
from clipplus.engine.optim import decays

CONTEXT, VOCABULARY = 77, 49408
MODEL = dict(
    embed_dim=128,
    quick_gelu=False,
    vision_cfg=dict(image_size=64, patch_size=8, width=128, layers=4, head_width=32),
    text_cfg=dict(context_length=CONTEXT, vocab_size=VOCABULARY, width=128, heads=4, layers=2),
)


@DATASETS.register_module()
class SyntheticPairs(Dataset):
    """Packed samples that cost nothing to load: fixed random pixels and token rows of one length."""

    def __init__(self, size: int, tokens: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.pixels = torch.randint(0, 256, (size, 3, 64, 64), dtype=torch.uint8, generator=generator)
        self.rows = torch.zeros(size, 1, CONTEXT, dtype=torch.int64)
        self.rows[:, 0, : tokens - 1] = torch.randint(1, VOCABULARY - 2, (size, tokens - 1), generator=generator)
        self.rows[:, 0, tokens - 1] = VOCABULARY - 1

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return dict(inputs=self.pixels[index], tokens=self.rows[index], id=index, key=str(index))


class _OpenClipData:
    """What `train_one_epoch` asks of its data: an open_clip-style loader of normalised images and padded tokens."""

    def __init__(self, dataset: SyntheticPairs, batch_size: int) -> None:
        self.dataloader = DataLoader(dataset, batch_size, collate_fn=self._collate)
        self.dataloader.num_batches, self.dataloader.num_samples = len(self.dataloader), len(dataset)

    @staticmethod
    def _collate(items: list[dict[str, Any]]) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = torch.stack([item["inputs"] for item in items]).float().sub_(115.0).div_(70.0)
        return pixels, torch.cat([item["tokens"] for item in items])

    def set_epoch(self, epoch: int) -> None:
        """Nothing is shuffled."""


class OpenClipSide:
    """open_clip's trainer. Like the Runner it starts afresh every time, so that both pay for optimiser states."""

    def __init__(self, dataset: SyntheticPairs, batch_size: int) -> None:
        self.data = _OpenClipData(dataset, batch_size)
        self.arguments = SimpleNamespace(
            device="cpu", precision="fp32", accum_freq=1, distill=False, skip_scheduler=True, grad_clip_norm=None,
            horovod=False, log_every_n_steps=50, world_size=1, rank=0, local_rank=0, batch_size=batch_size, wandb=False,
            log_local=False, distributed=False,
        )  # fmt: skip

    def run(self) -> float:
        """Seconds of one pass over the data."""
        torch.manual_seed(0)
        model = CLIP(**MODEL, output_dict=True)
        named = list(model.named_parameters())
        groups = [
            dict(params=[p for n, p in named if not decays(n, p)], weight_decay=0.0),
            dict(params=[p for n, p in named if decays(n, p)], weight_decay=0.2),
        ]
        optimizer = torch.optim.AdamW(groups, lr=1e-3)
        start = time.perf_counter()
        train_one_epoch(model, {"train": self.data}, ClipLoss(), 0, optimizer, None, None, None, self.arguments)
        return time.perf_counter() - start


class _Stopwatch(Hook):
    """Seconds between the first batch's request and the last update."""

    def before_train(self, runner: Runner) -> None:
        self.start = time.perf_counter()

    def after_train(self, runner: Runner) -> None:
        self.seconds = time.perf_counter() - self.start


class RunnerSide:
    """Our Runner with the hooks that our configs have."""

    def __init__(self, batch_size: int, updates: int, tokens: int) -> None:
        self.batch_size, self.updates, self.tokens = batch_size, updates, tokens

    def run(self) -> float:
        """Seconds of one pass over the data."""
        stopwatch = _Stopwatch()
        size = self.batch_size * self.updates
        with tempfile.TemporaryDirectory() as folder:
            runner = Runner(
                model=dict(
                    type="CLIPModel",
                    image_tower=dict(type="CLIPImageTower", model=MODEL),
                    text_tower=dict(type="CLIPTextTower", model=MODEL),
                    loss=dict(type="SoftmaxContrastiveLoss"),
                ),
                work_dir=folder,
                train_dataloader=dict(
                    batch_size=self.batch_size,
                    num_workers=0,
                    persistent_workers=False,
                    collate_fn=dict(type="caption_collate"),
                    sampler=dict(type="EpochOrder"),
                    batch_sampler=dict(type="GlobalBatches"),
                    dataset=dict(
                        type="KeyedDataset", dataset=dict(type="SyntheticPairs", size=size, tokens=self.tokens)
                    ),
                ),
                train_cfg=dict(type="StepLoop", max_epochs=1),
                optim_wrapper=dict(
                    type="AutoAmpOptimWrapper",
                    constructor="CLIPOptimWrapperConstructor",
                    optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.2),
                ),
                default_hooks=dict(checkpoint=None, logger=dict(type="LoggerHook", interval=50)),
                custom_hooks=[dict(type="LogitScaleClampHook"), stopwatch],
                randomness=dict(seed=0),
                experiment_name=f"bench_{time.time_ns()}",
                log_level="ERROR",
            )
            runner.train()
        return stopwatch.seconds


def compare(batch_size: int, updates: int, rounds: int, tokens: int) -> dict[str, object]:
    """One row: medians over the rounds of seconds per update, and of the ratio ours / open_clip's."""
    theirs = OpenClipSide(SyntheticPairs(batch_size * updates, tokens), batch_size)
    ours = RunnerSide(batch_size, updates, tokens)
    ours.run(), theirs.run()
    pairs = [(ours.run(), theirs.run()) for _ in range(rounds)]
    return {
        "benchmark": "train_step",
        "case": f"batch {batch_size}, {tokens} tokens",
        "time_ratio": statistics.median(own / other for own, other in pairs),
        "time_s": statistics.median(own for own, _ in pairs) / updates,
        "reference_s": statistics.median(other for _, other in pairs) / updates,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--updates", type=int, default=12, help="per round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the rows here as well")
    arguments = parser.parse_args()
    MMLogger.get_instance("bench", log_level="ERROR")
    rows = [compare(arguments.batch_size, arguments.updates, arguments.rounds, tokens) for tokens in (CONTEXT, 16)]
    print_rows(rows)
    write_rows(rows, arguments.json)


if __name__ == "__main__":
    main()
