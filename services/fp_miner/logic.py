"""The miner's rules: from a frame's record to its matches and needles."""

from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from services.contracts import identity
from services.contracts.events import (
    REANNOTATION_SOURCE,
    FrameAnnotated,
    FrameCaptured,
    FrameMatched,
    NeedleFound,
    NeedleRetracted,
    PredictionsMade,
    Split,
)
from services.contracts.identity import Category, DetectorId, FrameId, NeedleId
from services.domain.detection.matching import CategoryMatch, match_frame
from services.domain.metrics.counting import NotCounted, why_not_counted
from services.domain.ports.frames import FrameRecord
from services.domain.ports.shortlists import NOT_SHORTLISTED, Membership
from services.domain.splits import SplitRule

NOTHING_LEFT = CategoryMatch((), (), (), (), (), (), (), (), (0, 0, 0, 0))


@dataclass(frozen=True)
class MatchedFrame:
    """A frame with all parts that matching needs, and what decides where its matches count."""

    captured: FrameCaptured
    ground_truth: FrameAnnotated
    predictions: PredictionsMade
    membership: Membership
    known_categories: Collection[Category]
    is_copy: bool = False
    left_out: NotCounted | None = None

    @property
    def revision(self) -> int:
        """Increases with every part that a match depends on, and never decreases."""
        parts = self.ground_truth.revision + self.predictions.revision + self.membership.version
        # A frame may be found to be a copy after it was matched; it then stays one.
        return parts + self.is_copy


def complete_frames(
    records: Iterable[FrameRecord],
    memberships: Mapping[tuple[FrameId, DetectorId], Membership],
    known: Iterable[tuple[FrameId, DetectorId, Category]],
    *,
    count_copies: bool = False,
) -> list[MatchedFrame]:
    """The (frame, detector) pairs whose image, ground truth and predictions are all known."""
    categories: dict[tuple[FrameId, DetectorId], set[Category]] = {}
    for frame_id, detector, category in known:
        categories.setdefault((frame_id, detector), set()).add(category)
    return [
        MatchedFrame(
            captured=record.captured,
            ground_truth=record.ground_truth,
            predictions=predictions,
            membership=memberships.get((record.frame_id, detector), NOT_SHORTLISTED),
            known_categories=categories.get((record.frame_id, detector), ()),
            is_copy=record.is_copy,
            left_out=why_not_counted(
                record.ground_truth, predictions, copy=record.is_copy and not count_copies
            ),
        )
        for record in records
        if record.captured is not None and record.ground_truth is not None
        for detector, predictions in record.predictions.items()
    ]


def match(frame: MatchedFrame, rule: SplitRule) -> list[FrameMatched]:
    """The match of every category on this frame; empty for a known category with nothing left.

    A frame that does not count has only empty matches: they retract its needles and remove it from
    mAP.
    """
    split = rule.split_of(frame.captured.frame_id, frame.captured.drive_id)
    matches = {}
    if frame.left_out is None:
        matches = match_frame(frame.predictions, frame.ground_truth)
    gone = dict.fromkeys(frame.known_categories, NOTHING_LEFT)
    return [
        _event(frame, category, matched, split)
        for category, matched in sorted({**gone, **matches}.items())
    ]


def _event(
    frame: MatchedFrame, category: Category, matched: CategoryMatch, split: Split
) -> FrameMatched:
    return FrameMatched(
        frame_id=frame.captured.frame_id,
        detector=frame.predictions.detector_id,
        category=category,
        revision=frame.revision,
        split=split,
        shortlisted=split is Split.HAYSTACK and frame.membership.shortlisted,
        reannotated=frame.ground_truth.annotation_source == REANNOTATION_SOURCE
        and not frame.left_out,
        vehicle_id=frame.captured.vehicle_id,
        drive_id=frame.captured.drive_id,
        captured_at=frame.captured.captured_at,
        regions=matched.regions,
        bboxes=matched.bboxes,
        scores=matched.scores,
        matched=matched.matched,
        ignored=matched.ignored,
        overlaps=matched.overlaps,
        errors=matched.errors,
        true_categories=matched.true_categories,
        ground_truths=matched.ground_truths,
    )


def needles_in(match: FrameMatched, operating_score: float) -> list[NeedleFound]:
    """The false positives at or above the operating score; a haystack frame has no needles."""
    if match.split is not Split.REFERENCE:
        return []
    return [
        NeedleFound(
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
        for region, score, bbox, error, true_category in zip(
            match.regions,
            match.scores,
            match.bboxes,
            match.errors,
            match.true_categories,
            strict=True,
        )
        if error is not None and score >= operating_score
    ]


def needle_events(
    known: AbstractSet[NeedleId], match: FrameMatched, operating_score: float
) -> list[NeedleFound | NeedleRetracted]:
    """The needles that this match finds, and retractions of known ones that it clears.

    Every needle ever published is either found or retracted again, so a replay after a crash
    publishes all that the crash prevented. For readers, the highest revision wins.
    """
    found = needles_in(match, operating_score)
    cleared = known - {needle.needle_id for needle in found}
    retracted = [
        NeedleRetracted(
            needle_id=needle_id,
            revision=match.revision,
            frame_id=match.frame_id,
            detector=match.detector,
            category=match.category,
        )
        for needle_id in sorted(cleared)
    ]
    return [*found, *retracted]
