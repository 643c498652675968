"""Pairs of tags: the frames that have both, such as rain in a tunnel.

A pair is worse only if it is worse than the other frames of each of its two tags: if all rain is
bad, rain in a tunnel is not news. So its p-value is the larger of the two comparisons
(the intersection-union test: Berger, Technometrics 1982).

A pair has few frames, and mAP varies much on few frames. So pairs are compared by recall and by
precision at the operating score: the difference of two ratios of sums over frames over its standard
error, of first order, one-sided and normal. The smaller p-value of the two measures counts, twice
(Bonferroni).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np

from services.domain.arrays import BoolArray, FloatArray
from services.domain.statistics.significance import normal_p_value

Tag = tuple[str, str]
"""A key and its value, such as weather and rain."""
Pair = tuple[Tag, Tag]
_CHUNK: Final = 100_000


@dataclass(frozen=True)
class Ratio:
    """A share as a ratio of sums over frames: (F,) parts and (F,) wholes."""

    parts: FloatArray
    wholes: FloatArray


def p_values_of_pairs(
    members: Mapping[Tag, BoolArray], measures: Sequence[Ratio], fewest_frames: int
) -> dict[Pair, float]:
    """The p-value of each pair of tags with different keys; a small one means worse.

    Parameters
    ----------
    members : (F,) bool by frame number, the frames of each tag
    measures : the higher, the better
    fewest_frames : that have both tags, that lack one of them, and that lack the other
    """
    tags = sorted(members)
    if not tags:
        return {}
    rows = [members[tag] for tag in tags]
    frames = _sums_of_pairs(rows, [np.ones(rows[0].size)])[0]
    sums = [_sums_of_pairs(rows, _moments(ratio)) for ratio in measures]
    found = {}
    for first, second in combinations(range(len(tags)), 2):
        both = frames[first, second]
        alone = min(frames[first, first], frames[second, second]) - both
        if tags[first][0] == tags[second][0] or min(both, alone) < fewest_frames:
            continue
        p_values = [
            max(
                _p_value(
                    sums_of_pairs[:, first, second],
                    sums_of_pairs[:, k, k] - sums_of_pairs[:, first, second],
                )
                for k in (first, second)
            )
            for sums_of_pairs in sums
        ]
        found[tags[first], tags[second]] = min(1.0, len(sums) * min(p_values))
    return found


def _moments(ratio: Ratio) -> list[FloatArray]:
    """(F,) each: what the ratio on some frames and its variance are sums of."""
    parts, wholes = ratio.parts, ratio.wholes
    return [parts, wholes, parts**2, parts * wholes, wholes**2]


def _sums_of_pairs(members: Sequence[BoolArray], values: Sequence[FloatArray]) -> FloatArray:
    """(V, T, T), the sum of each value over the frames that have both tags."""
    sums = np.zeros((len(values), len(members), len(members)))
    for first in range(0, values[0].size, _CHUNK):
        chunk = slice(first, first + _CHUNK)
        rows = np.stack([member[chunk] for member in members]).astype(np.float64)
        for k, value in enumerate(values):
            sums[k] += (rows * value[chunk]) @ rows.T
    return sums


def _p_value(values: FloatArray, base: FloatArray) -> float:
    """One-sided, of a ratio that is not below that of other frames; both as sums of moments."""
    if not values[1] or not base[1]:
        return 1.0
    difference = values[0] / values[1] - base[0] / base[1]
    variance = _variance(values) + _variance(base)
    if difference >= 0 or variance <= 0:
        return 1.0
    return normal_p_value(float(difference / np.sqrt(variance))) / 2


def _variance(sums: FloatArray) -> float:
    """Of the ratio of two sums over frames, of first order."""
    parts, wholes, squares, products, wholes_squares = sums
    ratio = parts / wholes
    return float((squares - 2 * ratio * products + ratio**2 * wholes_squares) / wholes**2)
