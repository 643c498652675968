"""What annotators decide about needles and their candidates: who, when, and what it undoes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from services.contracts.identity import FrameId, NeedleId, RegionId


class Act(StrEnum):
    """What an annotator did."""

    ACCEPT = "accept"
    """The candidate fails as the needle does."""
    REJECT = "reject"
    """It does not."""
    CORRECT = "correct"
    """A frame's ground truth got a new revision."""
    UNDO = "undo"
    """An earlier act no longer counts."""


@dataclass(frozen=True)
class ReviewEvent:
    """One change, never changed itself.

    Attributes
    ----------
    version : 1 for a needle's first change, and so on without a gap
    regions : the candidates that it is about
    by, token_id : the annotator's name, and the token of theirs that let them in
    undoes : for `UNDO`, the version that no longer counts
    frame_id, revision, note : for `CORRECT`, the frame, its new revision and what was said
    act_id : the id that the page gave the act, by which a repeat is known; empty without one
    """

    needle_id: NeedleId
    version: int
    act: Act
    regions: tuple[RegionId, ...]
    by: str
    token_id: str
    at: datetime
    undoes: int | None = None
    frame_id: FrameId | None = None
    revision: int | None = None
    note: str = ""
    act_id: str = ""


class Progress(StrEnum):
    """How far a needle's review is."""

    OPEN = "open"
    STARTED = "started"
    DONE = "done"


@dataclass(frozen=True)
class Projection:
    """What lists show of a needle's review; follows from its events."""

    version: int
    progress: Progress
    decided: int
    accepted: int
    shortlist_revision: int
    """The shortlist that was reviewed; a higher one has grown since."""
    by: str
    at: datetime


@dataclass(frozen=True)
class Claim:
    """Who works on a needle, and until when others keep away."""

    by: str
    token_id: str
    until: datetime

    def is_of(self, by: str) -> bool:
        """Whether this person holds it, whichever of their tokens they have come with."""
        return self.by == by


class ReviewStore(Protocol):
    """Reviews by needle. Events are only ever added."""

    async def events(self, needle_id: NeedleId) -> list[ReviewEvent]:
        """A needle's events in the order of their versions.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    async def append(self, event: ReviewEvent) -> bool:
        """Add an event durably; False where its version is taken: someone was faster."""
        ...

    async def project(self, needle_id: NeedleId, projection: Projection) -> None:
        """Show this in lists, unless a later version is shown."""
        ...

    async def of_frame(self, frame_id: FrameId) -> Sequence[ReviewEvent]:
        """The corrections of a frame, oldest first."""
        ...

    async def needles(self) -> Sequence[NeedleId]:
        """Every needle that anything was decided about."""
        ...

    async def recent(self, limit: int) -> Sequence[ReviewEvent]:
        """The latest events of all needles, latest first."""
        ...

    async def claim(
        self, needle_id: NeedleId, wanted: Claim, now: datetime, *, by_force: bool = False
    ) -> Claim:
        """Take or renew a claim; what is returned holds, which may be another's."""
        ...

    async def claims(self, needle_ids: Sequence[NeedleId], now: datetime) -> Mapping[str, Claim]:
        """The claims of these needles that have not run out."""
        ...

    async def signing_key(self) -> bytes:
        """The secret that sessions are signed with, the same for all replicas."""
        ...
