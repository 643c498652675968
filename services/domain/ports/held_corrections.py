"""Held corrections, the answers to their questions, and the protocol of their store."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from services.contracts.events import FrameAnnotated
from services.contracts.identity import Category, FrameId


class Question(StrEnum):
    """Why a correction is held."""

    UNKNOWN_CATEGORY = "unknown_category"
    """It has a label that is no known category and has no answer."""
    ANNOTATORS_DISAGREE = "annotators_disagree"
    """Several annotators have annotated the frame differently."""
    OVERTAKEN = "overtaken"
    """The frame's ground truth has changed since the annotator received it, or it was held."""


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
    origin : the source of the correction, in words for reviewers
    chosen : index of the version that counts, -1 for none; None while undecided
    by, token_id, decided_at : who chose, with which token, and when
    tag : distinguishes it from an equal correction that was submitted earlier
    latest : without `after`, the revision that was the latest when it was held, 0 for none; None
        where that was not noted
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
    latest: int | None = None


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


class HeldCorrections(Protocol):
    """Corrections that wait for an answer, and the answers to what labels mean."""

    async def hold(self, corrections: Sequence[HeldCorrection]) -> list[HeldCorrection]:
        """Store these durably, unless they are known, and supersede those that they replace.

        A correction replaces waiting ones of its frame: those that follow the latest revision, if
        it follows it too; else those of its origin. A known one that is settled replaces none.

        Returns
        -------
        These corrections with their outcomes, which for known ones are not always `WAITING`.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    async def supersede(self, frame_ids: Collection[FrameId]) -> None:
        """Supersede waiting corrections of these frames, which have newer ground truth.

        Only corrections without `after`: published later, they would replace what is newer.
        """
        ...

    async def supersede_from(self, frame_id: FrameId, origin: str) -> None:
        """Supersede waiting corrections of a frame that came from a place, which has a newer one.

        Only corrections with `after`; `supersede` is for the others.
        """
        ...

    async def waiting(self, limit: int = 0) -> list[HeldCorrection]:
        """Corrections that are not settled, oldest first; all of them if the limit is 0."""
        ...

    async def find(self, held_id: str) -> HeldCorrection | None:
        """The correction with this id."""
        ...

    async def recent(self, limit: int) -> list[HeldCorrection]:
        """Corrections with a decision, latest first."""
        ...

    async def choose(self, choice: VersionChoice) -> bool:
        """Store a decision; False if another one was faster or the correction is settled."""
        ...

    async def ask_again(self, held_id: str, question: Question) -> None:
        """Discard the decision: the correction waits for the answer to another question.

        Changes nothing if the correction is settled.
        """
        ...

    async def settle(self, held_id: str, outcome: HeldOutcome, revision: int | None = None) -> None:
        """Store the outcome of a correction."""
        ...

    async def answer(self, answer: LabelAnswer) -> bool:
        """Store an answer durably; False if another answer with its version was faster."""
        ...

    async def answers(self, labels: Collection[str] | None = None) -> Mapping[str, LabelAnswer]:
        """The latest answer for each of these labels, or for all labels."""
        ...
