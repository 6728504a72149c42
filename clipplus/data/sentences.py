"""Long captions cut into sentences."""

import re
from typing import Literal

Splitter = Literal["official", "smart"]
SPLITTERS = ("official", "smart")

_SHORTEST = 3
# Without their last full stop. Initials such as 'U.S.A.' or 'e.g.' need no entry.
_ABBREVIATIONS = {
    *("mr", "mrs", "ms", "dr", "prof", "st", "sr", "jr", "inc", "ltd"),
    *("vs", "etc", "eg", "ie", "no", "approx", "fig"),
}
# A full stop, '!', '?' or ellipsis that white space or the end follows, with closing quotes taken along.
_END = re.compile(r"(?:\.{3,}|[.!?]+)[\"')\]]*(?=\s|$)")
_LIST_NUMBER = re.compile(r"^(?:\(?\d{1,2}[.)]|[-*\u2022])\s+")


def split_sentences(text: str, splitter: Splitter = "official") -> list[str]:
    """The sentences of a caption in order, without their last full stop.

    Args:
        text: a caption.
        splitter: 'official' cuts where DreamLIP's code does: at every line break, literal `</s>` and full stop, so
            that '3.50' gives '3' and '50'. 'smart' cuts at the ends of sentences: it leaves decimals, initials,
            abbreviations, addresses and ellipses whole, cuts at '!' and '?' as well, and drops list numbers and
            fragments below 3 characters.
    """
    if splitter == "official":
        return [part.strip() for part in re.split(r"\n|</s>|\.", text) if part.strip()]
    lines = [_LIST_NUMBER.sub("", line.strip()) for line in re.split(r"\n|</s>", text)]
    parts = [sentence for line in lines for sentence in _split_line(line)]
    return [part for part in parts if len(part) >= _SHORTEST]


def _split_line(line: str) -> list[str]:
    sentences, start = [], 0
    for end in _END.finditer(line):
        rest = line[end.end() :].lstrip()
        if rest and not _ends_sentence(line[start : end.start()], end.group(), rest):
            continue
        sentences.append(line[start : end.end()].strip().rstrip(". "))
        start = end.end()
    return [*sentences, line[start:].strip()]


def _ends_sentence(before: str, mark: str, rest: str) -> bool:
    """Whether a mark within a line ends a sentence; the end of a line always does."""
    if mark != ".":
        return rest[0].isupper() or rest[0].isdigit() or rest[0] in "\"'("
    # Captions are often written in small letters, so a full stop needs no capital behind it.
    word = before.rsplit(None, 1)[-1].lower().lstrip("\"'(") if before.split() else ""
    is_initial = re.fullmatch(r"(?:[a-z]\.)*[a-z]", word) is not None
    return word not in _ABBREVIATIONS and not is_initial
