"""Held corrections, and the answers to their questions: what a label means, who is right."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pymongo.errors import DuplicateKeyError

from services.contracts.events import FrameAnnotated
from services.contracts.identity import Category, FrameId
from services.runtime.stores.mongo import Database, Document, translated
from services.runtime.stores.unreadable import readable


class Question(StrEnum):
    """Why a correction is held."""

    UNKNOWN_CATEGORY = "unknown_category"
    """It has a label that is no known category and has no answer."""
    ANNOTATORS_DISAGREE = "annotators_disagree"
    """Several annotators have annotated the frame differently."""
    OVERTAKEN = "overtaken"
    """The frame's ground truth has changed since the annotator received it."""


class HeldOutcome(StrEnum):
    """The state of a held correction."""

    WAITING = "waiting"
    PUBLISHED = "published"
    DROPPED = "dropped"
    """A reviewer has decided that none of its versions counts."""
    SUPERSEDED = "superseded"
    """The annotator has changed it since, or a newer correction of the frame has arrived."""


@dataclass(frozen=True)
class HeldCorrection:
    """A correction of a frame's ground truth that waits for an answer and has no revision yet.

    Attributes
    ----------
    held_id : equal for equal corrections
    versions : one, or one per annotator if they disagree
    unknown : unknown labels in the versions
    after : the revision that the annotators received; None to follow the latest revision
    origin : where the correction came from, in words for reviewers
    chosen : index of the version that counts, -1 for none; None while undecided
    by, token_id, decided_at : who chose, with which token, and when
    tag : distinguishes it from an equal correction that was submitted earlier
    """

    held_id: str
    frame_id: FrameId
    question: Question
    versions: tuple[FrameAnnotated, ...]
    unknown: tuple[Category, ...]
    after: int | None
    origin: str
    held_at: datetime
    chosen: int | None = None
    by: str = ""
    token_id: str = ""
    decided_at: datetime | None = None
    outcome: HeldOutcome = HeldOutcome.WAITING
    revision: int | None = None
    tag: str = ""


@dataclass(frozen=True)
class VersionChoice:
    """A reviewer's decision which version of a held correction counts.

    Attributes
    ----------
    question : the question that the reviewer answered; the stored one may have changed since
    chosen : index of the version, -1 for none
    """

    held_id: str
    question: Question
    chosen: int
    by: str
    token_id: str
    at: datetime


class Meaning(StrEnum):
    """What a label means."""

    SAME = "same"
    """An existing category under another name."""
    NEW = "new"
    """A new category."""
    NOTHING = "nothing"
    """Not an object of interest: its boxes are dropped."""


@dataclass(frozen=True)
class LabelAnswer:
    """A reviewer's answer what a label means; the latest version counts.

    Attributes
    ----------
    version : 1 for a label's first answer, then 2, 3, … without gaps
    category : for `SAME`, the existing category
    """

    label: str
    version: int
    meaning: Meaning
    category: Category | None
    by: str
    token_id: str
    at: datetime


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

    async def hold(self, corrections: Sequence[HeldCorrection]) -> None:
        """Store these durably, unless they are known, and supersede those that they replace.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        for correction in corrections:
            with translated():
                await self._held.update_one(
                    {"_id": correction.held_id},
                    {"$setOnInsert": _document(correction)},
                    upsert=True,
                )
            await self._supersede(
                {
                    "frame_id": correction.frame_id,
                    "_id": {"$ne": correction.held_id},
                    **(
                        {"after": None}
                        if correction.after is None
                        else {"origin": correction.origin}
                    ),
                }
            )

    async def supersede(self, frame_ids: Collection[FrameId]) -> None:
        """Supersede waiting corrections of these frames, which have newer ground truth.

        Only corrections without `after`: published later, they would replace what is newer.
        """
        await self._supersede({"frame_id": {"$in": list(frame_ids)}, "after": None})

    async def _supersede(self, where: Document) -> None:
        superseded = {"$set": {"outcome": HeldOutcome.SUPERSEDED.value}}
        with translated():
            await self._held.update_many(where | {"outcome": HeldOutcome.WAITING.value}, superseded)

    async def waiting(self, limit: int = 0) -> list[HeldCorrection]:
        """Corrections that are not settled, oldest first."""
        where = {"outcome": HeldOutcome.WAITING.value}
        with translated():
            found = await self._held.find(where).sort("held_at", 1).limit(limit).to_list()
        return readable("held_corrections", found, correction_of)

    async def find(self, held_id: str) -> HeldCorrection | None:
        """The correction with this id."""
        with translated():
            found = await self._held.find_one({"_id": held_id})
        return (
            next(iter(readable("held_corrections", [found], correction_of)), None)
            if found
            else None
        )

    async def recent(self, limit: int) -> list[HeldCorrection]:
        """Corrections with a decision, latest first."""
        with translated():
            cursor = self._held.find({"decided_at": {"$ne": None}})
            found = await cursor.sort("decided_at", -1).limit(limit).to_list()
        return readable("held_corrections", found, correction_of)

    async def choose(self, choice: VersionChoice) -> bool:
        """Store a decision; False if another one was faster or the correction is settled."""
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
        """Discard the decision: the correction waits for the answer to another question."""
        with translated():
            await self._held.update_one(
                {"_id": held_id, "outcome": HeldOutcome.WAITING.value},
                {"$set": {"question": question.value, "chosen": None}},
            )

    async def settle(self, held_id: str, outcome: HeldOutcome, revision: int | None = None) -> None:
        """Store the outcome of a correction."""
        with translated():
            await self._held.update_one(
                {"_id": held_id}, {"$set": {"outcome": outcome.value, "revision": revision}}
            )

    async def answer(self, answer: LabelAnswer) -> bool:
        """Store an answer durably; False if another answer with its version was faster."""
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
        """The latest answer for each of these labels, or for all labels."""
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
