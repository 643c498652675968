"""The distinct questions of held corrections."""

from dataclasses import dataclass
from datetime import datetime

from services.contracts.identity import FrameId
from services.domain.ports.held_corrections import (
    HeldCorrection,
    HeldOutcome,
    LabelAnswer,
    Question,
)
from services.runtime.stores.held_corrections import answer_of, correction_of
from services.runtime.stores.mongo import Database, Document, translated
from services.runtime.stores.unreadable import readable

_WAITING: Document = {"outcome": HeldOutcome.WAITING.value}
_UNDECIDED: Document = {
    **_WAITING,
    "question": {"$ne": Question.UNKNOWN_CATEGORY.value},
    "chosen": None,
}


@dataclass(frozen=True)
class OpenLabel:
    """A label without an answer.

    Attributes
    ----------
    corrections : number of corrections that wait for the answer
    since : when the first of them was held
    """

    label: str
    corrections: int
    since: datetime


@dataclass(frozen=True)
class OpenChoice:
    """A correction for which a reviewer must choose the version that counts, or none."""

    held_id: str
    frame_id: FrameId
    question: Question
    annotators: tuple[str, ...]
    origin: str
    since: datetime


class MongoOpenQuestions:
    """Reads the collections `held_corrections` and `label_answers`."""

    def __init__(self, database: Database) -> None:
        self._held = database["held_corrections"]
        self._answers = database["label_answers"]

    async def prepare(self) -> None:
        """Create the index, unless it is there."""
        with translated():
            await self._held.create_index([("outcome", 1), ("question", 1), ("chosen", 1)])

    async def count(self) -> int:
        """The number of open questions; a label counts once, however many corrections need it.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        with translated():
            labels = set(await self._held.distinct("unknown", _WAITING))
            if labels:
                labels -= set(await self._answers.distinct("label", {"label": {"$in": [*labels]}}))
            return len(labels) + await self._held.count_documents(_UNDECIDED)

    async def labels(self) -> list[OpenLabel]:
        """The labels without an answer, by falling number of waiting corrections."""
        group = {"_id": "$unknown", "count": {"$sum": 1}, "since": {"$min": "$held_at"}}
        pipeline: list[Document] = [
            {"$match": _WAITING},
            {"$project": {"unknown": 1, "held_at": 1}},
            {"$unwind": "$unknown"},
            {"$group": group},
            {"$sort": {"count": -1, "_id": 1}},
        ]
        with translated():
            found = await (await self._held.aggregate(pipeline)).to_list()
            answered = set(await self._answers.distinct("label"))
        return [
            OpenLabel(document["_id"], document["count"], document["since"])
            for document in found
            if document["_id"] not in answered
        ]

    async def choices(self, limit: int) -> list[OpenChoice]:
        """Corrections that wait for a choice, oldest first."""
        shown = {"frame_id": 1, "question": 1, "origin": 1, "held_at": 1}
        with translated():
            cursor = self._held.find(_UNDECIDED, {**shown, "versions.annotated_by": 1})
            found = await cursor.sort([("held_at", 1), ("_id", 1)]).limit(limit).to_list()
        return [
            OpenChoice(
                held_id=document["_id"],
                frame_id=FrameId(document["frame_id"]),
                question=Question(document["question"]),
                annotators=tuple(v.get("annotated_by") or "unknown" for v in document["versions"]),
                origin=document["origin"],
                since=document["held_at"],
            )
            for document in found
        ]

    async def naming(self, label: str, limit: int) -> list[HeldCorrection]:
        """Corrections that wait for an answer about this label, oldest first."""
        with translated():
            cursor = self._held.find({**_WAITING, "unknown": label}).sort("held_at", 1)
            found = await cursor.limit(limit).to_list()
        return readable("held_corrections", found, correction_of)

    async def lately_answered(self, limit: int) -> list[LabelAnswer]:
        """The latest answers about labels, latest first."""
        with translated():
            found = await self._answers.find().sort("at", -1).limit(limit).to_list()
        return [answer_of(document) for document in found]
