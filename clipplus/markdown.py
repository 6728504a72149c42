"""Tables in Markdown, aligned so that they can be read in a log or a terminal as well."""

import statistics
from collections.abc import Iterable, Sequence


def markdown_table(lines: Iterable[Sequence[str]]) -> str:
    """The first line is the head; the first column is aligned to the left, all others to the right."""
    rows = [list(line) for line in lines]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    texts = []
    for first, *others in (rows[0], rule, *rows[1:]):
        aligned = [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        texts.append(f"| {' | '.join([first.ljust(widths[0]), *aligned])} |")
    return "\n".join(texts)


def mean_and_deviation(values: Sequence[float], sign: str = "") -> str:
    """`mean ± sample standard deviation`, with two decimals; without deviation for a single value.

    Args:
        values: at least one.
        sign: '+' writes the sign of positive means as well.
    """
    mean = f"{statistics.fmean(values):{sign}.2f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.2f}"
