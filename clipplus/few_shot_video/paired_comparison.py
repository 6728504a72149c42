"""Two results on the same episodes, compared episode by episode.

Shape letters of this file: N episodes.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

#: What must be equal for two records to be of the same episode; whichever of them both records have.
_SAME = ("label", "way_class", "query_class", "support_video", "query_video")


@dataclass(frozen=True)
class PairedComparison:
    """How the accuracy of b differs from that of a; percent and percentage points.

    Attributes:
        episodes: how many there are.
        accuracy_a, accuracy_b: means over episodes.
        difference: b - a.
        ci95: half the width of the 95 % interval of the difference.
        unpaired_ci95: what the interval would be if the episodes were not the same.
        better, worse: episodes in which b has more, and fewer, right queries than a.
        p_value: of `sign_flip_p_value`.
        class_difference: b - a by class id; empty where the records know no classes.
    """

    episodes: int
    accuracy_a: float
    accuracy_b: float
    difference: float
    ci95: float
    unpaired_ci95: float
    better: int
    worse: int
    p_value: float
    class_difference: dict[int, float]


def sign_flip_p_value(differences: Int[np.ndarray, " N"]) -> float:
    """How often differences of random signs would add up to at least as much, in either direction; exact.

    Under the null hypothesis that two methods are exchangeable in every episode, each difference is as likely as its
    negative. The distribution of the sum of +-d over all 2^N choices of signs has the characteristic function
    prod cos(d t); one Fourier transform turns it into probabilities.

    Args:
        differences: (N,) whole numbers, right queries of one method minus those of the other.

    Returns:
        1 without any difference. Rounding leaves about 1e-13: smaller values are reported as 0.
    """
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    reach = int((sizes * counts).sum())
    if reach == 0:
        return 1.0
    # Sums lie in -reach..reach: so many points tell all of them apart.
    points = 2 * reach + 1
    angles = 2 * np.pi * np.arange(points) / points
    characteristic = np.ones(points)
    for size, count in zip(sizes, counts, strict=True):
        characteristic *= np.cos(size * angles) ** count
    probability = np.fft.fft(characteristic).real / points
    sums = np.arange(points)
    sums = np.minimum(sums, points - sums)
    p_value = float(probability[sums >= abs(int(differences.sum()))].sum())
    return 0.0 if p_value < 1e-12 else min(p_value, 1.0)


def compare_paired(
    a: Sequence[Mapping[str, Any]], b: Sequence[Mapping[str, Any]], mode_a: str = "few_shot", mode_b: str = "few_shot"
) -> PairedComparison:
    """Compare two lists of records, as `FewShotAccuracy.predictions` holds them.

    Args:
        a: records of one result.
        b: records of the other on the same episodes, in any order.
        mode_a: which prediction of `a` to count.
        mode_b: which of `b`; another mode of the same records may be the other side.

    Raises:
        ValueError: no records, an episode that occurs twice, other episodes, episodes made of other videos or classes,
            or a mode without predictions; names the first.
    """
    pairs = _matched(a, b)
    right_a = np.array([_right(record, mode_a) for record, _ in pairs])
    right_b = np.array([_right(record, mode_b) for _, record in pairs])
    queries = np.array([len(record["label"]) for record, _ in pairs])
    share_a, share_b = 100 * right_a / queries, 100 * right_b / queries
    # In units that make the shares of episodes of any size whole numbers.
    unit = math.lcm(*queries.tolist()) // queries
    difference = share_b - share_a
    return PairedComparison(
        episodes=len(pairs),
        accuracy_a=float(share_a.mean()),
        accuracy_b=float(share_b.mean()),
        difference=float(difference.mean()),
        ci95=_half_width(difference),
        unpaired_ci95=math.hypot(_half_width(share_a), _half_width(share_b)),
        better=int((right_b > right_a).sum()),
        worse=int((right_b < right_a).sum()),
        p_value=sign_flip_p_value((right_b - right_a) * unit),
        class_difference=_class_difference(pairs, mode_a, mode_b),
    )


def _half_width(values: Float[np.ndarray, " N"]) -> float:
    return 1.96 * float(values.std()) / math.sqrt(len(values))


def _matched(
    a: Sequence[Mapping[str, Any]], b: Sequence[Mapping[str, Any]]
) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Records of the same episode, by ascending id."""
    by_id_a, by_id_b = (_by_id(records) for records in (a, b))
    if not by_id_a or not by_id_b:
        raise ValueError(f"nothing to compare: {len(by_id_a)} and {len(by_id_b)} episodes")
    alone = sorted(by_id_a.keys() ^ by_id_b.keys())
    if alone:
        raise ValueError(
            f"the results have {len(by_id_a)} and {len(by_id_b)} episodes, and {len(alone)} are in one of them only "
            f"(the first is episode {alone[0]}): evaluate both with the same num_episodes"
        )
    pairs = [(by_id_a[number], by_id_b[number]) for number in sorted(by_id_a)]
    for record_a, record_b in pairs:
        other = next(
            (key for key in _SAME if key in record_a and key in record_b and record_a[key] != record_b[key]), ""
        )
        if other:
            raise ValueError(
                f"episode {record_a['sample_id']} is not the same in both: {other} is {record_a[other]} and "
                f"{record_b[other]}; evaluate both with the same list, way, shots, queries and seed"
            )
    return pairs


def _by_id(records: Sequence[Mapping[str, Any]]) -> dict[int, Mapping[str, Any]]:
    by_id = {int(record["sample_id"]): record for record in records}
    if len(by_id) < len(records):
        twice = Counter(int(record["sample_id"]) for record in records).most_common(1)[0][0]
        raise ValueError(f"episode {twice} occurs more than once in a result")
    return by_id


def _predicted(record: Mapping[str, Any], mode: str) -> list[int]:
    predicted = record["predicted"]
    if mode not in predicted:
        raise ValueError(f"episode {record['sample_id']} has no predictions of mode '{mode}', only {sorted(predicted)}")
    return list(predicted[mode])


def _right(record: Mapping[str, Any], mode: str) -> int:
    return sum(p == t for p, t in zip(_predicted(record, mode), record["label"], strict=True))


def _class_difference(
    pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], mode_a: str, mode_b: str
) -> dict[int, float]:
    gained: dict[int, int] = {}
    asked: dict[int, int] = {}
    for a, b in pairs:
        rows = zip(
            a.get("query_class", ()), _predicted(a, mode_a), _predicted(b, mode_b), a["label"], strict=False
        )  # fmt: skip
        for number, by_a, by_b, label in rows:
            asked[number] = asked.get(number, 0) + 1
            gained[number] = gained.get(number, 0) + (by_b == label) - (by_a == label)
    return {number: 100 * gained[number] / asked[number] for number in sorted(asked)}
