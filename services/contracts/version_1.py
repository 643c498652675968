"""Version 1 of the events: how it is read, and how it is written while it is in use.

Version 2 adds optional fields, so a version 1 event reads as itself; only FrameMatched has another
form. Written as version 1, an event loses the fields that version 1 does not have.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from services.contracts.bounds import CaptureTime, ObjectCount, Overlap, Revision, Share
from services.contracts.dead_letters import DeadLettered
from services.contracts.events import (
    AnyBox,
    ErrorType,
    Event,
    FrameAnnotated,
    FrameCaptured,
    FrameEmbedded,
    FrameEvent,
    PredictionsMade,
    Split,
)
from services.contracts.matches import (
    CategoryMatch,
    CategoryMatched,
    MatchGroups,
    MatchRevisions,
    categories_of,
)
from services.contracts.matches import FrameMatched as FrameMatchedNow
from services.contracts.names import (
    AnyCategory,
    AnyDetectorId,
    AnyDriveId,
    AnyRegionId,
    AnyVehicleId,
)
from services.contracts.needles import NeedleFound, ShortlistPublished

_Bits = Annotated[int, Field(ge=0, lt=1 << 40)]
_OF_AN_OBJECT: Final = {"__all__": {"track_id", "attributes", "vector"}}
_OF_A_NEEDLE: Final = {"annotation_id": True, "mask": True}
ADDED: Final[Mapping[type[Event], Mapping[str, Any]]] = {
    FrameCaptured: {"tags": True, "camera": True, "vector": True},
    PredictionsMade: {"iou_type": True, "withdrawn": True, "detections": _OF_AN_OBJECT},
    FrameAnnotated: {
        "categories": True,
        "sampling": True,
        "withdrawn": True,
        "annotations": _OF_AN_OBJECT,
    },
    FrameEmbedded: {"annotations": True, "ground_truth_revision": True},
    NeedleFound: _OF_A_NEEDLE,
    DeadLettered: {"original_headers": True},
    ShortlistPublished: {
        "epoch": True,
        "needle": _OF_A_NEEDLE,
        "candidates": {"__all__": {"probability", "sampling"}},
    },
}
"""The fields that version 2 added, as pydantic excludes them."""


class FrameMatched(FrameEvent):
    """One detector's detections of one category on one frame, as version 1 publishes them."""

    schema_version: Literal[1]  # type: ignore[assignment]  # another version of the same event
    type: Literal["FrameMatched"] = "FrameMatched"
    detector: AnyDetectorId
    category: AnyCategory
    revision: Revision
    split: Split
    shortlisted: bool
    reannotated: bool = False
    vehicle_id: AnyVehicleId
    drive_id: AnyDriveId | None
    captured_at: CaptureTime
    regions: tuple[AnyRegionId, ...]
    bboxes: tuple[AnyBox, ...]
    scores: tuple[Share, ...]
    matched: tuple[_Bits, ...]
    ignored: tuple[_Bits, ...]
    overlaps: tuple[Overlap, ...]
    errors: tuple[ErrorType | None, ...]
    true_categories: tuple[AnyCategory | None, ...]
    ground_truths: tuple[ObjectCount, ObjectCount, ObjectCount, ObjectCount]

    @model_validator(mode="after")
    def _parallel(self) -> Self:
        columns = (
            *(self.bboxes, self.scores, self.matched, self.ignored),
            *(self.overlaps, self.errors, self.true_categories),
        )
        if any(len(column) != len(self.regions) for column in columns):
            raise ValueError("the detections' columns differ in length")
        return self

    def source(self) -> tuple[object, ...]:
        return (self.frame_id, self.detector, self.category, self.revision)

    def key(self) -> str:
        return f"{self.detector}|{self.category}|{self.frame_id}"

    def partitioned_by(self) -> str:
        return self.category

    @classmethod
    def of(cls, match: CategoryMatched) -> Self:
        """Version 1's event of one category, which has no tags."""
        fields = {name: value for name, value in vars(match).items() if name != "tags"}
        return cls(schema_version=1, **fields)

    def upgraded(self) -> FrameMatchedNow:
        """The event as version 2 states it."""
        return joined(self, [self])


_COLUMNS: Final = tuple(CategoryMatch.__dataclass_fields__)


def joined(header: FrameMatched, groups: Iterable[FrameMatched]) -> FrameMatchedNow:
    """The version 2 event of several categories of one frame; all else is the header's."""
    # Valid: both versions have the same bounds. Validation would take most of the time.
    return FrameMatchedNow.model_construct(
        frame_id=header.frame_id,
        detector=header.detector,
        revisions=MatchRevisions(membership=header.revision),
        split=header.split,
        shortlisted=header.shortlisted,
        reannotated=header.reannotated,
        vehicle_id=header.vehicle_id,
        drive_id=header.drive_id,
        captured_at=header.captured_at,
        groups=MatchGroups.of_valid(
            {
                group.category: CategoryMatch(**{name: getattr(group, name) for name in _COLUMNS})
                for group in groups
            }
        ),
    )


def downgraded(event: Event) -> list[Event]:
    """The version 1 events with the content of this one; none if version 1 cannot express it."""
    match event:
        case FrameMatchedNow():
            return [FrameMatched.of(match) for match in categories_of([event])]
        case NeedleFound() if event.error_type is ErrorType.MISSED:
            return []
        case _:
            return [event]


def encode(event: Event) -> bytes:
    """The JSON of one of `downgraded`'s events, without the fields that version 2 added."""
    if isinstance(event, FrameMatched):
        return event.model_dump_json().encode()
    # Version 2's schema does not allow the other number, which the serializer would warn of.
    number = {"schema_version": 1}
    if isinstance(event, ShortlistPublished):
        event = event.model_copy(update={"needle": event.needle.model_copy(update=number)})
    added = dict(ADDED.get(type(event), {}))
    if isinstance(event, PredictionsMade) and event.iou_type != "bbox":
        # Readers of version 1 ignore it; left out, fp_miner could not match masks.
        del added["iou_type"]
    if isinstance(event, PredictionsMade | FrameAnnotated) and event.withdrawn:
        # As with masks; readers of version 1 take it as incomplete, and do not count it either.
        del added["withdrawn"]
    if isinstance(event, DeadLettered) and event.original_headers:
        # Without them, a replayed CloudEvent in binary mode is no CloudEvent.
        del added["original_headers"]
    old = event.model_copy(update=number)
    return old.model_dump_json(exclude=added, warnings=False).encode()


def is_expressible(event: Event) -> bool:
    """Whether version 1 can state the event without loss."""
    match event:
        case FrameCaptured():
            return _lacks(event.tags, event.camera, event.vector)
        case PredictionsMade():
            return (
                event.iou_type == "bbox"
                and not event.withdrawn
                and all(
                    item.track_id is None and item.attributes is None and item.vector is None
                    for item in event.detections
                )
            )
        case FrameAnnotated():
            return (
                _lacks(event.categories, event.sampling)
                and not event.withdrawn
                and all(
                    item.track_id is None and item.attributes is None for item in event.annotations
                )
            )
        case _:
            return True


def _lacks(*fields: object) -> bool:
    return all(field is None for field in fields)
