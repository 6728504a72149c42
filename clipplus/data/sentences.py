"""Long captions cut into sentences."""

import re
from typing import Literal

Splitter = Literal["official", "smart"]
SPLITTERS = ("official", "smart")

_SHORTEST = 3
_ABBREVIATIONS = (
    "mr mrs ms dr prof st sr jr vs etc e.g i.e eg ie a.m p.m am pm no approx fig inc ltd co u.s u.k cf al dept est".split()
)
# A full stop, '!', '?' or ellipsis that white space or the end follows, with closing quotes taken along.
_END = re.compile(r"(?:\.{3,}|[.!?]+)[\"')\]]*(?=\s|$)")
_LIST_NUMBER = re.compile(r"^(?:\(?\d{1,2}[.)]|[-*\u2022])\s+")


def split_sentences(text: str, splitter: Splitter = "official") -> list[str]:
    """The sentences of a caption in order, without their full stops' neighbours' blanks.

    Args:
        text: a caption.
        splitter: 'official' cuts where DreamLIP's code does: at every line break, literal `</s>` and full stop, so
            that '3.50' gives '3' and '50'. 'smart' cuts at the ends of sentences: it leaves decimals, initials,
            abbreviations, addresses and ellipses whole, cuts at '!' and '?' as well, and drops list numbers and
            fragments below 3 characters.
    """
    if splitter == "official":
        return [part.strip() for part in re.split(r"\n|</s>|\.", text) if part.strip()]
    parts = [sentence for line in re.split(r"\n|</s>", text) for sentence in _split_line(_LIST_NUMBER.sub("", line.strip()))]
    return [part for part in parts if len(part) >= _SHORTEST]


def _split_line(line: str) -> list[str]:
    sentences, start = [], 0
    for end in _END.finditer(line):
        rest = line[end.end() :].lstrip()
        if rest and not _ends_sentence(line[start : end.start()], end.group(), rest):
            continue
        sentences.append(line[start : end.end()].strip().rstrip("."))
        start = end.end()
    return [*sentences, line[start:].strip()]


def _ends_sentence(before: str, mark: str, rest: str) -> bool:
    """Whether a mark within a line ends a sentence: a new one begins with a capital, a digit or a quote."""
    if not (rest[0].isupper() or rest[0].isdigit() or rest[0] in "\"'("):
        return False
    word = before.rsplit(None, 1)[-1].lower().lstrip("\"'(") if before.split() else ""
    if not mark.startswith(".") or mark.startswith("..."):
        return True
    is_initial = re.fullmatch(r"(?:[a-z]\.)*[a-z]", word) is not None
    return word not in _ABBREVIATIONS and not is_initial
