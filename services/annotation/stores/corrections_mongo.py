"""Corrections of the review page, in MongoDB."""

from collections.abc import Collection

from services.annotation.ports.corrections import Correction, Outcome
from services.contracts.events import Annotation, FrameAnnotated
from services.contracts.identity import FrameId
from services.domain.ports.frames import FrameRecord
from services.runtime.stores.mongo import Database, Document, translated
from services.runtime.stores.unreadable import readable


class MongoCorrectionStore:
    """The collection `corrections`."""

    def __init__(self, database: Database) -> None:
        self._corrections = database["corrections"]

    async def prepare(self) -> None:
        """Create the indexes, unless they are there."""
        with translated():
            await self._corrections.create_index([("frame_id", 1), ("event.revision", 1)])
            await self._corrections.create_index("outcome")

    async def keep(self, correction: Correction) -> None:
        document = {
            "frame_id": correction.event.frame_id,
            "event": correction.event.model_dump(mode="json"),
            "before": [annotation.model_dump(mode="json") for annotation in correction.before],
            "outcome": correction.outcome.value,
            "act_id": correction.act_id,
        }
        with translated():
            await self._corrections.update_one(
                {"_id": correction.correction_id}, {"$setOnInsert": document}, upsert=True
            )

    async def settle(self, correction: Correction, outcome: Outcome) -> None:
        with translated():
            await self._corrections.update_one(
                {"_id": correction.correction_id}, {"$set": {"outcome": outcome.value}}
            )

    async def pending(self) -> list[Correction]:
        return await self._find({"outcome": Outcome.PENDING.value})

    async def count_published(self) -> int:
        with translated():
            where = {"outcome": Outcome.PUBLISHED.value}
            return await self._corrections.count_documents(where)

    async def published(self, frame_id: FrameId) -> list[Correction]:
        return await self.published_of([frame_id])

    async def published_of(self, frame_ids: Collection[FrameId]) -> list[Correction]:
        where = {"frame_id": {"$in": list(frame_ids)}, "outcome": Outcome.PUBLISHED.value}
        return await self._find(where)

    async def latest_truth(self, frame: FrameRecord) -> FrameAnnotated | None:
        return (await self.latest_truths([frame])).get(frame.frame_id)

    async def latest_truths(self, frames: Collection[FrameRecord]) -> dict[FrameId, FrameAnnotated]:
        sent = await self.published_of([frame.frame_id for frame in frames])
        known = [correction.event for correction in sent]
        known += (record.ground_truth for record in frames if record.ground_truth is not None)
        return {event.frame_id: event for event in sorted(known, key=lambda event: event.revision)}

    async def _find(self, where: Document) -> list[Correction]:
        with translated():
            found = await self._corrections.find(where).sort("event.revision", 1).to_list()
        return readable("corrections", found, _correction)


def _correction(document: Document) -> Correction:
    return Correction(
        correction_id=document["_id"],
        event=FrameAnnotated.model_validate(document["event"], extra="ignore"),
        before=tuple(
            Annotation.model_validate(item, extra="ignore") for item in document["before"]
        ),
        outcome=Outcome(document["outcome"]),
        act_id=document.get("act_id", ""),  # older ones have none
    )
