"""The retriever's rules: from stored records to facts of frames, queries and shortlists."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import numpy as np

from services.contracts.events import FrameCaptured, PredictionsMade, Split
from services.contracts.identity import Box, Category, DetectorId, RegionId
from services.contracts.matches import CategoryMatched
from services.contracts.needles import Candidate, NeedleFound, Provenance, ShortlistPublished
from services.domain.arrays import FloatArray
from services.domain.failure_modes import FailureMode
from services.domain.mining.region_features import Shown, region_features
from services.domain.ports.blob_uris import absolute_uri
from services.domain.ports.frames import FrameRecord
from services.domain.ports.needles import NeedleRecord
from services.domain.ports.vectors import Where
from services.domain.reannotation import is_reannotated
from services.domain.shortlists.scored_candidates import CaptureContext, Key
from services.domain.splits import SplitRule

DetectorCategory = tuple[DetectorId, Category]
"""Needles are compared with haystack regions of the same detector and category."""


@dataclass(frozen=True, slots=True)
class DetectedRegion:
    """A detection on a frame, with its features."""

    detector_category: DetectorCategory
    score: float
    bbox: Box
    features: FloatArray


@dataclass(frozen=True, slots=True)
class FrameFacts:
    """The facts of a captured frame that ranking needs. Many are cached, so no whole events."""

    context: CaptureContext
    captured_at: datetime
    image_uri: str
    reannotated: bool
    regions: Mapping[RegionId, DetectedRegion]
    is_copy: bool = False
    """Whether another frame had the same image first."""
    area: float = 0.0
    """Of the frame, in square pixels."""
    detectors: frozenset[DetectorId] = frozenset()
    """Those that have predicted the frame, even where they detected nothing."""

    @classmethod
    def of(cls, record: FrameRecord) -> Self | None:
        """The facts of a record; None before its image is known."""
        captured = record.captured
        if captured is None:
            return None
        regions = {
            region: DetectedRegion(
                (detector, detection.category), detection.score, detection.bbox, row
            )
            for detector, named in (
                (detector, record.named(detector)) for detector in record.predictions
            )
            for region, detection, row in zip(
                named.regions,
                named.predictions.detections,
                region_features(_region_context(named.predictions, captured)),
                strict=True,
            )
        }
        reannotated = is_reannotated(record.ground_truth)
        context, uri = _context_of(captured), captured.image.uri
        area = float(captured.image.width * captured.image.height)
        return cls(
            context,
            captured.captured_at,
            uri,
            reannotated,
            regions,
            record.is_copy,
            area,
            frozenset(record.predictions),
        )

    @property
    def features(self) -> dict[RegionId, FloatArray]:
        """The features of each region."""
        return {region: seen.features for region, seen in self.regions.items()}

    def is_listable(self, *, count_copies: bool) -> bool:
        """Whether a shortlist may hold the frame, apart from budgets and distances."""
        return not self.reannotated and (count_copies or not self.is_copy)

    def split(self, rule: SplitRule) -> Split:
        """Whether the frame is reference or haystack."""
        return rule.split_of(self.context.frame, self.context.drive)

    def drawable(
        self, detector: DetectorId, rule: SplitRule, *, count_copies: bool
    ) -> dict[RegionId, DetectedRegion]:
        """A detector's regions on a haystack frame that a shortlist may hold; none on others."""
        if not self.is_listable(count_copies=count_copies):
            return {}
        if self.split(rule) is not Split.HAYSTACK:
            return {}
        return {
            region: seen
            for region, seen in self.regions.items()
            if seen.detector_category[0] == detector
        }


def surest(regions: Mapping[RegionId, DetectedRegion]) -> RegionId:
    """The region with the highest score; of several, the first by id."""
    return min(regions, key=lambda region: (-regions[region].score, region))


def _context_of(captured: FrameCaptured) -> CaptureContext:
    position = captured.position
    return CaptureContext(
        captured.frame_id,
        captured.drive_id,
        captured.captured_at.timestamp(),
        (position.lat, position.lon) if position else None,
        captured.vehicle_id,
    )


def _region_context(predictions: PredictionsMade, captured: FrameCaptured) -> Shown:
    found = predictions.detections
    numbers = {
        name: n for n, name in enumerate(sorted({detection.category for detection in found}))
    }
    return Shown(
        np.array([detection.bbox for detection in found], np.float64).reshape(-1, 4),
        np.array([detection.score for detection in found], np.float64),
        np.array([numbers[detection.category] for detection in found], np.int64),
        captured.image.width,
        captured.image.height,
    )


HAYSTACK_FRAMES = Where(equals={"split": Split.HAYSTACK.value})


def haystack_filter(detector: DetectorId, predicted_as: Category, operating_score: float) -> Where:
    """Selects the haystack regions of a detector's category at or above the operating score."""
    return Where(
        equals={"detector": detector, "category": predicted_as, "split": Split.HAYSTACK.value},
        at_least={"score": operating_score},
    )


def detector_category_of(match: CategoryMatched) -> DetectorCategory:
    """The detector and category of a match."""
    return match.detector, match.category


def category_mode_of(needle: NeedleFound) -> tuple[DetectorCategory, FailureMode]:
    """The detector, category and failure mode of a needle."""
    mode = FailureMode.of(needle.error_type, needle.true_category)
    return (needle.detector, needle.category), mode


def key_of(detector_category: DetectorCategory, mode: FailureMode) -> Key:
    """The key of a failure mode."""
    return (*detector_category, mode.error, mode.true_category or "")


def named_in(record: NeedleRecord) -> set[Category]:
    """The categories that a needle's failure mode names: detected, and taken for."""
    assert record.needle is not None
    (_, category), mode = category_mode_of(record.needle)
    return {category, *([mode.true_category] if mode.true_category is not None else [])}


def listed(record: NeedleRecord) -> tuple[Candidate, ...]:
    """The candidates on a needle's shortlist."""
    return record.shortlist.candidates if record.shortlist is not None else ()


def candidate(
    region: RegionId, facts: FrameFacts, similarity: float, evidence: float, store: str
) -> Candidate:
    """A haystack region on a shortlist. Rounded, so that float noise does not cause a revision.

    Parameters
    ----------
    store : the blob store's URL, because other readers cannot resolve relative URIs
    """
    seen = facts.regions[region]
    _, category = seen.detector_category
    return Candidate(
        frame_id=facts.context.frame,
        region_id=region,
        category=category,
        score=seen.score,
        bbox=seen.bbox,
        similarity=round(similarity, 3),
        evidence=round(evidence, 2),
        drive_id=facts.context.drive,
        captured_at=facts.captured_at,
        image_uri=absolute_uri(facts.image_uri, store),
    )


def in_order(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Best first."""
    return tuple(sorted(candidates, key=lambda c: (-c.evidence, -c.similarity, c.region_id)))


def next_shortlist(
    record: NeedleRecord,
    needle: NeedleFound,
    candidates: Sequence[Candidate],
    provenance: Provenance,
    epoch: int | None,
) -> ShortlistPublished | None:
    """The needle's next shortlist, with the next revision; None if nothing changes.

    Parameters
    ----------
    epoch : the epoch that it is allocated in; None outside of one
    """
    before = record.shortlist
    if before is None and not candidates:
        return None
    if (
        before is not None
        and before.provenance == provenance
        and _without_uris(before.candidates) == _without_uris(candidates)
    ):
        return None
    return ShortlistPublished(
        needle_id=record.needle_id,
        revision=before.revision + 1 if before else 1,
        needle=needle,
        candidates=tuple(candidates),
        provenance=provenance,
        epoch=epoch,
    )


def _without_uris(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Candidates without image URIs: moving the blob store does not change a shortlist."""
    return [candidate.model_copy(update={"image_uri": ""}) for candidate in candidates]


def withdrawn(record: NeedleRecord) -> ShortlistPublished | None:
    """The empty shortlist of a retracted needle; None if it had no shortlist."""
    if record.shortlist is None or record.needle is None:
        return None
    return next_shortlist(record, record.needle, (), record.shortlist.provenance, None)
