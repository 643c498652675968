"""Held corrections, and the answers to their questions, in MongoDB."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from services.contracts.events import FrameAnnotated
from services.contracts.identity import FrameId
from services.domain.ports.held_corrections import (
    HeldCorrection,
    HeldOutcome,
    LabelAnswer,
    Meaning,
    Question,
    VersionChoice,
)
from services.runtime.stores.mongo import Database, Document, translated
from services.runtime.stores.unreadable import readable


class MongoHeldCorrections:
    """The collections `held_corrections` and `label_answers`."""

    def __init__(self, database: Database) -> None:
        self._held = database["held_corrections"]
        self._answers = database["label_answers"]

    async def prepare(self) -> None:
        """Create the indexes, unless they are there."""
        with translated():
            await self._held.create_index([("outcome", 1), ("held_at", 1)])
            await self._held.create_index("origin")
            await self._held.create_index([("decided_at", -1)])

    async def hold(self, corrections: Sequence[HeldCorrection]) -> list[HeldCorrection]:
        return [await self._hold(correction) for correction in corrections]

    async def _hold(self, correction: HeldCorrection) -> HeldCorrection:
        with translated():
            found = await self._held.find_one_and_update(
                {"_id": correction.held_id},
                {"$setOnInsert": _document(correction)},
                {"outcome": 1},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        assert found is not None  # an upsert inserts what it does not find
        outcome = HeldOutcome(found["outcome"])
        if outcome is HeldOutcome.WAITING:
            follows_latest = correction.after is None
            same = {"after": None} if follows_latest else {"origin": correction.origin}
            others = {"frame_id": correction.frame_id, "_id": {"$ne": correction.held_id}}
            await self._supersede({**others, **same})
        return replace(correction, outcome=outcome)

    async def supersede(self, frame_ids: Collection[FrameId]) -> None:
        await self._supersede({"frame_id": {"$in": list(frame_ids)}, "after": None})

    async def supersede_from(self, frame_id: FrameId, origin: str) -> None:
        await self._supersede({"frame_id": frame_id, "origin": origin, "after": {"$ne": None}})

    async def _supersede(self, where: Document) -> None:
        superseded = {"$set": {"outcome": HeldOutcome.SUPERSEDED.value}}
        with translated():
            await self._held.update_many(where | {"outcome": HeldOutcome.WAITING.value}, superseded)

    async def waiting(self, limit: int = 0) -> list[HeldCorrection]:
        where = {"outcome": HeldOutcome.WAITING.value}
        with translated():
            found = await self._held.find(where).sort("held_at", 1).limit(limit).to_list()
        return readable("held_corrections", found, correction_of)

    async def find(self, held_id: str) -> HeldCorrection | None:
        with translated():
            found = await self._held.find_one({"_id": held_id})
        return (
            next(iter(readable("held_corrections", [found], correction_of)), None)
            if found
            else None
        )

    async def recent(self, limit: int) -> list[HeldCorrection]:
        with translated():
            cursor = self._held.find({"decided_at": {"$ne": None}})
            found = await cursor.sort("decided_at", -1).limit(limit).to_list()
        return readable("held_corrections", found, correction_of)

    async def choose(self, choice: VersionChoice) -> bool:
        where = {
            "_id": choice.held_id,
            "question": choice.question.value,
            "chosen": None,
            "outcome": HeldOutcome.WAITING.value,
        }
        decided = {
            "chosen": choice.chosen,
            "by": choice.by,
            "token_id": choice.token_id,
            "decided_at": choice.at,
        }
        with translated():
            done = await self._held.update_one(where, {"$set": decided})
        return done.modified_count == 1

    async def ask_again(self, held_id: str, question: Question) -> None:
        with translated():
            await self._held.update_one(
                {"_id": held_id, "outcome": HeldOutcome.WAITING.value},
                {"$set": {"question": question.value, "chosen": None}},
            )

    async def settle(self, held_id: str, outcome: HeldOutcome, revision: int | None = None) -> None:
        with translated():
            await self._held.update_one(
                {"_id": held_id}, {"$set": {"outcome": outcome.value, "revision": revision}}
            )

    async def answer(self, answer: LabelAnswer) -> bool:
        document = {
            "_id": f"{answer.version}:{answer.label}",
            "label": answer.label,
            "version": answer.version,
            "meaning": answer.meaning.value,
            "category": answer.category,
            "by": answer.by,
            "token_id": answer.token_id,
            "at": answer.at,
        }
        with translated():
            try:
                await self._answers.insert_one(document)
            except DuplicateKeyError:
                return False
        return True

    async def answers(self, labels: Collection[str] | None = None) -> Mapping[str, LabelAnswer]:
        where = {} if labels is None else {"label": {"$in": list(labels)}}
        with translated():
            found = await self._answers.find(where).sort("version", 1).to_list()
        return {answer.label: answer for answer in readable("label_answers", found, answer_of)}


def _document(held: HeldCorrection) -> Document:
    return {
        "frame_id": held.frame_id,
        "question": held.question.value,
        "versions": [truth.model_dump(mode="json") for truth in held.versions],
        "unknown": list(held.unknown),
        "after": held.after,
        "origin": held.origin,
        "held_at": held.held_at,
        "chosen": held.chosen,
        "by": held.by,
        "token_id": held.token_id,
        "decided_at": held.decided_at,
        "outcome": held.outcome.value,
        "revision": held.revision,
        "tag": held.tag,
        "latest": held.latest,
    }


def correction_of(document: Document) -> HeldCorrection:
    """Read a correction from its document."""
    return HeldCorrection(
        held_id=document["_id"],
        frame_id=document["frame_id"],
        question=Question(document["question"]),
        versions=tuple(
            FrameAnnotated.model_validate(item, extra="ignore") for item in document["versions"]
        ),
        unknown=tuple(document["unknown"]),
        after=document["after"],
        origin=document["origin"],
        held_at=document["held_at"],
        chosen=document["chosen"],
        by=document["by"],
        token_id=document.get("token_id", ""),
        decided_at=document["decided_at"],
        outcome=HeldOutcome(document["outcome"]),
        revision=document["revision"],
        tag=document.get("tag", ""),  # older ones have none
        latest=document.get("latest"),
    )


def answer_of(document: Document) -> LabelAnswer:
    """Read an answer from its document."""
    return LabelAnswer(
        label=document["label"],
        version=document["version"],
        meaning=Meaning(document["meaning"]),
        category=document["category"],
        by=document["by"],
        token_id=document["token_id"],
        at=document["at"],
    )
