"""One form for the captions of an image, whatever the file called them.

A caption is `{"source": str, "kind": "raw" | "short" | "long" | "pseudo", "text": str, "score": float | None}`;
further fields of a caption are kept.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

KINDS = ("raw", "short", "long", "pseudo")


def clean_text(text: str, keep_lines: bool = False) -> str:
    """NFKC, runs of white space as one blank, ends stripped.

    Args:
        text: any text.
        keep_lines: a run with a line break becomes one line break: in long captions it ends a sentence.
    """
    text = unicodedata.normalize("NFKC", text)
    if keep_lines:
        return "\n".join(line for line in (" ".join(part.split()) for part in re.split(r"[\r\n]", text)) if line)
    return " ".join(text.split())


def captions_of(record: dict[str, Any], where: str) -> list[dict[str, Any]]:
    """The cleaned captions of a file's record, in its order; empty ones and exact repetitions are left out.

    Args:
        record: has `captions`, a list of strings or of caption dicts, or `caption`, one of them. For strings `types`
            and `scores` may be lists of the same length.
        where: file and line, for messages.

    Raises:
        ValueError: no caption, a caption that is no text, an unknown kind, or `types`/`scores` of another length.
    """
    field = "captions" if "captions" in record else "caption"
    raw = record.get("captions", [record["caption"]] if "caption" in record else None)
    if raw is None:
        raise ValueError(f"{where}: neither 'captions' nor 'caption', found the fields {', '.join(map(repr, record))}")
    if not isinstance(raw, list) or not raw:
        raise ValueError(f"{where}: '{field}' must be a non-empty list of strings, got {raw!r:.100}{_named(record)}")
    columns = {name: _parallel(record, name, len(raw), where) for name in ("types", "scores")}
    captions: list[dict[str, Any]] = []
    for caption, kind, score in zip(raw, columns["types"], columns["scores"], strict=True):
        if isinstance(caption, str):
            caption = {"text": caption, "kind": kind or "raw", "score": score}
        captions.append(_clean(caption, where, field, record))
    unique: dict[str, dict[str, Any]] = {}
    for caption in captions:
        if caption["text"]:
            unique.setdefault(caption["text"], caption)
    kept = list(unique.values())
    if not kept:
        raise ValueError(f"{where}: every caption is empty{_named(record)}; write one or remove the record")
    return kept


def _parallel(record: dict[str, Any], name: str, length: int, where: str) -> Sequence[Any]:
    """The list beside `captions` called `name`, or as many None."""
    values = record.get(name)
    if values is None:
        return [None] * length
    if not isinstance(values, list) or len(values) != length:
        raise ValueError(
            f"{where}: '{name}' must be a list as long as captions ({length}), got {values!r:.60}{_named(record)}"
        )
    return values


def _clean(caption: Any, where: str, field: str, record: dict[str, Any]) -> dict[str, Any]:
    text = caption.get("text") if isinstance(caption, dict) else caption
    if not isinstance(text, str):
        raise ValueError(f"{where}: '{field}' must hold nothing but strings, got {text!r:.60} in it{_named(record)}")
    kind = caption.get("kind", "raw")
    if kind not in KINDS:
        raise ValueError(f"{where}: unknown kind {kind!r:.60} of a caption{_named(record)}; known: {', '.join(KINDS)}")
    source = caption.get("source") or ("raw" if kind == "raw" else "unknown")
    score = caption.get("score")
    return {**caption, "source": source, "kind": kind, "text": clean_text(text, kind == "long"), "score": score}


def _named(record: dict[str, Any]) -> str:
    """' for key ...' as far as the record says who it is."""
    name = record.get("key") or record.get("id") or record.get("image")
    return "" if name is None else f" for key '{name}'"
