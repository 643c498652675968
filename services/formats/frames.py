"""Turn the frames of a data set into events: read image headers, fit boxes, check, draft."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from pydantic import ValidationError

from services.contracts.errors import Invalid, InvalidImage, InvalidRecord
from services.contracts.events import (
    REANNOTATION_SOURCE,
    Annotation,
    Detection,
    FrameAnnotated,
    FrameCaptured,
    Image,
    PredictionsMade,
)
from services.contracts.visible_text import escaped
from services.formats import fields
from services.formats.adjustments import Adjustment
from services.formats.capture_metadata import capture_metadata
from services.formats.completeness import cannot_be_object, is_complete
from services.formats.items import (
    UNKNOWN_TIME,
    Disputed,
    FrameItem,
    Located,
    RecordKind,
    Rejection,
)
from services.formats.rules import Picture, fitted, require_touching
from services.formats.visible_names import check_names
from services.ground_truth.drafts import Draft, is_too_large
from services.runtime.images import ImageFacts, ImageLimits, inspect, measure

NOT_STORED = "not-stored-yet:"
"""URI of an image that is not in the blob store yet."""


Boxed = TypeVar("Boxed", Detection, Annotation)


@dataclass(frozen=True)
class OpenedFrame:
    """A frame whose image header has been read, with its draft events.

    Parameters
    ----------
    content : the image's bytes; None where only annotations come
    rejections : boxes that the image's actual size rules out
    alternatives : the annotators' versions, where they disagree; then there are no drafts
    tag : distinguishes the drafts from equal earlier ones that were replaced or undone since
    """

    item: FrameItem
    content: bytes | None
    drafts: tuple[Draft, ...]
    rejections: tuple[Rejection, ...]
    alternatives: tuple[Draft, ...] = ()
    tag: str = ""

    @property
    def versions(self) -> list[FrameAnnotated]:
        """The frame's ground truth; several versions where annotators disagree."""
        drafts = self.alternatives or self.drafts
        return [draft for draft in drafts if isinstance(draft, FrameAnnotated)]


def open_disputed(disputed: Disputed, limits: ImageLimits, source: str) -> OpenedFrame | Rejection:
    """Draft every version of a frame; refuse the frame if any version is refused."""
    alternatives: list[Draft] = []
    rejections: list[Rejection] = []
    for version in disputed.versions:
        opened = open_frame(version, limits, source)
        if isinstance(opened, Rejection):
            return opened
        alternatives += opened.drafts
        rejections += opened.rejections
    # The location names all versions, for the person who chooses between them.
    item = replace(disputed.versions[0], location=disputed.location)
    return OpenedFrame(item, None, (), tuple(rejections), tuple(alternatives))


def open_frame(item: FrameItem, limits: ImageLimits, source: str) -> OpenedFrame | Rejection:
    """Read a frame's image, if it has one, and draft its events.

    If part of a frame was refused, its events are marked as not complete.
    """
    try:
        if source == REANNOTATION_SOURCE and not item.complete:
            raise InvalidRecord("some of its annotations cannot be used", reason="incomplete_frame")
        content = _read(item, limits)
        opened = _opened(item, content, limits, source)
    except Invalid as exc:
        return refused(item, exc.reason, str(exc))
    except ValidationError as exc:
        # A reader accepted a value that the event's schema forbids.
        return refused(item, "malformed_record", fields.first_of(exc))
    if source == REANNOTATION_SOURCE and opened.rejections:
        return _whole(opened)
    return opened


def _whole(opened: OpenedFrame) -> OpenedFrame | Rejection:
    """Refuse a correction whose refused parts would change its meaning.

    They do if an object is missing, or if no box is left: in a file with other units every box is
    outside the image, and its frames would end up annotated and empty.
    """
    annotations = [part for version in opened.versions for part in version.annotations]
    if is_complete(opened.rejections, annotations):
        return opened
    first = min(opened.rejections, key=lambda rejection: cannot_be_object(rejection.reason))
    return refused(opened.item, first.reason, first.detail)


def on_its_picture(item: FrameItem, limits: ImageLimits) -> FrameItem:
    """Read the image's header and fit the frame's boxes to the image.

    Raises
    ------
    Invalid
        The image cannot be read, or it is unclear how the boxes map onto it.
    """
    content = _read(item, limits)
    if content is None:
        return item
    facts = measure(content, limits)
    return fitted(item, Picture((facts.width, facts.height), facts.orientation))


def as_complete(frame: OpenedFrame | Rejection) -> OpenedFrame | Rejection:
    """Mark the frame as complete, for users who accept that parts of it were refused."""
    if isinstance(frame, Rejection):
        return frame
    drafts = (
        draft if isinstance(draft, FrameCaptured) else draft.model_copy(update={"complete": True})
        for draft in frame.drafts
    )
    return replace(frame, drafts=tuple(drafts))


def undecodable(frame: OpenedFrame, limits: ImageLimits) -> Rejection | None:
    """Decode the whole image once; return the frame's rejection if that fails."""
    assert frame.content is not None
    try:
        inspect(frame.content, limits)
    except InvalidImage as exc:
        return refused(frame.item, exc.reason, str(exc))
    return None


def stored_at(draft: FrameCaptured, uri: str) -> FrameCaptured:
    """The event with the URI of its image in the blob store."""
    return draft.model_copy(update={"image": draft.image.model_copy(update={"uri": uri})})


def refused(item: FrameItem, reason: str, detail: str) -> Rejection:
    """Reject the frame with everything that depends on it."""
    whole = {
        "frame_id": item.frame_id,
        "image": item.image,
        "detections": _values(item.detections),
        "annotations": _values(item.annotations),
    }
    return Rejection(
        reason,
        detail,
        item.location,
        fields.raw(whole),
        whole_frame=True,
        frame_id=item.frame_id,
    )


def _values(parts: Sequence[Located[Boxed]] | None) -> list[dict[str, object]] | None:
    return None if parts is None else [part.value.model_dump() for part in parts]


def _read(item: FrameItem, limits: ImageLimits) -> bytes | None:
    if item.image is None:
        return None
    try:
        with item.image.open("rb") as file:
            content = file.read(limits.max_bytes + 1)
    except OSError as exc:
        raise InvalidImage(f"{item.image}: {exc.strerror}", reason="unreadable_image") from exc
    return content


def _opened(
    item: FrameItem, content: bytes | None, limits: ImageLimits, source: str
) -> OpenedFrame:
    drafts: list[Draft] = []
    rejections: list[Rejection] = []
    size = item.size
    if content is not None:
        facts = measure(content, limits)
        size = (facts.width, facts.height)
        item = fitted(item, Picture(size, facts.orientation))
        drafts.append(_captured(item, content, facts))
    item = _inside(item, size, rejections)
    drafts += _looked_at(item, source)
    for draft in drafts:
        check_names(draft)
        if is_too_large(draft):
            detail = f"{type(draft).__name__} is more than a record may hold"
            rejections.append(refused(item, "event_too_large", detail))
    fitting = tuple(draft for draft in drafts if not is_too_large(draft))
    of_frame = tuple(replace(rejection, frame_id=item.frame_id) for rejection in rejections)
    return OpenedFrame(item, content, fitting, of_frame)


def _captured(item: FrameItem, content: bytes, facts: ImageFacts) -> FrameCaptured:
    found = capture_metadata(facts)
    known_time = item.captured_at if item.captured_at != UNKNOWN_TIME else found.captured_at
    return FrameCaptured(
        frame_id=item.frame_id,
        vehicle_id=item.vehicle_id,
        drive_id=item.drive_id,
        captured_at=known_time or UNKNOWN_TIME,
        position=item.position or found.position,
        image=image_of(content, facts),
        tags=None if item.tags is None else dict(item.tags),
        vector=item.vector,
        camera=found.camera,
    )


def image_of(content: bytes, facts: ImageFacts) -> Image:
    """An image that is not in the blob store yet."""
    return Image(
        sha256=hashlib.sha256(content).hexdigest(),
        uri=NOT_STORED,
        size_bytes=len(content),
        media_type=facts.media_type,
        width=facts.width,
        height=facts.height,
    )


def _looked_at(item: FrameItem, source: str) -> Iterator[PredictionsMade | FrameAnnotated]:
    if item.detections is not None and item.detector is not None:
        yield PredictionsMade(
            frame_id=item.frame_id,
            detector=item.detector.name,
            version=item.detector.version,
            complete=item.detections_complete,
            iou_type=item.detector.iou_type,
            detections=tuple(detection.value for detection in item.detections),
        )
    if item.annotations is not None:
        yield FrameAnnotated(
            frame_id=item.frame_id,
            annotation_source=source,
            # Nothing depends on the annotator's name, so an unusual one is escaped, not refused.
            annotated_by=item.annotated_by and escaped(item.annotated_by)[:100],
            lead_time_s=item.lead_time_s,
            complete=item.complete,
            annotations=tuple(annotation.value for annotation in item.annotations),
        )


def _inside(
    item: FrameItem, size: tuple[int, int] | None, rejections: list[Rejection]
) -> FrameItem:
    """The frame without boxes that are wholly outside its image.

    If all detections are refused, they become None: an empty list would claim that the detector
    found nothing. If all annotations are, as in a file with other units, the frame is incomplete:
    it would count as annotated and empty. A box far outside leaves it incomplete by itself.
    """
    if size is None:
        return item
    adjustments = Counter(item.adjustments)
    outside_found: list[Rejection] = []
    found = _touching(item.detections, size, outside_found)
    if item.detections and not found:
        adjustments[Adjustment.NO_DETECTIONS_LEFT] += 1
        found = None
    outside_drawn: list[Rejection] = []
    annotations = _touching(item.annotations, size, outside_drawn)
    rejections += [*outside_found, *outside_drawn]
    return replace(
        item,
        detections=found,
        detections_complete=item.detections_complete and is_complete(outside_found, found or ()),
        annotations=annotations,
        complete=item.complete and is_complete(outside_drawn, annotations or ()),
        adjustments=adjustments,
    )


def _touching(
    parts: Sequence[Located[Boxed]] | None, size: tuple[int, int], rejections: list[Rejection]
) -> tuple[Located[Boxed], ...] | None:
    """The boxes that touch the image. Detectors return boxes partly outside; those are kept."""
    if parts is None:
        return None
    inside: list[Located[Boxed]] = []
    for part in parts:
        value: Boxed = part.value
        try:
            require_touching(value.bbox, size)
        except InvalidRecord as exc:
            raw = fields.raw(value.model_dump())
            kind = RecordKind.DETECTION if isinstance(value, Detection) else RecordKind.ANNOTATION
            rejections.append(Rejection(exc.reason, str(exc), part.location, raw, kind=kind))
        else:
            inside.append(part)
    return tuple(inside)
