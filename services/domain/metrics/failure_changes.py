"""The failures of two detector versions on the same frames, by family, and what became of them.

Failures count from the operating score on. A failure of the new version at the place of an old one
(same frame, category and failure mode, IoU .5) belongs to the old one's family. Needles of the new
version that have such a place bring the rest of their own family with them; the others are of a
family that is new. Failures without a family, such as missed objects, form one group per category
and failure mode.

A group is tested by the frames on which the versions have different numbers of its failures: if
nothing changed, each is as likely to have fewer as more (the sign test, exact).
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from services.contracts.events import ErrorType
from services.contracts.identity import Box, Category, FamilyId, FrameId, NeedleId, RegionId
from services.contracts.identity import needle_id as needle_id_of
from services.contracts.matches import CategoryMatched
from services.domain.detection.boxes import iou_matrix
from services.domain.detection.operating_scores import OperatingScores
from services.domain.failure_modes import FailureMode
from services.domain.metrics.changes import Change, significant_changes
from services.domain.statistics.resampling import Interval
from services.domain.statistics.significance import sign_test_p_value, wilson_interval

MIN_CHANGED: Final = 6
"""Changed frames from which a group is tested: with five, the smallest p-value is .0625."""
_SAME_PLACE: Final = 0.5
_MISSED: Final = FailureMode(ErrorType.MISSED)


class FailureGroup(NamedTuple):
    """A family, or the failures of one mode that are of no family."""

    category: Category
    mode: FailureMode
    family: FamilyId | None = None


class Failure(NamedTuple):
    """One failure of a detector version.

    Attributes
    ----------
    region, bbox : of a false positive; None for a missed object
    """

    frame_id: FrameId
    group: FailureGroup
    region: RegionId | None = None
    bbox: Box | None = None


@dataclass(frozen=True)
class GroupedFailures:
    """The failures of both versions that belong to one group.

    Attributes
    ----------
    fixed, added : the regions of false positives that only the old, or only the new version has
    """

    old: Sequence[Failure]
    new: Sequence[Failure]
    fixed: frozenset[RegionId]
    added: frozenset[RegionId]


@dataclass(frozen=True)
class FailureChange:
    """What became of a group of failures.

    Attributes
    ----------
    old, new : the numbers of failures
    improved, worsened : the frames with fewer failures than before, and with more
    improved_share : of the changed frames; None if there are none
    p_value : of no change, before the correction; None if too few frames changed
    """

    group: FailureGroup
    old: int
    new: int
    improved: tuple[FrameId, ...]
    worsened: tuple[FrameId, ...]
    improved_share: Interval | None
    p_value: float | None
    change: Change


def failures_of(
    matches: Iterable[CategoryMatched],
    operating: OperatingScores,
    families: Mapping[NeedleId, FamilyId],
) -> list[Failure]:
    """The failures in a detector's matches.

    Parameters
    ----------
    families : of the needles that have one
    """
    found: list[Failure] = []
    for match in matches:
        hits, least = 0, operating.of(match.detector, match.category)
        columns = (match.regions, match.bboxes, match.scores, match.errors, match.true_categories)
        for k, (region, bbox, score, error, truth) in enumerate(zip(*columns, strict=True)):
            if score < least:
                continue
            hits += match.matched[k] & ~match.ignored[k] & 1
            if error is not None:
                family = families.get(needle_id_of(region))
                group = FailureGroup(match.category, FailureMode.of(error, truth), family)
                found.append(Failure(match.frame_id, group, region, bbox))
        missed = Failure(match.frame_id, FailureGroup(match.category, _MISSED))
        found += [missed] * (match.ground_truths[0] - hits)
    return found


def grouped_failures(
    old: Sequence[Failure], new: Sequence[Failure]
) -> dict[FailureGroup, GroupedFailures]:
    """The failures of both versions, by group."""
    partners = _partners(old, new)
    group_of = _groups_of_new(old, new, partners)
    groups: defaultdict[FailureGroup, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for i, failure in enumerate(old):
        groups[failure.group][0].append(i)
    for j, group in enumerate(group_of):
        groups[group][1].append(j)
    remaining = set(partners.values())
    return {
        group: GroupedFailures(
            [old[i] for i in before],
            [new[j] for j in after],
            _regions(old[i] for i in before if i not in remaining),
            _regions(new[j] for j in after if j not in partners),
        )
        for group, (before, after) in groups.items()
    }


def failure_changes(groups: Mapping[FailureGroup, GroupedFailures]) -> list[FailureChange]:
    """What became of each group: the significant changes first, then the largest."""
    counted = [(group, failures, _moved(failures)) for group, failures in groups.items()]
    p_values = [_p_value(improved, worsened) for _, _, (improved, worsened) in counted]
    changes = [
        FailureChange(
            group,
            len(failures.old),
            len(failures.new),
            improved,
            worsened,
            _share(improved, worsened),
            p_value,
            Change.of(
                len(improved) - len(worsened),
                significant=significant,
                problem=(bool(failures.old), bool(failures.new)),
            ),
        )
        for (group, failures, (improved, worsened)), p_value, significant in zip(
            counted, p_values, significant_changes(p_values), strict=True
        )
    ]
    return sorted(changes, key=_importance)


def _importance(change: FailureChange) -> tuple[object, ...]:
    moved = len(change.improved) + len(change.worsened)
    category, mode, family = change.group
    names = (category, mode.error, mode.true_category or "", family or "")
    return (change.change is Change.SAME, -abs(change.new - change.old), -moved, *names)


def _partners(old: Sequence[Failure], new: Sequence[Failure]) -> dict[int, int]:
    """By index in `new`, the index in `old` of the failure at the same place."""
    places: defaultdict[object, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for side, failures in enumerate((old, new)):
        for i, failure in enumerate(failures):
            if failure.bbox is not None:
                key = (failure.frame_id, failure.group.category, failure.group.mode)
                places[key][side].append(i)
    found: dict[int, int] = {}
    for before, after in places.values():
        if before and after:
            boxes = [
                np.array([failures[i].bbox for i in indices])
                for failures, indices in ((old, before), (new, after))
            ]
            overlaps = iou_matrix(boxes[1], boxes[0], np.zeros(len(before), np.bool_))
            for j, i in _matched_pairs(overlaps):
                found[after[j]] = before[i]
    return found


def _matched_pairs(overlaps: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of a row and a column that overlap enough, largest first; each is used at most once."""
    pairs: list[tuple[int, int]] = []
    left = overlaps.copy()
    while left.size and left.max() >= _SAME_PLACE:
        row, column = divmod(int(left.argmax()), left.shape[1])
        pairs.append((row, column))
        left[row] = left[:, column] = -1
    return pairs


def _groups_of_new(
    old: Sequence[Failure], new: Sequence[Failure], partners: Mapping[int, int]
) -> list[FailureGroup]:
    """The group of each failure of the new version, by the old version's groups where it can."""
    votes: defaultdict[FailureGroup, Counter[FailureGroup]] = defaultdict(Counter)
    for j, i in partners.items():
        votes[new[j].group][old[i].group] += 1
    known = {group: min(counts, key=_most_common(counts)) for group, counts in votes.items()}
    return [
        old[partners[j]].group if j in partners else known.get(failure.group, failure.group)
        for j, failure in enumerate(new)
    ]


def _most_common(votes: Counter[FailureGroup]) -> Callable[[FailureGroup], tuple[int, str]]:
    # By name among equals, so that the order of failures does not matter.
    return lambda group: (-votes[group], group.family or "")


def _regions(failures: Iterable[Failure]) -> frozenset[RegionId]:
    return frozenset(failure.region for failure in failures if failure.region is not None)


def _moved(failures: GroupedFailures) -> tuple[tuple[FrameId, ...], tuple[FrameId, ...]]:
    """The frames with fewer, and with more failures in the new version."""
    before = Counter(failure.frame_id for failure in failures.old)
    after = Counter(failure.frame_id for failure in failures.new)
    return tuple(sorted(before - after)), tuple(sorted(after - before))


def _p_value(improved: Sequence[FrameId], worsened: Sequence[FrameId]) -> float | None:
    changed = len(improved) + len(worsened)
    return None if changed < MIN_CHANGED else sign_test_p_value(len(improved), changed)


def _share(improved: Sequence[FrameId], worsened: Sequence[FrameId]) -> Interval | None:
    changed = len(improved) + len(worsened)
    if not changed:
        return None
    share = len(improved) / changed
    return Interval(share, *wilson_interval(share, changed))
