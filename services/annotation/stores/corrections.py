"""Corrections of the review page, stored before they are published so that none is lost."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from services.contracts.events import Annotation, FrameAnnotated
from services.contracts.identity import FrameId
from services.domain.ports.frames import FrameRecord
from services.runtime.stores.mongo import Database, Document, translated
from services.runtime.stores.unreadable import readable


class Outcome(StrEnum):
    """The state of a correction."""

    PENDING = "pending"
    PUBLISHED = "published"
    OVERTAKEN = "overtaken"
    """Another correction has become the next revision of the ground truth that it changed."""


@dataclass(frozen=True)
class Correction:
    """A frame's ground truth as an annotator changed it, to become the next revision.

    Attributes
    ----------
    correction_id : digest of the content and of the revision that it changes
    before : the annotations of that revision, for an undo
    act_id : id that the page gave the action, to recognise a repeat; empty without one
    """

    correction_id: str
    event: FrameAnnotated
    before: tuple[Annotation, ...]
    outcome: Outcome = Outcome.PENDING
    act_id: str = ""


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
        """Store a correction durably, unless it is known.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
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
        """Store the outcome of a correction."""
        with translated():
            await self._corrections.update_one(
                {"_id": correction.correction_id}, {"$set": {"outcome": outcome.value}}
            )

    async def pending(self) -> list[Correction]:
        """Corrections that may not have been published yet."""
        return await self._find({"outcome": Outcome.PENDING.value})

    async def published(self, frame_id: FrameId) -> list[Correction]:
        """Published corrections of a frame, by revision."""
        return await self.published_of([frame_id])

    async def published_of(self, frame_ids: Collection[FrameId]) -> list[Correction]:
        """Published corrections of some frames, by revision."""
        where = {"frame_id": {"$in": list(frame_ids)}, "outcome": Outcome.PUBLISHED.value}
        return await self._find(where)

    async def latest_truth(self, frame: FrameRecord) -> FrameAnnotated | None:
        """A frame's latest ground truth, including corrections that fp_miner has not read yet.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        return (await self.latest_truths([frame])).get(frame.frame_id)

    async def latest_truths(self, frames: Collection[FrameRecord]) -> dict[FrameId, FrameAnnotated]:
        """Like `latest_truth`, for each of these frames that is annotated."""
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
