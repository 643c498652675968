"""Compares two versions of a detector on the frames that both processed."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from services.contracts.identity import Category, DetectorId, FamilyId, FrameId, NeedleId
from services.contracts.matches import CategoryMatched
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.ap_changes import ApChanges, ap_changes
from services.domain.metrics.failure_changes import (
    FailureChange,
    FailureGroup,
    GroupedFailures,
    failure_changes,
    failures_of,
    grouped_failures,
)
from services.domain.metrics.failure_worth import CategoryDetections
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.slices import TaggedFrames


@dataclass(frozen=True)
class Version:
    """One version's matches on the frames that both processed.

    Attributes
    ----------
    families : of its needles that have one
    """

    detector: DetectorId
    matches: Sequence[CategoryMatched]
    families: Mapping[NeedleId, FamilyId] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """What changed from one version to the next.

    Attributes
    ----------
    frames : how many both processed
    worth : by group, the AP of its category that the change of its false positives is worth
    """

    old: DetectorId
    new: DetectorId
    frames: int
    ap: ApChanges
    failures: Sequence[FailureChange]
    worth: Mapping[FailureGroup, float]


def compared(
    old: Version, new: Version, frames: Collection[FrameId], operating: OperatingScores
) -> Comparison:
    """Compare two versions.

    Parameters
    ----------
    frames : all frames that both processed; some may be without a match
    operating : from which scores on detections count as failures, and in precision and recall
    """
    state, tagged = MatchState(operating), TaggedFrames()
    for version in (old, new):
        state.add(version.matches)
        for match in version.matches:
            tagged.put(match.frame_id, match.tags)
    groups = grouped_failures(
        *(failures_of(one.matches, operating, one.families) for one in (old, new))
    )
    return Comparison(
        old.detector,
        new.detector,
        len(frames),
        ap_changes(state, (old.detector, new.detector), tagged.frames, operating),
        failure_changes(groups),
        _worth(old, new, groups),
    )


def _worth(
    old: Version, new: Version, groups: Mapping[FailureGroup, GroupedFailures]
) -> dict[FailureGroup, float]:
    before, after = (_detections(version.matches) for version in (old, new))
    return {
        group: before[group.category].gain_without(failures.fixed)
        - after[group.category].gain_without(failures.added)
        for group, failures in groups.items()
    }


def _detections(
    matches: Sequence[CategoryMatched],
) -> defaultdict[Category, CategoryDetections]:
    by_category: defaultdict[Category, list[CategoryMatched]] = defaultdict(list)
    for match in matches:
        by_category[match.category].append(match)
    found = {category: CategoryDetections.of(matches) for category, matches in by_category.items()}
    return defaultdict(lambda: CategoryDetections.of(()), found)
