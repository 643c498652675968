"""From a needle's neighbourhood to its shortlist, and from an event to the needles it moves."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.contracts.events import (
    Candidate,
    FrameMatched,
    NeedleFound,
    Provenance,
    ShortlistPublished,
    Split,
)
from services.contracts.identity import Category, DetectorId, FrameId, ModelId, RegionId
from services.domain import ranking
from services.runtime.settings import Settings
from services.runtime.stores.frames import FrameRecord
from services.runtime.stores.needles import NeedleRecord
from services.runtime.stores.vectors import Hit, Vector, Where

STRATEGY = "contrast"
REANNOTATED = "reannotation"

Kind = tuple[DetectorId, Category]
"""What needles and haystack regions must share to be compared."""


@dataclass(frozen=True)
class Neighbour:
    """A haystack region near a needle."""

    hit: Hit
    vector: Vector

    @property
    def frame_id(self) -> FrameId:
        """The frame that it lies on."""
        return FrameId(str(self.hit.payload["frame_id"]))


def kinds_of(record: FrameRecord) -> set[Kind]:
    """The (detector, category) pairs of a frame's predictions."""
    return {
        (detector, detection.category)
        for detector, predictions in record.predictions.items()
        for detection in predictions.detections
    }


def haystack_of(needle: NeedleFound, settings: Settings) -> Where:
    """The haystack regions of the needle's kind that the detector shows on the map."""
    return Where(
        equals={
            "detector": needle.detector,
            "category": needle.category,
            "split": Split.HAYSTACK.value,
        },
        at_least={"score": settings.operating_score},
    )


def true_positives(matches: Iterable[FrameMatched], operating_score: float) -> list[RegionId]:
    """The regions of reference frames that are right at IoU .5, at or above the score."""
    return [
        region
        for match in matches
        if match.split is Split.REFERENCE
        for region, score, matched, ignored in zip(
            match.regions, match.scores, match.matched, match.ignored, strict=True
        )
        # Bit 0 is IoU .5 over all areas.
        if matched & 1 and not ignored & 1 and score >= operating_score
    ]


def rank(
    neighbours: Sequence[Neighbour], rights: ranking.Vectors, settings: Settings
) -> list[tuple[Neighbour, float]]:
    """Neighbours with their evidence, best first; equal evidence in the order of region ids.

    Parameters
    ----------
    rights : (T, D) float32, unit vectors of the reference's true positives
    """
    if not neighbours:
        return []
    similarities = np.array([each.hit.similarity for each in neighbours])
    vectors = np.stack([each.vector for each in neighbours])
    scores = np.array([float(each.hit.payload["score"] or 0) for each in neighbours])
    alike = ranking.true_positive_similarity(vectors, rights)
    weighed = ranking.evidence(
        similarities, alike, scores, score_weight=settings.shortlist_score_weight
    )
    ranked = zip(neighbours, weighed.tolist(), strict=True)
    return sorted(ranked, key=lambda pair: (-round(pair[1], 9), pair[0].hit.payload["region_id"]))


def choose(
    ranked: Sequence[tuple[Neighbour, float]],
    frames: Mapping[FrameId, FrameRecord],
    before: Collection[FrameId],
    settings: Settings,
) -> list[Candidate]:
    """The candidates of a shortlist, best first.

    Parameters
    ----------
    frames : records of all neighbours' frames
    before : frames that are on the shortlist already; only these may be re-annotated ones
    """
    open_ = [
        (neighbour, weight)
        for neighbour, weight in ranked
        if neighbour.frame_id in before or not _reannotated(frames[neighbour.frame_id])
    ]
    places = [ranking.Place(each.frame_id, each.hit.payload.get("drive_id")) for each, _ in open_]
    kept = ranking.thinned(
        places, limit=settings.shortlist_size, per_drive=settings.shortlist_per_drive
    )
    return [
        _candidate(open_[position][0], open_[position][1], frames[open_[position][0].frame_id])
        for position in kept
    ]


def next_shortlist(
    record: NeedleRecord,
    needle: NeedleFound,
    candidates: Sequence[Candidate],
    provenance: Provenance,
) -> ShortlistPublished | None:
    """The needle's shortlist as it should be, one revision on; none where nothing changes."""
    before = record.shortlist
    if before is None and not candidates:
        return None
    if before is not None and before.candidates == tuple(candidates):
        return None
    return ShortlistPublished(
        needle_id=record.needle_id,
        revision=before.revision + 1 if before else 1,
        needle=needle,
        candidates=tuple(candidates),
        provenance=provenance,
    )


def withdrawn(record: NeedleRecord) -> ShortlistPublished | None:
    """The empty shortlist of a retracted needle; none where there was nothing to withdraw."""
    if record.shortlist is None or record.needle is None:
        return None
    return next_shortlist(record, record.needle, (), record.shortlist.provenance)


def provenance(model: ModelId, settings: Settings) -> Provenance:
    """How shortlists come to be under these settings."""
    return Provenance(model=model, strategy=STRATEGY, size_limit=settings.shortlist_size)


def _reannotated(record: FrameRecord) -> bool:
    truth = record.ground_truth
    return truth is not None and truth.annotation_source == REANNOTATED


def _candidate(neighbour: Neighbour, weight: float, record: FrameRecord) -> Candidate:
    payload = neighbour.hit.payload
    assert record.captured is not None  # only captured frames are embedded
    return Candidate(
        frame_id=neighbour.frame_id,
        region_id=RegionId(str(payload["region_id"])),
        category=Category(str(payload["category"])),
        score=float(payload["score"] or 0),
        bbox=(
            float(payload["x"] or 0),
            float(payload["y"] or 0),
            float(payload["width"] or 0),
            float(payload["height"] or 0),
        ),
        similarity=round(neighbour.hit.similarity, 6),
        evidence=round(weight, 6),
        drive_id=record.captured.drive_id,
        captured_at=record.captured.captured_at,
        image_uri=record.captured.image.uri,
    )
