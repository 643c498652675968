"""Frames in MongoDB: one document per frame, and one per frame and detector version.

`frame_documents` converts events to documents and back.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence

from pymongo import UpdateOne

from services.contracts.events import REANNOTATION_SOURCE, FrameCaptured, PredictionsMade
from services.contracts.identity import DetectorId, FrameId
from services.domain.chunks import chunks
from services.domain.detection.category_map import CategoryMap
from services.domain.ports.category_maps import MapScope
from services.domain.ports.frames import (
    AffectedPredictions,
    FrameFact,
    FrameRecord,
    FrameTally,
    Pair,
)
from services.runtime.stores.category_maps_mongo import MongoCategoryMaps
from services.runtime.stores.frame_documents import (
    IMAGE_DELETED,
    IN_FORCE,
    captured_of,
    late_summaries,
    predictions_of,
    records_of,
    refuse_conflicts,
    update_of,
)
from services.runtime.stores.mongo import (
    Database,
    Document,
    insert_new,
    pair_id,
    translated,
    write,
    write_guarded,
)
from services.runtime.stores.unreadable import readable

_AT_ONCE = 500
_PARTS = (
    *("captured", "captured_content", "truth", "truth_revision", "truth_content", "original"),
    IMAGE_DELETED,
)
_TRUTH: Document = {"truth_revision": {"$exists": True}}


def _number(condition: Document) -> Document:
    """Expression that counts the documents that meet a condition."""
    return {"$sum": {"$cond": [condition, 1, 0]}}


_OF_FRAMES: Document = {
    "_id": None,
    "frames": _number({"$gt": ["$captured_at", None]}),
    "ground_truth": _number(
        {"$and": [{"$gt": ["$truth_revision", None]}, {"$ne": ["$truth_complete", None]}]}
    ),
    "partial_ground_truth": _number({"$eq": ["$truth_complete", False]}),
    "copies": _number({"$gt": ["$original", None]}),
}
_OF_PREDICTIONS: Document = {
    "_id": None,
    "predictions": _number({"$ne": ["$complete", None]}),
    "partial_predictions": _number({"$eq": ["$complete", False]}),
}
"""The aggregations that yield a FrameTally."""


class MongoFrameStore:
    """The collections `frames`, `predictions`, and `pictures`: which frame showed each first."""

    def __init__(self, database: Database) -> None:
        self._frames = database["frames"]
        self._predictions = database["predictions"]
        self._pictures = database["pictures"]
        self._maps = MongoCategoryMaps(database)

    async def prepare(self) -> None:
        """Create the indexes, unless they are there."""
        with translated():
            # Verdicts are read from these few frames, and often; so a partial index.
            await self._frames.create_index(
                [("truth_source", 1), ("_id", 1)],
                partialFilterExpression={"truth_source": REANNOTATION_SOURCE},
            )
            await self._predictions.create_index("frame_id")
            # Which categories no annotation has is read from the index alone.
            await self._frames.create_index("categories")
            # Only copies have it: an erasure asks who else shows an image.
            await self._frames.create_index("original", sparse=True)
            # Retention reads the oldest frames: those without ground truth, and the images of those
            # with it. Each index has the frames of its query alone.
            await self._frames.create_index(
                [("captured_stored", 1), ("_id", 1)],
                partialFilterExpression={"truth_complete": None},
            )
            await self._frames.create_index(
                [(IMAGE_DELETED, 1), ("captured_stored", 1), ("_id", 1)],
                partialFilterExpression=IN_FORCE,
            )

    async def record(
        self, facts: Sequence[FrameFact], pairs: Collection[Pair] = ()
    ) -> dict[FrameId, FrameRecord]:
        writes = [(fact, update_of(fact)) for fact in facts]
        prediction_updates = [
            update for fact, update in writes if isinstance(fact, PredictionsMade)
        ]
        of_frames = [update for fact, update in writes if not isinstance(fact, PredictionsMade)]
        await asyncio.gather(
            write_guarded(self._frames, of_frames),
            write_guarded(self._predictions, prediction_updates),
        )
        # Written first and read then: of two processes that complete a frame at the same time, one
        # at least sees both parts.
        affected = AffectedPredictions.by(facts, pairs)
        frames, predictions = await self._read(affected.frame_ids, _of(affected))
        refuse_conflicts(writes, frames, predictions)
        await write(self._frames, late_summaries(facts, frames))
        # After the check for conflicts: a refused frame must not claim its image.
        await self._claim([fact for fact in facts if isinstance(fact, FrameCaptured)], frames)
        return await self._records(frames.values(), predictions.values())

    async def load(self, frame_ids: Collection[FrameId]) -> dict[FrameId, FrameRecord]:
        ids = list(frame_ids)
        frames, predictions = await self._read(ids, {"frame_id": {"$in": ids}})
        return await self._records(frames.values(), predictions.values())

    async def image_sizes(
        self, frame_ids: Collection[FrameId]
    ) -> Mapping[FrameId, tuple[int, int]]:
        where = {"_id": {"$in": list(frame_ids)}, "captured": {"$exists": True}}
        with translated():
            documents = await self._frames.find(where, {"captured": 1}).to_list()
        captured = await asyncio.to_thread(readable, "frames", documents, captured_of)
        return {item.frame_id: (item.image.width, item.image.height) for item in captured}

    async def evaluable(
        self, frame_ids: Collection[FrameId] | None = None
    ) -> AsyncIterator[Sequence[FrameRecord]]:
        parts = dict.fromkeys(("truth", "original", "captured_at"), 1)
        for where in _named(frame_ids):
            with translated():
                found = self._frames.find(_TRUTH | where, parts)
                while documents := await found.to_list(_AT_ONCE):
                    ids = {"frame_id": {"$in": [document["_id"] for document in documents]}}
                    predictions = await self._predictions.find(ids).to_list()
                    records = (await self._records(documents, predictions)).values()
                    yield [item for item in records if item.predictions and item.ground_truth]

    async def predicted(self, detector: DetectorId) -> AsyncIterator[Sequence[FrameRecord]]:
        with translated():
            found = self._predictions.find({"detector": detector})
            while documents := await found.to_list(_AT_ONCE):
                ids = {"_id": {"$in": [document["frame_id"] for document in documents]}}
                frames = await self._frames.find(ids, dict.fromkeys(_PARTS, 1)).to_list()
                yield list((await self._records(frames, documents)).values())

    async def category_maps(
        self, detectors: Collection[DetectorId]
    ) -> Mapping[DetectorId, CategoryMap]:
        return await self._maps.of(detectors)

    async def predictions_after(
        self, scope: MapScope, after: str, limit: int
    ) -> tuple[Sequence[PredictionsMade], str]:
        of_scope = {"$in": [scope, re.compile(f"^{re.escape(scope)}@")]}
        with translated():
            found = self._predictions.find({"_id": {"$gt": after}, "detector": of_scope})
            documents = await found.sort("_id", 1).to_list(limit)
        predictions = await asyncio.to_thread(readable, "predictions", documents, predictions_of)
        return predictions, documents[-1]["_id"] if documents else after

    async def annotated_from(self, source: str) -> set[FrameId]:
        where = {"truth_source": source, "truth_complete": True}
        with translated():
            found = await self._frames.find(where, {"_id": 1}).to_list()
        return {document["_id"] for document in found}

    async def tally(self) -> FrameTally:
        with translated():
            frames = await (await self._frames.aggregate([{"$group": _OF_FRAMES}])).to_list()
            counting: list[Document] = [{"$group": _OF_PREDICTIONS}]
            grouped = await (await self._predictions.aggregate(counting)).to_list()
        counts = {"frames": 0, "predictions": 0, "ground_truth": 0}
        for document in (*frames, *grouped):
            counts |= {name: count for name, count in document.items() if name != "_id"}
        return FrameTally(**counts)

    async def _read(
        self, frame_ids: Collection[FrameId], condition: Document
    ) -> tuple[dict[str, Document], dict[str, Document]]:
        """The documents of these frames, and those of the predictions that meet a condition."""
        with translated():
            frames, predictions = await asyncio.gather(
                self._frames.find(
                    {"_id": {"$in": list(frame_ids)}}, dict.fromkeys(_PARTS, 1)
                ).to_list(),
                self._predictions.find(condition).to_list(),
            )
        return (
            {document["_id"]: document for document in frames},
            {document["_id"]: document for document in predictions},
        )

    async def _records(
        self, frames: Iterable[Document], predictions: Collection[Document]
    ) -> dict[FrameId, FrameRecord]:
        # Read after the predictions. A change of a map reads the predictions afterwards, so one of
        # the two always sees the other.
        maps = await self._maps.of({document["detector"] for document in predictions})
        return await asyncio.to_thread(records_of, frames, predictions, maps)

    async def _claim(
        self, captured: Sequence[FrameCaptured], frames: Mapping[str, Document]
    ) -> None:
        """Make each frame its image's original, unless another has been; note who that is."""
        first: dict[str, FrameId] = {}
        for fact in captured:
            first.setdefault(fact.image.sha256, fact.frame_id)
        if not first:
            return
        claims = [{"_id": sha256, "frame_id": frame_id} for sha256, frame_id in first.items()]
        await insert_new(self._pictures, claims)
        with translated():
            found = await self._pictures.find({"_id": {"$in": list(first)}}).to_list()
        originals = {document["_id"]: document["frame_id"] for document in found}
        copies = {
            fact.frame_id: originals[fact.image.sha256]
            for fact in captured
            if originals[fact.image.sha256] != fact.frame_id
        }
        # Only copies name their original: they are few, and so most frames are written once.
        noted = [UpdateOne({"_id": c}, {"$set": {"original": o}}) for c, o in copies.items()]
        await write(self._frames, noted)
        for copy, original in copies.items():
            frames[copy]["original"] = original


def _named(frame_ids: Collection[FrameId] | None) -> list[Document]:
    """Conditions that together find these frames; all frames for None."""
    if frame_ids is None:
        return [{}]
    return [{"_id": {"$in": ids}} for ids in chunks(list(frame_ids), _AT_ONCE)]


def _of(affected: AffectedPredictions) -> Document:
    """The condition that finds the predictions that are affected."""
    pairs = {"_id": {"$in": [pair_id(*pair) for pair in affected.pairs]}}
    frames = {"frame_id": {"$in": list(affected.frames)}}
    if not affected.frames or not affected.pairs:
        return frames if affected.frames else pairs
    return {"$or": [frames, pairs]}
