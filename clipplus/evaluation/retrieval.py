"""Retrieval between images and their captions, any number of captions per image.

Shape letters of this file: S images, M captions of all images, E joint width.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from mmengine.registry import METRICS
from torch import Tensor

from clipplus.evaluation.set_metric import SetMetric, sample_field

_SHOWN = 5
_ROWS_PER_BLOCK = 1024


class RetrievalRanks(NamedTuple):
    """Ranks from 0, and the best candidates with their similarities.

    Attributes:
        image_to_text: (S,), rank of the best own caption among all captions.
        text_to_image: (M,), rank of the own image among all images.
        best_texts: (S, k) caption indices; best_text_scores likewise.
        best_images: (M, k) image indices; best_image_scores likewise.
    """

    image_to_text: Tensor
    text_to_image: Tensor
    best_texts: Tensor
    best_text_scores: Tensor
    best_images: Tensor
    best_image_scores: Tensor


def retrieval_ranks(
    image: Float[Tensor, "S E"], text: Float[Tensor, "M E"], owner: Int[Tensor, " M"]
) -> RetrievalRanks:
    """Rank captions for images and images for captions by cosine similarity.

    Strictly larger similarities come first, ties by lower index. Works through blocks of rows: memory is
    O(block * (S + M)), never S * M.

    Args:
        image: (S, E), normalised.
        text: (M, E), normalised.
        owner: (M,), the image of each caption, ascending; every image has at least one.
    """
    counts = torch.bincount(owner, minlength=len(image))
    image_ranks, best_texts = [], []
    for start in range(0, len(image), _ROWS_PER_BLOCK):
        rows = slice(start, start + _ROWS_PER_BLOCK)
        scores = image[rows] @ text.T
        best_texts.append(_best(scores))
        own = (owner >= start) & (owner < start + _ROWS_PER_BLOCK)
        columns = own.nonzero().flatten()
        row_of = owner[columns] - start
        ranks = _ranks(scores, row_of, columns)
        image_ranks.append(torch.stack([part.min() for part in ranks.split(counts[rows].tolist())]))
    text_ranks, best_images = [], []
    for start in range(0, len(text), _ROWS_PER_BLOCK):
        rows = slice(start, start + _ROWS_PER_BLOCK)
        scores = text[rows] @ image.T
        best_images.append(_best(scores))
        text_ranks.append(_ranks(scores, torch.arange(len(scores), device=text.device), owner[rows]))
    return RetrievalRanks(
        torch.cat(image_ranks),
        torch.cat(text_ranks),
        *(torch.cat(part) for part in zip(*best_texts, strict=True)),
        *(torch.cat(part) for part in zip(*best_images, strict=True)),
    )


def _ranks(scores: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Rank of entry (rows[i], columns[i]) within its row of `scores`."""
    result = []
    for row, column in zip(rows.split(256), columns.split(256), strict=True):
        candidates = scores[row]
        own = candidates.gather(1, column[:, None])
        earlier = torch.arange(scores.shape[1], device=scores.device) < column[:, None]
        result.append(((candidates > own) | ((candidates == own) & earlier)).sum(dim=1))
    return torch.cat(result)


def _best(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Indices and values of the best candidates of each row."""
    values, indices = scores.topk(min(_SHOWN, scores.shape[1]), dim=1)
    return indices, values


@METRICS.register_module()
class CrossModalRecall(SetMetric):
    """Recall at k both ways, in percent.

    Results: `image_to_text_R@k` (any own caption among the first k), `text_to_image_R@k` (own image among the
    first k). Reads `image_embedding`, `text_embeddings` (K, E) and `sample_id`.

    Args:
        ks: the k's.
        collect_device, prefix: as in mmengine.
    """

    def __init__(self, ks: Sequence[int] = (1, 5, 10), collect_device: str = "cpu", prefix: str | None = None) -> None:
        super().__init__(collect_device, prefix)
        self.ks = tuple(ks)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the embeddings of a batch."""
        for sample in data_samples:
            texts = sample_field(sample, "text_embeddings")
            if texts is None or len(texts) == 0:
                raise ValueError(
                    "CrossModalRecall needs captions: add SampleCaptions and TokenizeCaptions to the pipeline"
                )
            self.results.append(
                dict(
                    sample_id=int(sample_field(sample, "sample_id")),
                    image=sample_field(sample, "image_embedding").cpu(),
                    texts=texts.cpu(),
                    captions=sample_field(sample, "captions") or [],
                )
            )

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """See the class."""
        counts = torch.tensor([len(r["texts"]) for r in results])
        owner = torch.repeat_interleave(torch.arange(len(results)), counts)
        ranks = retrieval_ranks(
            torch.stack([r["image"] for r in results]), torch.cat([r["texts"] for r in results]), owner
        )
        self.predictions = _predictions(results, owner, ranks)
        return {
            f"{way}_R@{k}": float((rank < k).double().mean() * 100)
            for way, rank in (("image_to_text", ranks.image_to_text), ("text_to_image", ranks.text_to_image))
            for k in self.ks
        }


def _predictions(results: list[dict[str, Any]], owner: Tensor, ranks: RetrievalRanks) -> list[dict[str, Any]]:
    """The best candidates of every image and caption, by sample id."""
    ids = [r["sample_id"] for r in results]
    first = torch.cat([torch.zeros(1, dtype=torch.int64), torch.bincount(owner).cumsum(0)]).tolist()
    best_texts, text_scores = ranks.best_texts.tolist(), ranks.best_text_scores.tolist()
    best_images, image_scores = ranks.best_images.tolist(), ranks.best_image_scores.tolist()
    owners = owner.tolist()
    return [
        dict(
            sample_id=ids[i],
            captions=r["captions"],
            image_to_text=[
                [ids[owners[t]], t - first[owners[t]], round(score, 6)]
                for t, score in zip(best_texts[i], text_scores[i], strict=True)
            ],
            text_to_image=[
                [[ids[j], round(score, 6)] for j, score in zip(best_images[t], image_scores[t], strict=True)]
                for t in range(first[i], first[i + 1])
            ],
        )
        for i, r in enumerate(results)
    ]
