"""Corrections of the review page, and the protocol of their store."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from services.contracts.events import Annotation, FrameAnnotated
from services.contracts.identity import FrameId
from services.domain.ports.frames import FrameRecord


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


class CorrectionStore(Protocol):
    """Corrections, stored before they are published so that none is lost."""

    async def keep(self, correction: Correction) -> None:
        """Store a correction durably, unless it is known.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    async def settle(self, correction: Correction, outcome: Outcome) -> None:
        """Store the outcome of a correction."""
        ...

    async def pending(self) -> list[Correction]:
        """Corrections that may not have been published yet."""
        ...

    async def count_published(self) -> int:
        """The number of published corrections."""
        ...

    async def published(self, frame_id: FrameId) -> list[Correction]:
        """Published corrections of a frame, by revision."""
        ...

    async def published_of(self, frame_ids: Collection[FrameId]) -> list[Correction]:
        """Published corrections of some frames, by revision."""
        ...

    async def latest_truth(self, frame: FrameRecord) -> FrameAnnotated | None:
        """A frame's latest ground truth, including corrections that fp_miner has not read yet.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    async def latest_truths(self, frames: Collection[FrameRecord]) -> dict[FrameId, FrameAnnotated]:
        """Like `latest_truth`, for each of these frames that is annotated."""
        ...
