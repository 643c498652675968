"""Documents of frames and of predictions: how events become fields, and fields events.

A document has an event as the bytes that the codec writes, and the fields that queries need.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

from pymongo import UpdateOne

from services.contracts.codec import decode, stored
from services.contracts.events import Event, FrameAnnotated, FrameCaptured, PredictionsMade
from services.contracts.identity import DetectorId, FrameId
from services.contracts.topics import FRAMES, GROUND_TRUTH, PREDICTIONS, Topic
from services.domain.detection.category_map import CategoryMap
from services.domain.ports.frames import FrameFact, FrameRecord
from services.domain.revision_conflicts import content_of, refuse_conflict, revision_of
from services.runtime.stores.mongo import NOW, STORED_NOW, Document, Guarded, pair_id
from services.runtime.stores.unreadable import readable

_REVISIONS_LISTED = 200
"""How many revisions of a frame's ground truth keep a summary. Limited, because all summaries are
in the frame's document, which every revision rewrites."""
IMAGE_DELETED = "image_deleted"
"""Field of frames whose image retention has deleted."""
IN_FORCE: Final[Document] = {"truth_complete": {"$type": "bool"}}
"""Condition that finds frames with ground truth that is not withdrawn."""
E = TypeVar("E", bound=Event)


def update_of(fact: FrameFact) -> Guarded:
    """The write of a fact, which happens only while older content is stored, or none."""
    if isinstance(fact, PredictionsMade):
        return _predictions_update(fact)
    if isinstance(fact, FrameCaptured):
        captured, key = captured_fields(fact), {"_id": fact.frame_id}
        return Guarded(
            key | {"captured": {"$exists": False}},
            {"$set": captured, "$currentDate": {"captured_stored": NOW}},
            key | captured | {"captured_stored": STORED_NOW},
        )
    summary = _summary(fact)
    update: Document = {
        "$set": truth_fields(fact) | summary["$set"],
        "$currentDate": {"truth_stored": NOW} | summary["$currentDate"],
    }
    if fact.revision > _REVISIONS_LISTED + 1:
        # Revision 1 stays, because it has the ground truth's original source.
        update["$unset"] = {f"revisions.{fact.revision - _REVISIONS_LISTED}": ""}
    where = {"_id": fact.frame_id, "truth_revision": {"$not": {"$gte": fact.revision}}}
    return Guarded(where, update)


def _summary(fact: FrameAnnotated) -> Document:
    """The update that adds a summary of a revision."""
    path = f"revisions.{fact.revision}"
    parts = {
        f"{path}.source": fact.annotation_source,
        f"{path}.by": fact.annotated_by,
        f"{path}.objects": len(fact.annotations),
    }
    return {"$set": parts, "$currentDate": {f"{path}.at": True}}


def captured_fields(fact: FrameCaptured) -> Document:
    """The fields of a frame that describe its capture."""
    fields: Document = {
        "captured": stored(fact),
        "captured_content": content_of(fact),
        "captured_at": fact.captured_at,
        "vehicle_id": fact.vehicle_id,
        "drive_id": fact.drive_id,
    }
    if fact.position is not None:
        fields["position"] = [fact.position.lat, fact.position.lon]
    return fields


def truth_fields(fact: FrameAnnotated) -> Document:
    """The fields of a frame that describe its annotation."""
    return {
        "truth": stored(fact),
        "truth_revision": fact.revision,
        "truth_content": content_of(fact),
        "truth_source": fact.annotation_source,
        "truth_complete": _complete(fact),
        "categories": sorted({annotation.category for annotation in fact.annotations}),
    }


def _complete(fact: PredictionsMade | FrameAnnotated) -> bool | None:
    """Whether it is complete; None where it is withdrawn, so that nothing counts it."""
    return None if fact.withdrawn else fact.complete


def prediction_fields(fact: PredictionsMade) -> Document:
    """The fields of a detector version's predictions on a frame."""
    return {
        "frame_id": fact.frame_id,
        "detector": fact.detector_id,
        "revision": fact.revision,
        "content": content_of(fact),
        "complete": _complete(fact),
        "event": stored(fact),
    }


def _predictions_update(fact: PredictionsMade) -> Guarded:
    fields, key = prediction_fields(fact), {"_id": pair_id(fact.frame_id, fact.detector_id)}
    return Guarded(
        key | {"revision": {"$not": {"$gte": fact.revision}}},
        {"$set": fields, "$currentDate": {"stored": NOW}},
        key | fields | {"stored": STORED_NOW},
    )


def refuse_conflicts(
    writes: Iterable[tuple[FrameFact, Guarded]],
    frames: Mapping[str, Document],
    predictions: Mapping[str, Document],
) -> None:
    """Raise if a stored fact contradicts one of those that were to be written."""
    for fact, guarded in writes:
        written, _id = guarded.update["$set"], guarded.where["_id"]
        match fact:
            case FrameCaptured():
                name, stored_revision = "captured_content", revision_of(fact)
            case FrameAnnotated():
                name, stored_revision = "truth_content", frames[_id]["truth_revision"]
            case PredictionsMade():
                name, stored_revision = "content", predictions[_id]["revision"]
        documents = predictions if isinstance(fact, PredictionsMade) else frames
        refuse_conflict(fact, written[name], stored_revision, documents[_id][name])


def late_summaries(facts: Iterable[FrameFact], frames: Mapping[str, Document]) -> list[UpdateOne]:
    """Updates that list revisions of ground truth that arrived after a newer one."""
    return [
        UpdateOne(
            {"_id": fact.frame_id, f"revisions.{fact.revision}": {"$exists": False}},
            _summary(fact),
        )
        for fact in facts
        if isinstance(fact, FrameAnnotated)
        and 0 < frames[fact.frame_id]["truth_revision"] - fact.revision < _REVISIONS_LISTED
    ]


def records_of(
    frames: Iterable[Document],
    predictions: Iterable[Document],
    maps: Mapping[DetectorId, CategoryMap],
) -> dict[FrameId, FrameRecord]:
    """The records of these frames, and of frames of which only predictions are known."""
    of_frame: dict[FrameId, dict[DetectorId, PredictionsMade]] = {}
    for fact in readable("predictions", predictions, predictions_of):
        of_frame.setdefault(fact.frame_id, {})[fact.detector_id] = fact
    documents: dict[str, Document] = {frame_id: {"_id": frame_id} for frame_id in of_frame}
    documents |= {document["_id"]: document for document in frames}

    def record(document: Document) -> FrameRecord:
        frame_id = document["_id"]
        return FrameRecord(
            frame_id=frame_id,
            captured=_event(document, "captured", FRAMES, FrameCaptured),
            ground_truth=_event(document, "truth", GROUND_TRUTH, FrameAnnotated),
            predictions=of_frame.get(frame_id, {}),
            original=document.get("original", frame_id if _is_captured(document) else None),
            category_maps=maps,
            image_deleted=document.get(IMAGE_DELETED, False),
        )

    records = readable("frames", documents.values(), record)
    return {item.frame_id: item for item in records}


def _is_captured(document: Document) -> bool:
    return "captured" in document or "captured_at" in document


def captured_of(document: Document) -> FrameCaptured:
    """The event in a document of the collections `frames` and `embeddings` that has one."""
    captured = decode(FRAMES.name, document["captured"])
    assert isinstance(captured, FrameCaptured)
    return captured


def predictions_of(document: Document) -> PredictionsMade:
    """The event in a document of the collection `predictions`."""
    event = decode(PREDICTIONS.name, document["event"])
    assert isinstance(event, PredictionsMade)
    return event


def _event(document: Document, part: str, topic: Topic, kind: type[E]) -> E | None:
    if part not in document:
        return None
    event: Any = decode(topic.name, document[part])
    assert isinstance(event, kind)
    return event
