"""Texts to token ids, as the towers expect them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import open_clip
from torch import Tensor

# What a model dict may pass to open_clip's wrapper of Hugging Face tokenizers. Anything else would go on to the hub's
# own loader, and `trust_remote_code` of a model dict that came with a checkpoint would run foreign code.
_HUB_OPTIONS = {"clean", "strip_sep_token", "language", "tokenizer_mode"}


class Tokenizer:
    """One tokenizer for one text tower; picklable, so that loader workers may hold it.

    Args:
        encode: open_clip tokenizer, (texts, context_length) -> (n, context_length) int64.
        count: token count of one text with start and end tokens, before truncation.
        context_length: columns of the result.
        vocab_size: ids are below it.
        pad_id: what fills a row behind its end token.
    """

    def __init__(
        self,
        encode: Callable[..., Tensor],
        count: Callable[[str], int],
        context_length: int,
        vocab_size: int,
        pad_id: int,
    ) -> None:
        self._encode, self._count = encode, count
        self.context_length, self.vocab_size, self.pad_id = context_length, vocab_size, pad_id

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """(n, context_length) int64; longer texts are cut and keep their end token."""
        return self._encode(list(texts), context_length=self.context_length)

    def lengths_untruncated(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text with start and end token, however long it is."""
        return [self._count(text) for text in texts]


def build_tokenizer(model: str | dict, folder: str | None = None) -> Tokenizer:
    """The tokenizer that belongs to a text tower.

    Args:
        model: open_clip model name, or a dict of open_clip's JSON form.
        folder: local folder of a Hugging Face tokenizer; needed without network for models that do not use CLIP's own
            byte-pair encoding, which comes with open_clip.

    Raises:
        ValueError: unknown model, unknown tokenizer options, or a tokenizer without padding.
        FileNotFoundError: the model's tokenizer is on a hub that cannot be reached, or `folder` does not exist or holds
            no tokenizer.
    """
    settings = open_clip.get_model_config(model) if isinstance(model, str) else model
    if settings is None:
        raise ValueError(f"unknown model '{model}': no tokenizer can be chosen for it")
    text_cfg = settings["text_cfg"]
    context_length = text_cfg.get("context_length", 77)
    if folder is not None or text_cfg.get("hf_tokenizer_name"):
        return _hub_tokenizer(folder or text_cfg["hf_tokenizer_name"], folder, text_cfg, context_length)
    tokenizer = open_clip.SimpleTokenizer(context_length=context_length, **text_cfg.get("tokenizer_kwargs", {}))
    return Tokenizer(tokenizer, _CountSimple(tokenizer), context_length, tokenizer.vocab_size, pad_id=0)


class _CountSimple:
    """Token count of CLIP's byte-pair encoding."""

    def __init__(self, tokenizer: open_clip.SimpleTokenizer) -> None:
        self.tokenizer = tokenizer

    def __call__(self, text: str) -> int:
        return len(self.tokenizer.encode(text)) + 2


class _CountHub:
    """Token count of a Hugging Face tokenizer, of the text as open_clip cleans it."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def __call__(self, text: str) -> int:
        return len(self.tokenizer.tokenizer(self.tokenizer.clean_fn(text), verbose=False).input_ids)


def _hub_tokenizer(name: str, folder: str | None, text_cfg: dict, context_length: int) -> Tokenizer:
    options = text_cfg.get("tokenizer_kwargs", {})
    if unknown := options.keys() - _HUB_OPTIONS:
        raise ValueError(
            f"text_cfg.tokenizer_kwargs: unknown keys {sorted(unknown)}; known: {', '.join(sorted(_HUB_OPTIONS))}"
        )
    if folder is not None and not Path(folder).is_dir():
        raise FileNotFoundError(
            f"tokenizer folder '{folder}' does not exist (text_tower.tokenizer and TokenizeCaptions(folder=...) state "
            "it, relative to the working directory)"
        )
    try:
        tokenizer = open_clip.tokenizer.HFTokenizer(name, context_length=context_length, **options)
    # A folder that holds no tokenizer, or a broken one, shows itself as a bare Exception of the tokenizers' Rust code
    # or as any of the errors of its reader.
    except Exception as error:
        raise FileNotFoundError(_not_loaded(name, folder, error)) from error
    inner = tokenizer.tokenizer
    if inner.pad_token_id is None:
        raise ValueError(f"tokenizer '{name}' has no padding token: set `pad_token` in its tokenizer_config.json")
    return Tokenizer(tokenizer, _CountHub(tokenizer), context_length, len(inner), inner.pad_token_id)


def _not_loaded(name: str, folder: str | None, error: Exception) -> str:
    """What to do about a tokenizer that could not be loaded."""
    reason = f"{type(error).__name__}: {' '.join(str(error).split()):.160}"
    if folder is not None:
        return f"tokenizer folder '{folder}' holds no tokenizer that can be read (tokenizer.json is needed): {reason}"
    return (
        f"tokenizer '{name}' cannot be loaded: the hub does not give it ({reason}). Save its folder where there is "
        f"network (transformers.AutoTokenizer.from_pretrained('{name}').save_pretrained('FOLDER')) and state it here: "
        "model.text_tower.tokenizer='FOLDER', and folder='FOLDER' in every TokenizeCaptions"
    )
