"""Lists of active needles, and the protocol of the store that answers them."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Protocol

from services.annotation.ports.needle_filters import ANY_NEEDLE, NeedleFilter, Sort, Stage
from services.annotation.ports.reviews import Projection
from services.contracts.events import ErrorType
from services.contracts.identity import Category, FrameId, NeedleId
from services.contracts.needles import NeedleFound
from services.domain.ports.needles import ReviewProgress


@dataclass(frozen=True)
class NeedleRow:
    """A needle with what a list shows of it.

    Attributes
    ----------
    relatives : the number of other active needles of its family
    """

    needle: NeedleFound
    candidates: int
    review: Projection | None
    extended: bool
    family: str | None = None
    relatives: int = 0

    @property
    def stage(self) -> Stage:
        """The stage of its review."""
        if self.candidates == 0:
            return Stage.UNLISTED
        if self.review is None:
            return Stage.OPEN
        return Stage.EXTENDED if self.extended else Stage(self.review.progress.value)


@dataclass(frozen=True)
class ReviewWork:
    """What there is to decide, and what was decided.

    Attributes
    ----------
    shortlists : number of needles with candidates
    to_review : number of those with a candidate that is not decided
    frames : number of candidates; a frame is on one shortlist only
    decided : number of candidates with a decision, of which `accepted` and `unsure`
    """

    shortlists: int = 0
    to_review: int = 0
    frames: int = 0
    decided: int = 0
    accepted: int = 0
    unsure: int = 0

    @property
    def done(self) -> int:
        """The number of shortlists without an undecided candidate."""
        return self.shortlists - self.to_review

    @property
    def rejected(self) -> int:
        """The number of rejected candidates."""
        return self.decided - self.accepted - self.unsure

    def __add__(self, other: "ReviewWork") -> "ReviewWork":
        pairs = zip(astuple(self), astuple(other), strict=True)
        return ReviewWork(*(one + another for one, another in pairs))


@dataclass(frozen=True)
class NeedleGroup:
    """The needles of one failure mode, family and review progress, and their review work."""

    detector: str
    category: Category
    error_type: ErrorType
    true_category: Category | None
    family: str | None
    progress: ReviewProgress
    count: int
    work: ReviewWork


@dataclass(frozen=True)
class Queue:
    """The number of shortlists by stage of review, and since when open ones wait.

    Attributes
    ----------
    waits_since : when the open needle that waits longest got its shortlist, by the store's clock
    now : by the same clock
    """

    stages: Mapping[Stage, int]
    waits_since: datetime | None
    now: datetime

    @property
    def oldest_wait_s(self) -> float:
        """Seconds since the first open needle got its shortlist; 0 if none is open."""
        return (self.now - self.waits_since).total_seconds() if self.waits_since else 0.0


@dataclass(frozen=True)
class ListPosition:
    """A needle's place in a list: its neighbours, the number before it, and the total."""

    previous: NeedleId | None
    following: NeedleId | None
    before: int
    total: int


class NeedleLists(Protocol):
    """Lists of active needles: filtered, sorted, counted and paged."""

    async def mark_older(self) -> None:
        """Set the fields that lists filter and count by on needles that an older version wrote.

        If none lacks them, an index alone answers that.
        """
        ...

    async def page(
        self,
        wanted: NeedleFilter,
        sort: Sort,
        *,
        skip: int = 0,
        limit: int,
        after: NeedleFound | None = None,
    ) -> list[NeedleRow]:
        """The needles from place `skip` on; with `after`, counted from the one behind it.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    async def ids(
        self,
        wanted: NeedleFilter,
        sort: Sort,
        *,
        skip: int = 0,
        limit: int,
        after: NeedleFound | None = None,
    ) -> list[NeedleId]:
        """The ids of a page's needles."""
        ...

    async def rows(self, needle_ids: Sequence[NeedleId]) -> list[NeedleRow]:
        """These needles in this order, without those that are gone."""
        ...

    async def found(self, needle_id: NeedleId) -> NeedleFound | None:
        """A needle without its shortlist and review; None if it is not known."""
        ...

    async def count(self, wanted: NeedleFilter) -> int:
        """How many needles pass the filter."""
        ...

    async def groups(self, wanted: NeedleFilter = ANY_NEEDLE) -> list[NeedleGroup]:
        """The active needles that pass the filter and their work, by group.

        Those of all needles are answered from an index alone.
        """
        ...

    async def queue(self) -> Queue:
        """The review queue."""
        ...

    async def place(self, wanted: NeedleFilter, sort: Sort, row: NeedleFound) -> ListPosition:
        """The place that a needle has, or would have, in the filtered list."""
        ...

    async def of_frame(self, frame_id: FrameId) -> list[NeedleRow]:
        """The needles on this frame."""
        ...

    async def naming(self, frame_id: FrameId, limit: int = 50) -> list[NeedleRow]:
        """The needles whose shortlist names this frame."""
        ...
