"""The AP of two detector versions on the same frames: in all, per category and per slice.

Intervals are of paired differences under common frame weights (`resampling`). A category or a slice
changed if its paired difference is significant at 5% after Holm's correction, over all categories,
and apart from them over all slices.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.contracts.identity import Category, DetectorId, FrameId
from services.domain.arrays import BoolArray
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.average_precision import twelve
from services.domain.metrics.changes import Change, significant_changes
from services.domain.metrics.match_snapshot import MIN_FRAMES, MatchSnapshot
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.slice_pairs import Tag
from services.domain.metrics.slices import ranked_slices
from services.domain.metrics.subsets import Subset
from services.domain.statistics.map_difference import version_difference
from services.domain.statistics.resampling import Interval, Sample, difference


@dataclass(frozen=True)
class ApChange:
    """AP, or mAP, of both versions.

    Attributes
    ----------
    old, new : None where there is no ground truth
    difference : new minus old
    p_value : of no difference, before the correction; None if too few frames have ground truth
    """

    old: float | None
    new: float | None
    difference: Interval | None
    p_value: float | None
    change: Change


@dataclass(frozen=True)
class SliceChange:
    """The frames with one tag, of those that both versions processed.

    A slice is fixed if it is better, and was worse than all other frames but is not any more;
    broken is the opposite.
    """

    tag: Tag
    frames: int
    ap: ApChange


@dataclass(frozen=True)
class ApChanges:
    """All of them."""

    overall: ApChange
    categories: Mapping[Category, ApChange]
    slices: Sequence[SliceChange]


NOWHERE: Final = ApChanges(ApChange(None, None, None, None, Change.SAME), {}, ())
"""Without a match of either version."""


def ap_changes(
    state: MatchState,
    versions: tuple[DetectorId, DetectorId],
    tagged: Mapping[Tag, Collection[FrameId]],
    operating: OperatingScores,
) -> ApChanges:
    """Compare the old and the new version.

    Parameters
    ----------
    state : the matches of both on the frames that both processed, and no others
    tagged : the frames of each tag
    """
    snapshot = state.snapshot()
    old, new = (_samples(snapshot, version) for version in versions)
    names = sorted(old.keys() & new.keys())
    pairs = [(new[name], old[name]) for name in names]
    if not pairs:
        return NOWHERE
    all_frames: BoolArray = np.ones(snapshot.vehicle.size, np.bool_)
    return ApChanges(
        _overall(state, versions, pairs, all_frames),
        _categories(state, versions, dict(zip(names, pairs, strict=True)), all_frames),
        _slices(
            pairs,
            state.members(tagged),
            (operating.by_category(versions[1], names), operating.by_category(versions[0], names)),
        ),
    )


def _samples(snapshot: MatchSnapshot, version: DetectorId) -> dict[Category, Sample]:
    return {
        category: sample for (name, category), sample in snapshot.samples.items() if name == version
    }


def _overall(
    state: MatchState,
    versions: tuple[DetectorId, DetectorId],
    pairs: Sequence[tuple[Sample, Sample]],
    all_frames: BoolArray,
) -> ApChange:
    old, new = (twelve(state.of(version, Subset.ALL).values())["AP"] for version in versions)
    found = difference([new for new, _ in pairs], [old for _, old in pairs], all_frames.size)
    gain, p_value = version_difference(pairs, all_frames)
    (significant,) = significant_changes([p_value])
    return ApChange(
        old, new, found, p_value, Change.of(gain, significant=significant, problem=(True, True))
    )


def _categories(
    state: MatchState,
    versions: tuple[DetectorId, DetectorId],
    pairs: Mapping[Category, tuple[Sample, Sample]],
    all_frames: BoolArray,
) -> dict[Category, ApChange]:
    before, after = (state.of(version, Subset.ALL) for version in versions)
    tests = {name: _tested(pair, all_frames) for name, pair in pairs.items()}
    significant = significant_changes([p_value for _, p_value in tests.values()])
    return {
        name: ApChange(
            before[name].average_precision,
            after[name].average_precision,
            None
            if p_value is None
            else difference([pairs[name][0]], [pairs[name][1]], all_frames.size),
            p_value,
            Change.of(gain, significant=is_significant, problem=(True, True)),
        )
        for (name, (gain, p_value)), is_significant in zip(tests.items(), significant, strict=True)
    }


def _tested(pair: tuple[Sample, Sample], all_frames: BoolArray) -> tuple[float, float | None]:
    """The gain and its p-value; None where too few frames have ground truth."""
    if np.count_nonzero(pair[0].truths) < MIN_FRAMES:
        return 0.0, None
    return version_difference([pair], all_frames)


def _slices(
    pairs: Sequence[tuple[Sample, Sample]],
    members: Mapping[Tag, BoolArray],
    operating: tuple[Sequence[float], Sequence[float]],
) -> list[SliceChange]:
    """What changed in each slice; samples and their operating scores are new, then old."""
    new, old = ([pair[side] for pair in pairs] for side in (0, 1))
    before, after = (
        {p.tag: p for p in ranked_slices(samples, members, scores) if p.and_tag is None}
        for samples, scores in ((old, operating[1]), (new, operating[0]))
    )
    tags = sorted(before.keys() & after.keys())
    tests = [version_difference(pairs, members[tag]) for tag in tags]
    significant = significant_changes([p_value for _, p_value in tests])
    found = []
    for tag, (gain, p_value), is_significant in zip(tags, tests, significant, strict=True):
        frames = members[tag]
        sides = [[sample.on(frames) for sample in samples] for samples in (new, old)]
        maps = [None if part.map is None else part.map.value for part in (before[tag], after[tag])]
        problem = (before[tag].worse, after[tag].worse)
        change = Change.of(gain, significant=is_significant, problem=problem)
        interval: Interval | None = difference(sides[0], sides[1], frames.size)
        ap = ApChange(maps[0], maps[1], interval, p_value, change)
        found.append(SliceChange(tag, before[tag].frames, ap))
    return sorted(found, key=lambda part: (part.ap.change is Change.SAME, part.tag))
