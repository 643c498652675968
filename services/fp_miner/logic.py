"""The miner's rules: from a frame's record to its matches and needles."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.contracts import identity
from services.contracts.events import (
    ErrorType,
    FrameAnnotated,
    FrameCaptured,
    PredictionsMade,
    Split,
)
from services.contracts.identity import Category
from services.contracts.matches import (
    CategoryMatched,
    FrameMatched,
    MatchGroups,
    MatchRevisions,
    categories_of,
)
from services.contracts.missed import MissedAnnotations
from services.contracts.needles import NeedleFound, NeedleRetracted
from services.domain.derived_tags import tags_of
from services.domain.detection.category_map import SAME_NAMES, CategoryMap
from services.domain.detection.frame_matching import frame_matches, matched_groups
from services.domain.detection.missed import missed_annotations
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.counting import NotCounted, why_not_counted
from services.domain.ports.frames import FrameRecord, Pair
from services.domain.ports.matches import KnownCategories
from services.domain.ports.shortlists import NOT_SHORTLISTED, Membership
from services.domain.reannotation import is_reannotated
from services.domain.splits import SplitRule


@dataclass(frozen=True)
class MatchedFrame:
    """A frame with all parts that matching needs, and what decides where its matches count."""

    captured: FrameCaptured
    ground_truth: FrameAnnotated
    predictions: PredictionsMade
    membership: Membership
    category_map: CategoryMap = SAME_NAMES
    is_copy: bool = False
    left_out: NotCounted | None = None

    @property
    def revisions(self) -> MatchRevisions:
        """Those of the parts on which the match depends; none of them ever decreases."""
        # A frame may be found to be a copy after it was matched; it then stays one.
        membership = self.membership.version + self.is_copy
        return MatchRevisions(
            truth=self.ground_truth.revision,
            predictions=self.predictions.revision,
            membership=membership,
            categories=self.category_map.revision,
        )


def complete_frames(
    records: Iterable[FrameRecord],
    memberships: Mapping[Pair, Membership],
    *,
    count_copies: bool = False,
) -> list[MatchedFrame]:
    """The (frame, detector) pairs whose image, ground truth and predictions are all known."""
    return [
        MatchedFrame(
            captured=record.captured,
            ground_truth=record.ground_truth,
            predictions=predictions,
            membership=memberships.get((record.frame_id, detector), NOT_SHORTLISTED),
            category_map=record.category_map(detector),
            is_copy=record.is_copy,
            left_out=why_not_counted(
                record.ground_truth, predictions, copy=record.is_copy and not count_copies
            ),
        )
        for record in records
        if record.captured is not None and record.ground_truth is not None
        for detector, predictions in record.predictions.items()
    ]


def matches_of(
    frames: Sequence[MatchedFrame], rule: SplitRule, operating: OperatingScores
) -> list[FrameMatched]:
    """The match of a detector on each frame.

    An annotation that only detections below their operating score find counts as missed.

    A frame that does not count has no groups: with its vanished categories, it retracts its
    needles and removes it from mAP.
    """
    counting = [frame for frame in frames if frame.left_out is None]
    groups = iter(_groups(counting, operating))
    return [
        _match(frame, rule, next(groups) if frame.left_out is None else MatchGroups())
        for frame in frames
    ]


def _match(frame: MatchedFrame, rule: SplitRule, groups: MatchGroups) -> FrameMatched:
    split = rule.split_of(frame.captured.frame_id, frame.captured.drive_id)
    return FrameMatched(
        frame_id=frame.captured.frame_id,
        detector=frame.predictions.detector_id,
        revisions=frame.revisions,
        split=split,
        shortlisted=split is Split.HAYSTACK and frame.membership.shortlisted,
        reannotated=is_reannotated(frame.ground_truth) and not frame.left_out,
        vehicle_id=frame.captured.vehicle_id,
        drive_id=frame.captured.drive_id,
        captured_at=frame.captured.captured_at,
        iou_type=frame.predictions.iou_type,
        tags=tags_of(frame.captured) or None,
        groups=groups,
    )


def _groups(frames: Sequence[MatchedFrame], operating: OperatingScores) -> list[MatchGroups]:
    named = [frame.category_map.named(frame.predictions) for frame in frames]
    truths = [frame.ground_truth for frame in frames]
    pairs = [(item.predictions, truth) for item, truth in zip(named, truths, strict=True)]
    found = []
    for item, truth, match in zip(named, truths, frame_matches(pairs), strict=True):
        scores = operating.by_category(item.predictions.detector_id, match.categories)
        missed = missed_annotations(match, truth, scores)
        found.append(matched_groups(match, item, MissedAnnotations.of(missed)))
    return found


def with_vanished(match: FrameMatched, known: Collection[Category]) -> FrameMatched:
    """The match with an empty group for each known category that has nothing left."""
    return match.model_copy(update={"groups": match.groups.with_vanished(known)})


@dataclass(frozen=True)
class NeedleRule:
    """Which failures become needles.

    Attributes
    ----------
    operating : from which scores on a false positive is one
    misses : whether missed objects are needles too
    """

    operating: OperatingScores
    misses: bool = False


def needles_in(match: FrameMatched, rule: NeedleRule) -> list[NeedleFound]:
    """The failures on a reference frame that become needles; a haystack frame has none."""
    if match.split is not Split.REFERENCE:
        return []
    found: list[NeedleFound] = []
    if any(match.groups.errors):
        for group in categories_of([match]):
            found += _false_positives(group, rule.operating.of(group.detector, group.category))
    if rule.misses:
        found += _misses(match)
    return found


def _false_positives(match: CategoryMatched, least: float) -> Iterable[NeedleFound]:
    columns = zip(
        *(match.regions, match.scores, match.bboxes, match.errors, match.true_categories),
        strict=True,
    )
    for region, score, bbox, error, true_category in columns:
        if error is not None and score >= least:
            yield NeedleFound(
                needle_id=identity.needle_id(region),
                revision=match.revision,
                frame_id=match.frame_id,
                detector=match.detector,
                category=match.category,
                region_id=region,
                score=score,
                bbox=bbox,
                error_type=error,
                true_category=true_category,
                drive_id=match.drive_id,
                captured_at=match.captured_at,
            )


def _misses(match: FrameMatched) -> Iterable[NeedleFound]:
    groups = match.groups.missed.by_group() if match.groups.missed else ()
    for category, missed in zip(match.groups.categories, groups, strict=False):
        for annotation in missed:
            yield NeedleFound(
                needle_id=identity.missed_needle_id(match.detector, annotation.region),
                revision=match.revision,
                frame_id=match.frame_id,
                detector=match.detector,
                category=category,
                region_id=annotation.region,
                annotation_id=annotation.region,
                score=0.0,
                bbox=annotation.bbox,
                error_type=ErrorType.MISSED,
                drive_id=match.drive_id,
                captured_at=match.captured_at,
            )


def needle_events(
    known: KnownCategories, match: FrameMatched, rule: NeedleRule
) -> list[NeedleFound | NeedleRetracted]:
    """The needles that this match finds, and retractions of known ones that it clears.

    Every needle ever published is either found or retracted again, so a replay after a crash
    publishes all that the crash prevented. For readers, the highest revision wins.
    """
    found = needles_in(match, rule)
    still = {needle.needle_id for needle in found}
    # A needle whose category was renamed is known in both categories.
    cleared = {
        needle_id: category
        for category, needles in sorted(known.items())
        for needle_id in needles - still
    }
    retracted = [
        NeedleRetracted(
            needle_id=needle_id,
            revision=match.revision,
            frame_id=match.frame_id,
            detector=match.detector,
            category=category,
        )
        for needle_id, category in sorted(cleared.items(), key=lambda item: item[::-1])
    ]
    return [*found, *retracted]
