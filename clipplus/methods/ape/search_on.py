"""Choosing alpha, beta and gamma: on which images, and what is said about it.

Shape letters of this file: N images, D channels of a feature, M keys, C classes.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from mmengine.dist import all_reduce, get_rank, get_world_size, is_main_process

from clipplus.checkpoints.atomic import written_aside
from clipplus.data import KeyedDataset
from clipplus.evaluation import ImageFeatures, label_ranks
from clipplus.methods.ape.cache_head import CacheHead
from clipplus.methods.ape.leave_one_out import require_left_out
from clipplus.methods.ape.search import SearchGrid, SearchResult, search_features

_KNOWN = ("on", "scale", "steps", "include_zero_alpha", "set", "max_memory")


@dataclass(frozen=True)
class SearchPlan:
    """The `search` of a `FewShotFitLoop`.

    Args:
        on: 'val'; 'test', which reproduces what papers do on ImageNet, and is said in the log and stored; or 'loo', for
            heads that do not train: every shot is asked about the others (`leave_one_out`). Not published.
        scale, steps: see `SearchGrid`; two numbers (beta, alpha), or three with gamma for APE.
        include_zero_alpha: see `SearchGrid`.
        set: name of the set among `val_dataloader.sets` (or `test_dataloader.sets`); None takes the first.
        max_memory: bytes, about, that the search may take.

    Raises:
        ValueError: anything else.
    """

    scale: Sequence[float] = (7.0, 7.0)
    steps: Sequence[int] = (200, 20)
    on: Literal["val", "test", "loo"] = "val"
    include_zero_alpha: bool = False
    set: str | None = None
    max_memory: int = 2**28

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "SearchPlan":
        """The plan that a config describes."""
        unknown = sorted(config.keys() - set(_KNOWN))
        if unknown:
            raise ValueError(f"train_cfg.search has no option '{unknown[0]}'; known: {', '.join(_KNOWN)}")
        plan = cls(**config)
        if plan.on not in ("val", "test", "loo"):
            raise ValueError(
                f"train_cfg.search.on must be 'val', 'test' or 'loo', got '{plan.on}'; for images of the training set "
                "that are no shots, give val_dataloader a FewShotSubset with part='holdout'"
            )
        return plan

    def grid(self, head: CacheHead) -> SearchGrid:
        """What is tried.

        Raises:
            ValueError: another number of lists than the head has values.
        """
        if len(self.scale) != len(head.searched) or len(self.steps) != len(head.searched):
            raise ValueError(
                f"train_cfg.search: {type(head).__name__} is searched over {', '.join(head.searched)}, so scale and "
                f"steps need {len(head.searched)} numbers each, got {tuple(self.scale)} and {tuple(self.steps)}"
            )
        return SearchGrid(tuple(self.scale), tuple(self.steps), self.include_zero_alpha)


def search(head: CacheHead, images: ImageFeatures, plan: SearchPlan) -> SearchResult:
    """Try all cells of the grid; all ranks call it together, each looks at its share of the images.

    The head is not changed. Computed in float64, so that the shares' cut leaves no trace.

    Args:
        head: fitted.
        images: with labels; for 'loo' the shots, in the order of the keys.
        plan: what to try.

    Raises:
        ValueError: 'loo' for shots that cannot do without one of them.
    """
    grid = plan.grid(head)
    exact = copy.deepcopy(head).double().eval()
    device, share = exact.alpha.device, slice(get_rank(), None, get_world_size())
    own_keys = None
    if plan.on == "loo":
        require_left_out(images.labels, images.ids)
        own_keys = torch.arange(len(images.labels), device=device)[share]
    with torch.no_grad():
        own = search_features(
            exact.terms, images.unit_features().double()[share].to(device), exact.cache_labels,
            exact.key_weights(grid.gammas), images.labels[share].to(device), grid, plan.max_memory, own_keys,
        )  # fmt: skip
    hits = own.hits.clone()
    all_reduce(hits)
    return SearchResult(grid, hits, len(images.labels))


@torch.no_grad()
def accuracies(head: CacheHead, images: ImageFeatures) -> dict[str, float]:
    """Top-1 in percent of CLIP's zero-shot logits and of the head as it stands."""
    features, labels = images.unit_features().to(head.text_weight), images.labels.to(head.text_weight.device)
    zero_shot, hits = 0, 0
    for part, own in zip(features.split(4096), labels.split(4096), strict=True):
        zero_shot += int((label_ranks(part @ head.text_weight.T, own) == 0).sum())
        hits += int((label_ranks(head(part), own) == 0).sum())
    return dict(zero_shot=100 * zero_shot / len(labels), now=100 * hits / len(labels))


def describe(
    result: SearchResult, names: Sequence[str], before: Mapping[str, float], plan: SearchPlan, where: str
) -> str:
    """One line on what a search over the values `names` found."""
    best = ", ".join(f"{name} {result.best[name]:.6g}" for name in names)
    border = ""
    if result.on_border:
        border = f"; the best value lies at the end of the range of {', '.join(result.on_border)}: widen search.scale"
    warned = "; CHOSEN ON TEST: this accuracy is no estimate for other images" if plan.on == "test" else ""
    # Keys that are asked with themselves in the cache say nothing.
    now = "" if plan.on == "loo" else f"before {before['now']:.2f} %, "
    return (
        f"search on {where} ({result.samples} images): zero-shot {before['zero_shot']:.2f} %, {now}"
        f"best {result.best_accuracy:.2f} % at {best} ({result.cells_at_max} of "
        f"{result.hits.numel()} cells reach it"
        f"{border}){warned}"
    )


def search_record(result: SearchResult, before: Mapping[str, float], plan: SearchPlan, where: str) -> dict[str, Any]:
    """The same as plain data, for checkpoints."""
    now = None if plan.on == "loo" else before["now"]
    return dict(
        on=plan.on, set=where, search_on_test=plan.on == "test", images=result.samples, scale=list(plan.scale),
        steps=list(plan.steps), include_zero_alpha=plan.include_zero_alpha, best=dict(result.best),
        accuracy=result.best_accuracy, accuracy_before=now, zero_shot=before["zero_shot"],
        cells=result.hits.numel(), cells_at_max=result.cells_at_max, on_border=list(result.on_border),
    )  # fmt: skip


def save_table(path: Path, result: SearchResult) -> None:
    """Write the whole table as `search.npz`: `hits` and `accuracy` (B, A, G), `betas`, `alphas`, `gammas`."""
    if not is_main_process():
        return
    with written_aside(path) as partial, partial.open("wb") as file:
        np.savez(
            file, hits=result.hits.numpy(), accuracy=result.accuracy.numpy(), betas=result.grid.betas.numpy(),
            alphas=result.grid.alphas.numpy(), gammas=result.grid.gammas.numpy(), samples=result.samples,
        )  # fmt: skip


def image_names(dataset: Any) -> list[str]:
    """What tells the images of a data set from all others: absolute paths, or keys; without opening one."""
    return [_image_name(dataset, index) for index in range(len(dataset))]


def _image_name(dataset: Any, index: int) -> str:
    if isinstance(dataset, KeyedDataset):
        return _image_name(dataset.dataset, index)
    if hasattr(dataset, "indices") and hasattr(dataset, "dataset"):
        return _image_name(dataset.dataset, dataset.indices[index])
    if hasattr(dataset, "sample_key"):
        return str(dataset.sample_key(index))
    info = dataset.get_data_info(index)
    return str(Path(info["img_path"]).resolve()) if info.get("img_path") else str(info.get("key", index))


def require_no_shots(shots: Sequence[str], searched: Sequence[str], where: str) -> None:
    """Refuse a search on images that are keys of the cache: they match themselves.

    Raises:
        ValueError: names the first one.
    """
    known = set(shots)
    both = [name for name in searched if name in known]
    if both:
        raise ValueError(
            f"{where} holds {len(both)} of the few-shot images, e.g. '{both[0]}': they match themselves in the cache, "
            "so that nothing can be chosen or measured on them. Use another split"
        )


def require_no_tested(searched: Sequence[str], tested: Sequence[str], where: str) -> None:
    """Refuse to choose on images that are tested without having been asked to.

    Raises:
        ValueError: names the first one.
    """
    known = set(tested)
    both = [name for name in searched if name in known]
    if both:
        raise ValueError(
            f"{where} holds {len(both)} images of the test set, e.g. '{both[0]}': values and the best epoch would "
            "be chosen on test. If that is what you want, as published for ImageNet, set "
            "train_cfg.search.on='test', which is stored in the checkpoint; otherwise give val_dataloader a "
            "FewShotSubset with part='holdout'"
        )
