"""The distinct questions of held corrections, in MongoDB."""

from services.annotation.ports.open_questions import OpenChoice, OpenLabel
from services.contracts.identity import FrameId
from services.domain.ports.held_corrections import (
    HeldCorrection,
    HeldOutcome,
    LabelAnswer,
    Question,
)
from services.runtime.stores.held_corrections_mongo import answer_of, correction_of
from services.runtime.stores.mongo import Database, Document, translated
from services.runtime.stores.unreadable import readable

_WAITING: Document = {"outcome": HeldOutcome.WAITING.value}
_UNDECIDED: Document = {
    **_WAITING,
    "question": {"$ne": Question.UNKNOWN_CATEGORY.value},
    "chosen": None,
}


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
        with translated():
            labels = set(await self._held.distinct("unknown", _WAITING))
            if labels:
                labels -= set(await self._answers.distinct("label", {"label": {"$in": [*labels]}}))
            return len(labels) + await self._held.count_documents(_UNDECIDED)

    async def labels(self) -> list[OpenLabel]:
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

    async def choices(self, limit: int, after: OpenChoice | None = None) -> list[OpenChoice]:
        shown = {"frame_id": 1, "question": 1, "origin": 1, "held_at": 1}
        where = {**_UNDECIDED, **(_behind(after) if after else {})}
        with translated():
            cursor = self._held.find(where, {**shown, "versions.annotated_by": 1})
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
        with translated():
            cursor = self._held.find({**_WAITING, "unknown": label}).sort("held_at", 1)
            found = await cursor.limit(limit).to_list()
        return readable("held_corrections", found, correction_of)

    async def lately_answered(self, limit: int) -> list[LabelAnswer]:
        with translated():
            found = await self._answers.find().sort("at", -1).limit(limit).to_list()
        return [answer_of(document) for document in found]


def _behind(choice: OpenChoice) -> Document:
    later = {"held_at": {"$gt": choice.since}}
    return {"$or": [later, {"held_at": choice.since, "_id": {"$gt": choice.held_id}}]}
