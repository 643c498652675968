"""All ids: deterministic, so that a replay writes what is already stored."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Final, NewType
from uuid import UUID

import orjson

FrameId = NewType("FrameId", str)
VehicleId = NewType("VehicleId", str)
DriveId = NewType("DriveId", str)
DetectorId = NewType("DetectorId", str)
"""A detector and its version, `name@version`."""
Category = NewType("Category", str)
EventId = NewType("EventId", str)
RegionId = NewType("RegionId", str)
"""One detection of one detector on one frame, or one annotation, named by its content."""
NeedleId = NewType("NeedleId", str)
FamilyId = NewType("FamilyId", str)
"""Needles that fail alike; the id derives from the one that was captured first."""
PointId = NewType("PointId", str)
"""A vector's id in Qdrant (a UUID)."""
LetterId = NewType("LetterId", str)
"""A record that could not be processed, whichever services failed on it, and how often."""
ReplayId = NewType("ReplayId", str)
"""One replay of a dead letter."""
ImportId = NewType("ImportId", str)
"""One run of an import or of the bridge; what it published can be undone."""
FrameHash = NewType("FrameHash", str)
"""sha256 of a frame's id, in hexadecimal: what is left of an erased frame."""
ModelId = NewType("ModelId", str)
"""An embedding model with everything that shapes its vectors: `name-tap-pooling-sha`."""

Box = tuple[float, float, float, float]
"""`[x, y, width, height]` in pixels, from the image's top left corner."""

_NAMESPACE: Final = UUID("6f0c7f5e-5f0e-5b4e-9a55-6a617a656c70")
_HASHED_NAMESPACE: Final = hashlib.sha1(_NAMESPACE.bytes, usedforsecurity=False)
_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
"""A UUID's 17th digit, whose upper two bits are fixed (RFC 9562, section 4.1)."""


def _name(kind: str, *parts: object) -> str:
    """The UUID of version 5 of these; uuid.uuid5 takes three times as long for the same text.

    A frame with eight detections needs some fifty.
    """
    digest = _HASHED_NAMESPACE.copy()
    # JSON distinguishes ("a", "bc") from ("ab", "c"), and its exact floats distinguish boxes.
    digest.update(orjson.dumps([kind, *parts]))
    text = digest.hexdigest()
    variant = _VARIANT[text[16]]
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{variant}{text[17:20]}-{text[20:32]}"


def event_id(event_type: str, *source: object) -> EventId:
    """Id of the event with this source identity; the same for every repeat."""
    return EventId(_name("event", event_type, *source))


def frame_hash(frame_id: FrameId) -> FrameHash:
    """Hash of a frame's id, by which an erased frame is recognised if it comes again."""
    return FrameHash(hashlib.sha256(frame_id.encode()).hexdigest())


def detector_id(name: str, version: str) -> DetectorId:
    """`name@version`."""
    return DetectorId(f"{name}@{version}")


def region_ids(
    frame_id: FrameId, detector: DetectorId, regions: Iterable[tuple[Category, Box, float]]
) -> list[RegionId]:
    """Ids of a frame's detections (category, bbox, score), in their order.

    The id derives from the content of the detection and not from its index, so an unchanged
    detection keeps its id in a new revision of the predictions. Exact repeats are numbered.
    """
    return _numbered(
        _name("region", frame_id, detector, category, [*bbox], score)
        for category, bbox, score in regions
    )


def annotation_ids(
    frame_id: FrameId, annotations: Iterable[tuple[Category, Box]]
) -> list[RegionId]:
    """Ids of a frame's annotations (category, bbox), in their order.

    An unchanged annotation keeps its id in a new revision of the ground truth.
    """
    return _numbered(
        _name("annotation", frame_id, category, [*bbox]) for category, bbox in annotations
    )


def _numbered(names: Iterable[str]) -> list[RegionId]:
    seen: Counter[str] = Counter()
    ids = []
    for name in names:
        ids.append(RegionId(name if not seen[name] else _name("repeat", name, seen[name])))
        seen[name] += 1
    return ids


def needle_id(region: RegionId) -> NeedleId:
    """Id of the needle of a region."""
    return NeedleId(_name("needle", region))


def missed_needle_id(detector: DetectorId, annotation: RegionId) -> NeedleId:
    """Id of the needle of an annotation that a detector misses; others may find it."""
    return NeedleId(_name("missed_needle", detector, annotation))


def family_id(leader: NeedleId) -> FamilyId:
    """Id of the family with this leader."""
    return FamilyId(_name("family", leader))


def region_point_id(model: ModelId, region: RegionId) -> PointId:
    """Id of a region's vector under one embedding model."""
    return PointId(_name("region_point", model, region))


def frame_point_id(model: ModelId, frame_id: FrameId) -> PointId:
    """Id of a frame's global vector under one embedding model."""
    return PointId(_name("frame_point", model, frame_id))


def import_id(name: str, started_at: str) -> ImportId:
    """Id of a run, short enough to type."""
    return ImportId(_name("import", name, started_at).replace("-", "")[:12])


def letter_id(*record: object) -> LetterId:
    """Id of a record's dead letter, by its content, or by its location if it has no topic."""
    return LetterId(_name("letter", *record))


def replay_id(letter: LetterId, number: int) -> ReplayId:
    """Id of a dead letter's replay, numbered from 1; two concurrent replays have the same id."""
    return ReplayId(_name("replay", letter, number))
