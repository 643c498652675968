"""Small valid events that tests vary."""

import hashlib
from collections.abc import Iterable
from dataclasses import fields, replace
from datetime import UTC, datetime

from services.contracts import identity, version_1
from services.contracts.events import (
    Annotation,
    Detection,
    ErrorType,
    FrameAnnotated,
    FrameCaptured,
    FrameEmbedded,
    Image,
    PredictionsMade,
    Split,
)
from services.contracts.identity import (
    Box,
    Category,
    DetectorId,
    DriveId,
    FrameId,
    ModelId,
    NeedleId,
    RegionId,
    VehicleId,
)
from services.contracts.matches import (
    CategoryMatch,
    CategoryMatched,
    FrameMatched,
    MatchGroups,
    MatchRevisions,
)
from services.contracts.needles import (
    Candidate,
    NeedleFound,
    NeedleRetracted,
    Provenance,
    ShortlistPublished,
)
from services.domain.shortlists.epochs import Epoch, Size

CAPTURED_AT = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
DETECTOR = DetectorId("ods@1")
MODEL = ModelId("small-test")
STOP_SIGN = Category("stop sign")
BOX: Box = (10.0, 20.0, 30.0, 40.0)


def frame_captured(frame_id: str = "f1", drive_id: str | None = "d1") -> FrameCaptured:
    return FrameCaptured(
        frame_id=FrameId(frame_id),
        vehicle_id=VehicleId("v1"),
        drive_id=DriveId(drive_id) if drive_id else None,
        captured_at=CAPTURED_AT,
        image=Image(
            # Of its own: frames that share a picture are copies.
            sha256=hashlib.sha256(frame_id.encode()).hexdigest(),
            uri="file:///blobs/aa/a",
            size_bytes=1000,
            media_type="image/jpeg",
            width=640,
            height=360,
        ),
    )


def detection(category: str = STOP_SIGN, score: float = 0.9, bbox: Box = BOX) -> Detection:
    return Detection(category=Category(category), score=score, bbox=bbox)


def annotation(category: str = STOP_SIGN, bbox: Box = BOX) -> Annotation:
    return Annotation(category=Category(category), bbox=bbox)


def predictions_made(
    *detections: Detection,
    frame_id: str = "f1",
    revision: int = 1,
    version: str = "1",
    complete: bool = True,
) -> PredictionsMade:
    return PredictionsMade(
        frame_id=FrameId(frame_id),
        detector="ods",
        version=version,
        revision=revision,
        complete=complete,
        detections=detections,
    )


def frame_annotated(
    *annotations: Annotation, frame_id: str = "f1", revision: int = 1, complete: bool = True
) -> FrameAnnotated:
    return FrameAnnotated(
        frame_id=FrameId(frame_id), revision=revision, complete=complete, annotations=annotations
    )


def frame_embedded(predictions: PredictionsMade, model: ModelId = MODEL) -> FrameEmbedded:
    return FrameEmbedded(
        frame_id=predictions.frame_id,
        model=model,
        frame_point=identity.frame_point_id(model, predictions.frame_id),
        regions={predictions.detector_id: tuple(predictions.region_ids())},
        predictions_revisions={predictions.detector_id: predictions.revision},
    )


def frame_matched(
    frame_id: str = "f1",
    *,
    category: str = STOP_SIGN,
    revision: int = 1,
    split: Split = Split.REFERENCE,
    shortlisted: bool = False,
) -> FrameMatched:
    """One false positive on the background, no ground truth."""
    region = identity.region_ids(FrameId(frame_id), DETECTOR, [(Category(category), BOX, 0.9)])[0]
    rows = CategoryMatch(
        regions=(region,),
        bboxes=(BOX,),
        scores=(0.9,),
        matched=(0,),
        ignored=(0,),
        overlaps=(0.0,),
        errors=(ErrorType.BACKGROUND,),
        true_categories=(None,),
    )
    return FrameMatched(
        frame_id=FrameId(frame_id),
        detector=DETECTOR,
        revisions=MatchRevisions(membership=revision),
        split=split,
        shortlisted=shortlisted,
        vehicle_id=VehicleId("v1"),
        drive_id=DriveId("d1"),
        captured_at=CAPTURED_AT,
        groups=MatchGroups.of({Category(category): rows}),
    )


def published(matches: Iterable[CategoryMatched]) -> list[FrameMatched]:
    """The events that say this: one per detector and frame, and what is said of the frame."""
    events: dict[tuple[object, ...], list[CategoryMatched]] = {}
    for match in matches:
        header = (match.detector, match.frame_id, match.revision, match.split, match.shortlisted)
        events.setdefault(header, []).append(match)
    return [
        version_1.FrameMatched.of(some[0])
        .upgraded()
        .model_copy(
            update={
                "groups": MatchGroups.of({m.category: rows_of(m) for m in some}),
                "tags": dict(some[0].tags) or None,
            }
        )
        for some in events.values()
    ]


def rows_of(match: CategoryMatched) -> CategoryMatch:
    """The columns of a match."""
    return CategoryMatch(
        **{column.name: getattr(match, column.name) for column in fields(CategoryMatch)}
    )


def with_rows(match: FrameMatched, **columns: object) -> FrameMatched:
    """A match of one category with other columns."""
    ((category, rows),) = match.groups.by_category().items()
    changed = MatchGroups.of({category: replace(rows, **columns)})  # type: ignore[arg-type]
    return match.model_copy(update={"groups": changed})


def revised(match: FrameMatched, revision: int) -> FrameMatched:
    """The same match with this revision."""
    return match.model_copy(update={"revisions": MatchRevisions(membership=revision)})


def needle_found(
    frame_id: str = "f1", *, revision: int = 1, category: str = STOP_SIGN
) -> NeedleFound:
    region = identity.region_ids(FrameId(frame_id), DETECTOR, [(Category(category), BOX, 0.9)])[0]
    return NeedleFound(
        needle_id=identity.needle_id(region),
        revision=revision,
        frame_id=FrameId(frame_id),
        detector=DETECTOR,
        category=Category(category),
        region_id=region,
        score=0.9,
        bbox=BOX,
        error_type=ErrorType.BACKGROUND,
        drive_id=DriveId("d1"),
        captured_at=CAPTURED_AT,
    )


def needle_retracted(needle: NeedleFound, revision: int) -> NeedleRetracted:
    return NeedleRetracted(
        needle_id=needle.needle_id,
        revision=revision,
        frame_id=needle.frame_id,
        detector=needle.detector,
        category=needle.category,
    )


def candidate(frame_id: str, similarity: float = 0.8) -> Candidate:
    region: RegionId = identity.region_ids(FrameId(frame_id), DETECTOR, [(STOP_SIGN, BOX, 0.7)])[0]
    return Candidate(
        frame_id=FrameId(frame_id),
        region_id=region,
        category=STOP_SIGN,
        score=0.7,
        bbox=BOX,
        similarity=similarity,
        evidence=similarity,
        drive_id=DriveId("d2"),
        captured_at=CAPTURED_AT,
        image_uri="file:///blobs/bb/b",
    )


def shortlist_published(
    needle: NeedleFound, *frame_ids: str, revision: int = 1
) -> ShortlistPublished:
    return ShortlistPublished(
        needle_id=NeedleId(needle.needle_id),
        revision=revision,
        needle=needle,
        candidates=tuple(candidate(frame_id) for frame_id in frame_ids),
        provenance=Provenance(
            model=MODEL, strategy="worst-frames", size_limit=10, method="contrast"
        ),
    )


def epoch(number: int = 1, detector: DetectorId = DETECTOR) -> Epoch:
    return Epoch(
        detector,
        number,
        offsets={"gaze.needles/0": number},
        starts={"gaze.needles/0": number - 1},
        models={STOP_SIGN: f"model-{number}"},
        sizes=(Size(90, 9), Size(100, 10)),
        budget=15,
        settled=False,
        released=4,
        settled_budget=3,
    )
