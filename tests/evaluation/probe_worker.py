"""Labelled points, a model that embeds them, and their evaluation by the test loop; as a script, one rank of it.

Usage: probe_worker.py RANK WORLD STORE OUT BATCH_SIZE
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from mmengine.dataset import BaseDataset
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import Tensor, nn

import clipplus.evaluation  # noqa: F401 - registers loops and metrics

CENTRES = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])


class Points(BaseDataset):
    """Points around one centre per class; `labels` replaces the true ones."""

    METAINFO = dict(classes=("a", "b", "c"))

    def __init__(
        self, seed: int, count: int, noise: float, labels: list[int | None] | None = None, **options: Any
    ) -> None:
        self.seed, self.count, self.noise, self.labels = seed, count, noise, labels
        super().__init__(serialize_data=False, **options)

    def load_data_list(self) -> list[dict[str, Any]]:
        generator = torch.Generator().manual_seed(self.seed)
        true = [index % 3 for index in range(self.count)]
        points = CENTRES[true] + self.noise * torch.randn(self.count, 4, generator=generator)
        labels = true if self.labels is None else self.labels
        return [dict(point=point, gt_label=label) for point, label in zip(points, labels, strict=True)]


class PointModel(BaseModel):
    """Embeds a point as itself, normalised; counts what it embeds."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))
        self.embedded = 0

    def forward(self, point: list[Tensor], gt_label: list[int], sample_idx: list[int], mode: str) -> list[dict]:
        self.embedded += len(point)
        return [
            dict(sample_idx=index, gt_label=label, image_embedding=F.normalize(row * self.scale, dim=0))
            for index, label, row in zip(sample_idx, gt_label, point, strict=True)
        ]


def loader(batch_size: int = 7, **dataset: Any) -> dict:
    return dict(
        batch_size=batch_size,
        num_workers=0,
        collate_fn=dict(type="pseudo_collate"),
        dataset=dict(type=Points, **dataset),
    )


def build_runner(work_dir: Path, metrics: list[dict], test: dict) -> Runner:
    return Runner(
        PointModel(), work_dir=str(work_dir), default_scope="mmengine", log_level="WARNING",
        test_dataloader=dict(sets=dict(points=test)), test_cfg=dict(type="MultiDatasetTestLoop"),
        test_evaluator=dict(sets=dict(points=metrics)), experiment_name=work_dir.name,
    )  # fmt: skip


def both(train: dict, **linear: Any) -> list[dict]:
    return [
        dict(type="LinearProbeAccuracy", train=train, topk=(1, 2), **linear),
        dict(type="NearestNeighbourAccuracy", train=train, topk=(1, 2), k=5),
    ]


if __name__ == "__main__":
    rank, world, store, out, batch_size = sys.argv[1:]
    torch.set_num_threads(1)
    if int(world) > 1:
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=int(rank), world_size=int(world))
    train = loader(int(batch_size), seed=0, count=61, noise=0.6)
    runner = build_runner(Path(out).parent, both(train), loader(int(batch_size), seed=1, count=50, noise=0.6))
    values = runner.test()
    Path(f"{out}.{rank}").write_text(json.dumps(values))
