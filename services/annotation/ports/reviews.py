"""The review store's protocol: annotators' decisions about needles and their candidates."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from services.contracts.identity import FrameId, NeedleId, RegionId
from services.domain.ports.needles import ReviewProgress


class Act(StrEnum):
    """What an annotator did."""

    ACCEPT = "accept"
    """The candidate fails in the needle's way."""
    REJECT = "reject"
    """It does not."""
    UNSURE = "unsure"
    """The annotator cannot tell."""
    CORRECT = "correct"
    """A frame's ground truth got a new revision."""
    UNDO = "undo"
    """An earlier act no longer counts."""


VERDICTS = (Act.ACCEPT, Act.REJECT, Act.UNSURE)
"""The acts that decide candidates."""


@dataclass(frozen=True)
class ReviewEvent:
    """One immutable decision.

    Attributes
    ----------
    version : 1 for a needle's first event, then without a gap
    regions : the candidates that it is about
    by, token_id : the annotator's name and token
    undoes : for `UNDO`, the version that no longer counts
    frame_id, revision : for `CORRECT`, the frame and its new revision
    note : what a `CORRECT` changed; else the annotator's comment
    verdict : for `CORRECT`, what the corrected ground truth decides about `regions`
    shown : where images are redacted, the digest of what the frame of each of `regions` showed;
        empty for a frame whose image was hidden
    act_id : the page's id of the act, which identifies repeats; empty without one
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
    verdict: Act | None = None
    shown: tuple[str, ...] = ()

    @property
    def decides(self) -> Act | None:
        """The decision about `regions`; None if the event decides nothing."""
        return self.act if self.act in VERDICTS else self.verdict


@dataclass(frozen=True)
class Projection:
    """The state of a needle's review for lists, derived from its events."""

    version: int
    progress: ReviewProgress
    decided: int
    accepted: int
    shortlist_revision: int
    """The revision of the reviewed shortlist; a higher one has changed since."""
    by: str
    at: datetime
    unsure: int = 0


@dataclass(frozen=True)
class Claim:
    """An annotator's exclusive claim on a needle, and when it ends."""

    by: str
    token_id: str
    until: datetime

    def is_of(self, by: str) -> bool:
        """Whether this person holds the claim, with any of their tokens."""
        return self.by == by


class ReviewStore(Protocol):
    """Reviews by needle. Events are append-only."""

    async def events(self, needle_id: NeedleId) -> list[ReviewEvent]:
        """A needle's events in the order of their versions.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    async def append(self, event: ReviewEvent) -> bool:
        """Add an event durably; False if its version is taken by a concurrent one."""
        ...

    async def project(self, needle_id: NeedleId, projection: Projection) -> None:
        """Store a projection, unless a later version is stored."""
        ...

    async def of_frame(self, frame_id: FrameId) -> Sequence[ReviewEvent]:
        """The corrections of a frame, oldest first."""
        ...

    def since(self, at: datetime) -> AsyncIterator[ReviewEvent]:
        """The events of all needles from this time on, oldest first."""
        ...

    def by_needle(self, since: datetime | None = None) -> AsyncIterator[list[ReviewEvent]]:
        """Each needle's events in the order of their versions, one needle after another.

        Parameters
        ----------
        since : leave out earlier events
        """
        ...

    async def time_by_needle(self, pause: timedelta) -> Mapping[NeedleId, timedelta]:
        """What all people spent on each needle: the time since the same person's event before.

        Parameters
        ----------
        pause : a longer time between two events counts as none
        """
        ...

    async def recent(self, limit: int) -> Sequence[ReviewEvent]:
        """The latest events of all needles, latest first."""
        ...

    async def claim(
        self, needle_id: NeedleId, wanted: Claim, now: datetime, *, by_force: bool = False
    ) -> Claim:
        """Take or renew a claim; returns the valid claim, possibly of someone else."""
        ...

    async def claims(self, needle_ids: Sequence[NeedleId], now: datetime) -> Mapping[str, Claim]:
        """The claims of these needles that have not expired."""
        ...

    async def signing_key(self) -> bytes:
        """The secret that sessions are signed with, the same for all replicas."""
        ...
