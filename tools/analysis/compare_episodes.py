"""Compare two few-shot results on the same episodes: is one matcher or head better than another?

    python tools/test.py CONFIG_A CHECKPOINT_A --dump a.jsonl
    python tools/test.py CONFIG_B CHECKPOINT_B --dump b.jsonl
    python tools/analysis/compare_episodes.py a.jsonl b.jsonl
    python tools/analysis/compare_episodes.py a.jsonl b.jsonl --names "mean pool" OTAM --per-class --json RESULT.json
    python tools/analysis/compare_episodes.py a.jsonl a.jsonl --modes few_shot combine

A dump has one JSON object per episode and line, as `FewShotAccuracy` makes them. Both must be of the same test: equal
list, split, way, shots, queries, seed and num_episodes, so that episode 17 has the same videos on both sides; that is
checked, video by video. Methods, matchers, weights and modes may differ.

Episodes are paired by their number; whatever is easy or hard for both sides drops out of the difference, which makes
its interval narrower than those of the two accuracies. The table shows B - A in percentage points with its 95 %
interval. Significance is that of an exact sign-flip test (a paired permutation test), which supposes no distribution:
if A and B were equally good, each episode's difference would be as likely as its negative; p is how often random signs
would add up to at least as much, in either direction. A small p (below 0.05, say) means that other episodes of these
videos would agree, not that other videos or classes would.

Exit code 2, and one line, for files that cannot be compared.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clipplus.checkpoints.atomic import written_aside
from clipplus.few_shot_video.paired_comparison import PairedComparison, compare_paired

Records = list[dict[str, Any]]

#: Without these nobody could tell whether two episodes are the same.
_SAYS_WHICH = ("way_class", "query_class", "support_video", "query_video")


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a", type=Path, metavar="A.jsonl", help="episodes of the one result (tools/test.py --dump)")
    parser.add_argument("b", type=Path, metavar="B.jsonl", help="episodes of the other; differences are B - A")
    parser.add_argument("--names", nargs=2, metavar=("A", "B"), help="what to call them (default: the file names)")
    parser.add_argument("--modes", nargs=2, default=("few_shot", "few_shot"), metavar=("A", "B"),
                        help="which predictions to compare: few_shot, text or combine")  # fmt: skip
    parser.add_argument("--set", dest="set_name", help="which set of the dumps; needed where they have several")
    parser.add_argument("--per-class", action="store_true", help="print the difference for every class")
    parser.add_argument("--json", type=Path, help="write the numbers here as well")
    return parser.parse_args(argv)


def read_dump(path: Path, set_name: str | None) -> Records:
    """The episodes of one set.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a line that is no record of an episode or does not say of which videos, an episode that occurs
            twice, no episodes, or a set that is missing or has to be named.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: write it with tools/test.py --dump")
    records: Records = []
    line_of: dict[tuple[str, int], int] = {}
    for number, line in enumerate(_lines(path), start=1):
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} line {number} is no JSON: {error}") from error
        known = isinstance(record, dict) and {"sample_id", "label", "predicted"} <= record.keys()
        if not known or not isinstance(record["sample_id"], int):
            raise ValueError(f"{path} line {number} is no episode of a FewShotAccuracy: {line[:80]}")
        missing = [field for field in _SAYS_WHICH if field not in record]
        if missing:
            raise ValueError(
                f"{path} line {number} has no {', '.join(missing)}: which videos the episode is made of cannot be "
                "compared; write the dump anew from an EpisodeDataset"
            )
        key = (str(record.get("set", "")), int(record["sample_id"]))
        if line_of.setdefault(key, number) != number:
            raise ValueError(f"{path} line {number} repeats episode {key[1]} of line {line_of[key]}: two dumps in one?")
        records.append(record)
    if not records:
        raise ValueError(f"{path} holds no episodes")
    known = sorted({str(record.get("set", "")) for record in records})
    if set_name is None and len(known) > 1:
        raise ValueError(f"{path} has the sets {', '.join(known)}: choose one with --set")
    if set_name is not None and set_name not in known:
        raise ValueError(f"{path} has no set '{set_name}', only {', '.join(known)}")
    return [record for record in records if set_name in (None, record.get("set", ""))]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text file: {error}") from error


def class_names(records: Records) -> dict[int, str]:
    """Names by class id, as far as the records give them."""
    return {
        number: name
        for record in records
        for number, name in zip(record.get("way_class", ()), record.get("way_name", ()), strict=False)
    }


def report(result: PairedComparison, names: Sequence[str], classes: dict[int, str] | None = None) -> str:
    """Markdown: the accuracies, the difference and its significance; with `classes` also a table by class."""
    first, second = names
    certainty = "< 1e-12" if result.p_value == 0 else f"= {result.p_value:.2g}"
    lines = [
        f"| {result.episodes} episodes | accuracy (%) |",
        "|---|---|",
        f"| {first} | {result.accuracy_a:.2f} |",
        f"| {second} | {result.accuracy_b:.2f} |",
        f"| {second} - {first} | {result.difference:+.2f} ± {result.ci95:.2f} |",
        "",
        f"{second} is better in {result.better} episodes and worse in {result.worse}; p {certainty} (exact sign-flip "
        f"test, two-sided, over episodes). Without pairing the interval would be ± {result.unpaired_ci95:.2f}.",
    ]
    if classes is not None:
        lines += ["", f"| class | {second} - {first} |", "|---|---|"]
        by_gain = sorted(result.class_difference.items(), key=lambda item: (-item[1], item[0]))
        lines += [f"| {classes.get(number, number)} | {gain:+.2f} |" for number, gain in by_gain]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> PairedComparison:
    """Compare, print, and write what was asked for."""
    arguments = parse_arguments(argv)
    a, b = (read_dump(path, arguments.set_name) for path in (arguments.a, arguments.b))
    try:
        result = compare_paired(a, b, *arguments.modes)
    except ValueError as error:
        raise ValueError(f"{arguments.a} and {arguments.b}: {error}") from error
    names = arguments.names or (arguments.a.stem, arguments.b.stem)
    if arguments.names is None and names[0] == names[1]:
        names = tuple(arguments.modes) if arguments.a == arguments.b else (str(arguments.a), str(arguments.b))
    print(report(result, names, class_names(a) if arguments.per_class else None))
    if arguments.json:
        with written_aside(arguments.json) as partial:
            content = {"a": names[0], "b": names[1], **dataclasses.asdict(result)}
            partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return result


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as problem:
        sys.stderr.write(f"error: {problem}\n")
        sys.exit(2)
