"""Why a clip was given its name: its frames against those of the class, and which of them the matcher pairs.

Shape letters of this file: T frames of the query, U frames of a labelled clip, S labelled clips, W classes.
"""

import copy
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from clipplus.checkpoints.atomic import written_aside
from clipplus.few_shot_video.bimhm import BiMHMMatcher
from clipplus.few_shot_video.clip_prediction import ClipClassifier, EncodedClips, episode_of
from clipplus.few_shot_video.frame_matcher import FrameMatcher
from clipplus.visualization.alignment import Side, draw_alignment


def pair_weights(matcher: FrameMatcher, dist: Tensor) -> tuple[Tensor, Tensor | None]:
    """How much each pair of frames counts in the distance of two clips: its gradient.

    Args:
        matcher: that compares them.
        dist: (T, U) distances of frames.

    Returns:
        (T, U) when the query's frames are led through the other clip's, 0 to about 1; and in the other direction, None
        for a matcher without it.
    """
    one_way: Any = copy.copy(matcher)
    one_way.bidirectional = False
    if isinstance(one_way, BiMHMMatcher):
        # With means every frame would count 1 / T.
        one_way.reduction = "sum"
    both = getattr(matcher, "bidirectional", False)
    return _gradient(one_way, dist), _gradient(one_way, dist.T).T if both else None


def _gradient(matcher: FrameMatcher, dist: Tensor) -> Tensor:
    with torch.enable_grad():
        wanted = dist.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(matcher.clip_distance(wanted), wanted)
    return gradient


def require_pairs(classifier: ClipClassifier) -> None:
    """Refuse to draw what a head does not compute; before any clip is read.

    Raises:
        ValueError: its matcher does not pair frames.
    """
    head: Any = classifier.model.cls_head
    matcher = getattr(head, "matcher", None)
    if not isinstance(matcher, FrameMatcher):
        name = type(head if matcher is None else matcher).__name__
        raise ValueError(
            f"{name} does not pair frames, so that there is no alignment to draw: OTAM and Bi-MHM do (a CLIP that was "
            "trained on pictures can be given either, --matcher otam)"
        )


@torch.no_grad()
def draw_prediction(
    classifier: ClipClassifier, query: EncodedClips, number: int, support: EncodedClips, names: Sequence[str],
    probability: Tensor,
) -> Image.Image:  # fmt: skip
    """A query beside the class that it was given.

    Where distances are averaged over the shots of a class, its nearest clip is shown; where features are, all of them.

    Args:
        classifier: with `keep_pictures`.
        query: clips that were named.
        number: which of them.
        support: labelled clips.
        names: of the classes, W.
        probability: (W,).
    """
    matcher: Any = classifier.model.cls_head.matcher
    sample = episode_of(support.labels, 1, tuple(names))
    features = [part[None].to(classifier.device) for part in (query.features[number : number + 1], support.features)]
    dist_NTU = classifier.model.between_frames(*features, [sample])[0, 0].float().cpu()
    label = int(probability.argmax())
    shots = (support.labels == label).nonzero().flatten().tolist()
    if matcher.shots == "distance_mean":
        shots = [min(shots, key=lambda shot: float(matcher.clip_distance(dist_NTU[shot])))]
        dist = dist_NTU[shots[0]]
    else:
        dist = dist_NTU[label]
    there, back = pair_weights(matcher, dist)
    clip = f" ({support.paths[shots[0]].name})" if len(shots) == 1 else ""
    return draw_alignment(
        f"{query.paths[number].name}: {names[label]}, {float(probability[label]):.0%}",
        Side("query", [query.pictures[number]], [query.aspect[number]]),
        Side(f"{names[label]}{clip}", [support.pictures[shot] for shot in shots], [support.aspect[s] for s in shots]),
        dist.numpy(), there.numpy(), None if back is None else back.numpy(), matcher.ordered,
    )  # fmt: skip


def draw_predictions(
    classifier: ClipClassifier, query: EncodedClips, support: EncodedClips, names: Sequence[str], scores: Tensor,
    folder: Path,
) -> list[Path]:  # fmt: skip
    """A picture of every query, `NUMBER_<clip>.png`, counted from 1; `scores` (Q, W)."""
    paths = []
    for number, probability in enumerate(scores):
        image = draw_prediction(classifier, query, number, support, names, probability)
        stem = re.sub(r"[^\w.-]+", "_", query.paths[number].name)
        path = folder / f"{number + 1:0{len(str(len(scores)))}d}_{stem}.png"
        with written_aside(path) as partial:
            image.save(partial, format="PNG")
        paths.append(path)
    return paths
