"""Pipeline steps between a sample's captions and the model's input: choose, tokenise, pack."""

import functools
import json
import logging
import random
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log
from mmengine.registry import TRANSFORMS

from clipplus.data.caption_dataset import sample_id
from clipplus.data.caption_records import KINDS
from clipplus.data.sentences import SPLITTERS, Splitter, split_sentences
from clipplus.did_you_mean import did_you_mean
from clipplus.text.tokenizer import Tokenizer, build_tokenizer

Policy = Literal["first", "all", "raw_plus_k", "sample_k", "pseudo_only", "sub_captions"]
_POLICIES = ("all", "first", "pseudo_only", "raw_plus_k", "sample_k", "sub_captions")
_NEED_K = ("raw_plus_k", "sample_k", "sub_captions")
Caption = dict[str, Any]


def require_known(what: str, value: str, known: Sequence[str]) -> None:
    """Refuse a name that is not among the known ones, and guess which was meant.

    Raises:
        ValueError: as said.
    """
    if value in known:
        return
    raise ValueError(f"unknown {what} '{value}'; known: {', '.join(known)}{did_you_mean(value, known)}")


@TRANSFORMS.register_module()
class SampleCaptions(BaseTransform):
    """Chooses which captions of an image are used this time; the result may differ in number from image to image.

    * 'first': the first `k` (default 1) in the order of the file; 'all': all of them.
    * 'sample_k': `k` without repetition, all if there are no more.
    * 'raw_plus_k': a raw caption, then `k` of the others without repetition.
    * 'pseudo_only': the pseudo-captions (`k` of them if given), the raw ones if there is none.
    * 'sub_captions': a raw caption, then `k` sentences of the others (DreamLIP), with repetition only where there are
      fewer than `k`.

    The raw caption that comes first is left out where a sample has none, and drawn where it has several.

    Args:
        policy: see above.
        k: captions or sentences to choose.
        kinds: use captions of these kinds only; the raw one that comes first always stays.
        sources: likewise for their sources.
        splitter: of 'sub_captions', see `split_sentences`.

    Raises:
        ValueError: an unknown policy, kind or splitter, or `k` missing or out of place. When sampling: no caption is
            left; names the key.
    """

    def __init__(
        self,
        policy: Policy = "first",
        k: int | None = None,
        kinds: Sequence[str] | None = None,
        sources: Sequence[str] | None = None,
        splitter: Splitter = "official",
    ) -> None:
        require_known("policy", policy, _POLICIES)
        require_known("splitter", splitter, SPLITTERS)
        for kind in kinds or ():
            require_known("kind", kind, KINDS)
        if policy in _NEED_K and k is None:
            raise ValueError(f"policy '{policy}' needs k, the number of captions to draw")
        if k is not None and (policy == "all" or not isinstance(k, int) or k < 1):
            wanted = "no k" if policy == "all" else "a positive number k"
            raise ValueError(f"policy '{policy}' takes {wanted}, got k={k}")
        self.policy, self.k, self.splitter = policy, k, splitter
        self.kinds, self.sources = kinds, sources

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Replace `captions` by the chosen ones."""
        captions = results["captions"]
        usable = [caption for caption in captions if self._allows(caption)]
        chosen = self._choose(captions, usable)
        if not chosen:
            found = sorted({(caption["kind"], caption["source"]) for caption in captions})
            raise ValueError(
                f"policy '{self.policy}' with kinds={self.kinds}, sources={self.sources} leaves no caption for key "
                f"'{results.get('key')}', which has (kind, source) {found}"
            )
        results["captions"] = chosen
        return results

    def _allows(self, caption: Caption) -> bool:
        return (self.kinds is None or caption["kind"] in self.kinds) and (
            self.sources is None or caption["source"] in self.sources
        )

    def _choose(self, captions: list[Caption], usable: list[Caption]) -> list[Caption]:
        if self.policy == "all":
            return usable
        if self.policy == "first":
            return usable[: self.k or 1]
        if self.policy == "sample_k":
            return _draw(usable, self.k)
        if self.policy == "pseudo_only":
            pseudo = [caption for caption in usable if caption["kind"] == "pseudo"]
            return _draw(pseudo or [caption for caption in usable if caption["kind"] == "raw"], self.k)
        raw = [caption for caption in captions if caption["kind"] == "raw"]
        others = [caption for caption in usable if caption["kind"] != "raw"]
        if self.policy == "raw_plus_k":
            return _draw(raw, 1) + _draw(others, self.k)
        return _draw(raw, 1) + self._sub_captions(others)

    def _sub_captions(self, captions: list[Caption]) -> list[Caption]:
        sentences = [
            {**caption, "text": sentence}
            for caption in captions
            for sentence in split_sentences(caption["text"], self.splitter)
        ]
        if not sentences or self.k is None:
            return []
        return random.sample(sentences, self.k) if len(sentences) >= self.k else random.choices(sentences, k=self.k)

    def __repr__(self) -> str:
        return f"SampleCaptions(policy='{self.policy}', k={self.k}, kinds={self.kinds}, sources={self.sources})"


def _draw(captions: list[Caption], k: int | None) -> list[Caption]:
    """`k` without repetition in random order; all in their own order if there are no more, or if `k` is None."""
    return captions if k is None or len(captions) <= k else random.sample(captions, k)


@functools.lru_cache(maxsize=8)
def _shared_tokenizer(model: str, folder: str | None) -> Tokenizer:
    """One tokenizer per process and model, however many pipelines name it; `model` is JSON."""
    return build_tokenizer(json.loads(model), folder)


@functools.lru_cache(maxsize=8)
def _end_tokens_like_padding(model: str, folder: str | None) -> int:
    """1 where the end token is also what rows are padded with (SigLIP's tokenizer), else 0."""
    tokenizer = _shared_tokenizer(model, folder)
    row = tokenizer([""])[0]
    padding = int(row.eq(tokenizer.pad_id).flip(0).cumprod(dim=0).sum())
    return padding - (tokenizer.context_length - tokenizer.lengths_untruncated([""])[0])


@TRANSFORMS.register_module()
class TokenizeCaptions(BaseTransform):
    """Adds `tokens`, int64 (K, L): a row per caption, L the context length.

    Longer captions are cut behind L - 1 tokens and keep their end token; how many there were is logged at the first,
    10th, 100th, ... of this process, with an example.

    Args:
        tokenizer: open_clip model name, or a dict of open_clip's JSON form; the text tower's `model`.
        folder: local folder of a Hugging Face tokenizer.

    Attributes:
        truncated: captions cut so far in this process.

    Raises:
        ValueError, FileNotFoundError: as `clipplus.text.tokenizer.build_tokenizer`.
    """

    def __init__(self, tokenizer: str | dict, folder: str | None = None) -> None:
        self._model, self._folder = json.dumps(tokenizer, sort_keys=True), folder
        self.truncated = 0
        # Built now for the sake of its errors, and shared with forked workers; kept out of pickles, so a spawned
        # worker builds its own.
        _shared_tokenizer(self._model, folder)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add `tokens` and `token_lengths`, int64 (K,), the columns of each row that are not padding."""
        tokenizer = _shared_tokenizer(self._model, self._folder)
        texts = [caption["text"] for caption in results["captions"]]
        tokens = tokenizer(texts)
        padded = tokens.eq(tokenizer.pad_id).flip(1).cumprod(dim=1).sum(dim=1) - _end_tokens_like_padding(
            self._model, self._folder
        )
        results["tokens"] = tokens
        results["token_lengths"] = tokenizer.context_length - padded
        # Counting tokens costs as much as tokenising: only rows without padding can have been cut.
        full = [text for text, pads in zip(texts, padded.tolist(), strict=True) if pads <= 0]
        if full:
            self._count_truncated(tokenizer, full, results.get("key"))
        return results

    def _count_truncated(self, tokenizer: Tokenizer, texts: list[str], key: str | None) -> None:
        for text, length in zip(texts, tokenizer.lengths_untruncated(texts), strict=True):
            if length <= tokenizer.context_length:
                continue
            self.truncated += 1
            if self.truncated == 10 ** (len(str(self.truncated)) - 1):
                print_log(
                    f"{self.truncated} captions of this process were cut to {tokenizer.context_length} tokens; the "
                    f"last one has {length}: '{text:.80}' (key '{key}'); sample shorter ones or raise context_length",
                    logger="current",
                    level=logging.WARNING,
                )

    def __repr__(self) -> str:
        return f"TokenizeCaptions(tokenizer={self._model}, folder={self._folder!r})"


@TRANSFORMS.register_module()
class PackCaptions(BaseTransform):
    """Last step of an image-text pipeline; `caption_collate` makes batches of its results.

    Gives `inputs` uint8 (3, H, W) RGB, `id`, `key`; with captions in the sample also `texts`, and with tokens `tokens`
    int64 (K, L) and `token_lengths` int64 (K,).

    Args:
        keys: further entries of the sample to pack, as tensors: equal in shape over all samples.

    Raises:
        ValueError: an image that is not uint8 (H, W, 3).
        KeyError: an entry of `keys` that the sample does not have.
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self.keys = tuple(keys)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """See the class."""
        key, image = results["key"], results["img"]
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(
                f"PackCaptions needs uint8 images (H, W, 3), got {image.dtype} {image.shape} for key '{key}': "
                f"load with LoadImageFromFile(color_type='color') and leave normalising to CaptionDataPreprocessor"
            )
        # The one place where BGR, which mmcv's transforms expect, becomes RGB.
        pixels = np.ascontiguousarray(image[:, :, ::-1].transpose(2, 0, 1))
        packed: dict[str, Any] = {"inputs": torch.from_numpy(pixels), "id": sample_id(key), "key": key}
        if "captions" in results:
            packed["texts"] = [caption["text"] for caption in results["captions"]]
        packed |= {name: results[name] for name in ("tokens", "token_lengths") if name in results}
        for name in self.keys:
            if name not in results:
                raise KeyError(f"PackCaptions(keys=...) names '{name}', but sample '{key}' has {', '.join(results)}")
            packed[name] = torch.as_tensor(results[name])
        return packed

    def __repr__(self) -> str:
        return f"PackCaptions(keys={self.keys})"
