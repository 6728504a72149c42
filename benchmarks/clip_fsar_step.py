"""A training step of CLIP-FSAR's head against the published order of operations, kept plain: time, and equal gradients.

Both have the same weights, features of frames and texts; towers are left out, since they cost the same in both. The
reference follows the published code: one episode after the other, class after class where prototypes are averaged, and
OTAM cell by cell, differentiated by autograd. Ours takes all episodes of an update at once. Cases are an update of 1 or
4 episodes, 5-way 1-shot with 25 queries of 8 frames, fp32, one thread, for the widths of ViT-B/16 and RN50. Time is the
median of `--seconds` of steps by turns, in seconds of the processor. Ratios are ours / reference.

    python benchmarks/clip_fsar_step.py [--seconds 5] [--json RESULT.json]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from few_shot_matching import by_recursion
from measure import print_rows, write_rows
from mmengine.registry import MODELS
from torch import Tensor

import clipplus.methods.clip_fsar  # noqa: F401 - registers the head
from clipplus.few_shot_video import EpisodeDataSample
from clipplus.methods.clip_fsar import CLIPFSARHead

WAYS, QUERIES, FRAMES, CLASSES = 5, 25, 8, 64
WEIGHT = 3.0


def sample() -> EpisodeDataSample:
    """Labels of one episode."""
    support, query = torch.arange(WAYS), torch.arange(QUERIES) % WAYS
    content = dict(support_label=support, query_label=query, support_class=support * 7, query_class=query * 7)
    return EpisodeDataSample(metainfo=dict(episode_id=0, sample_id=0), **content)


def published_loss(head: CLIPFSARHead, query: Tensor, support: Tensor, text: Tensor) -> Tensor:
    """The loss of one episode, (Q, T, D) and (S, T, D), step by step."""
    episode = sample()
    queries = head.temporal_transformer(query)
    with_text = torch.cat([support, text[episode.support_class][:, None]], dim=1)
    supports = head.temporal_transformer(with_text)[:, :FRAMES]
    classes = torch.unique(episode.support_label)
    prototypes = torch.stack([supports[episode.support_label == c].mean(dim=0) for c in classes])
    flat_query, flat_prototypes = queries.reshape(-1, queries.shape[-1]), prototypes.reshape(-1, queries.shape[-1])
    norms = flat_query.norm(dim=-1, keepdim=True) @ flat_prototypes.norm(dim=-1, keepdim=True).T
    dist = 1 - flat_query @ flat_prototypes.T / (norms + 0.01)
    dist = dist.view(QUERIES, FRAMES, WAYS, FRAMES).transpose(1, 2)
    few_shot = F.cross_entropy(-by_recursion(dist), episode.query_label)
    clips = torch.cat([support, query]).mean(dim=1)
    cosine = clips @ text.T / (clips.norm(dim=-1, keepdim=True) @ text.norm(dim=-1, keepdim=True).T + 0.01)
    target = torch.cat([episode.support_class, episode.query_class])
    return few_shot + WEIGHT * F.cross_entropy(head.scale * cosine, target)


def published(head: CLIPFSARHead, query: Tensor, support: Tensor, text: Tensor) -> list[Tensor]:
    """Gradients of an update: the episodes' are accumulated."""
    head.zero_grad()
    for one_query, one_support in zip(query, support, strict=True):
        (published_loss(head, one_query, one_support, text) / len(query)).backward()
    return [parameter.grad for parameter in head.parameters()]


def ours(head: CLIPFSARHead, query: Tensor, support: Tensor, text: Tensor) -> list[Tensor]:
    """Gradients of an update."""
    head.zero_grad()
    sum(head.loss(query, support, [sample() for _ in query], class_text=text).values()).backward()
    return [parameter.grad for parameter in head.parameters()]


def compare(episodes: int, width: int, seconds: float) -> dict[str, str | float]:
    """One row.

    Raises:
        AssertionError: the gradients differ by more than 1e-5 of the largest one.
    """
    torch.manual_seed(0)
    head = MODELS.build(
        dict(
            type="CLIPFSARHead", in_channels=width, class_loss_weight=WEIGHT, attention_dropout=0.0, dropout=0.0,
        )
    )  # fmt: skip
    given = (
        head, torch.randn(episodes, QUERIES, FRAMES, width), torch.randn(episodes, WAYS, FRAMES, width),
        torch.randn(CLASSES, width),
    )  # fmt: skip
    for name, one, other in zip(
        dict(head.named_parameters()), [g.clone() for g in ours(*given)], published(*given), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5 * (1 + float(other.abs().max())), msg=name)
    contestants: tuple[Callable[..., list[Tensor]], ...] = (ours, published)
    times: tuple[list[float], list[float]] = ([], [])
    while sum(map(sum, times)) < seconds:
        for taken, contestant in zip(times, contestants, strict=True):
            start = time.process_time()
            contestant(*given)
            taken.append(time.process_time() - start)
    time_s, reference_s = map(statistics.median, times)
    return {
        "benchmark": "clip_fsar_step",
        "case": f"{episodes} episodes, D={width}",
        "time_ratio": time_s / reference_s,
        "time_s": time_s,
        "reference_s": reference_s,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="per case")
    parser.add_argument("--json", type=Path, help="write the rows here as well")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [compare(episodes, width, arguments.seconds) for episodes in (1, 4) for width in (512, 1024)]
    print_rows(rows)
    write_rows(rows, arguments.json)


if __name__ == "__main__":
    main()
