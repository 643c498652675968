"""The distinct questions of held corrections, and the protocol of the store that reads them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.contracts.identity import FrameId
from services.domain.ports.held_corrections import (
    HeldCorrection,
    LabelAnswer,
    Question,
)


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


class OpenQuestions(Protocol):
    """The distinct questions of held corrections."""

    async def count(self) -> int:
        """The number of open questions; a label counts once, however many corrections need it.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    async def labels(self) -> list[OpenLabel]:
        """The labels without an answer, by falling number of waiting corrections."""
        ...

    async def choices(self, limit: int, after: OpenChoice | None = None) -> list[OpenChoice]:
        """Corrections that wait for a choice, oldest first; with `after`, those behind it."""
        ...

    async def naming(self, label: str, limit: int) -> list[HeldCorrection]:
        """Corrections that wait for an answer about this label, oldest first."""
        ...

    async def lately_answered(self, limit: int) -> list[LabelAnswer]:
        """The latest answers about labels, latest first."""
        ...
