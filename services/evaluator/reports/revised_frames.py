"""Which frames' matches became others: what is kept of all is brought up to date by these."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from services.contracts.identity import FrameId
from services.domain.ports.matches import MatchStore, Revised
from services.runtime.clock import Clock

_LATE = timedelta(minutes=1)
"""So long after its time a write may be seen: a driver gives it up before, and clocks differ."""


class RevisedFrames:
    """The frames with matches that are others than the last time this was asked."""

    def __init__(self, matches: MatchStore, clock: Clock) -> None:
        self._matches = matches
        self._clock = clock
        self._asked_at: datetime | None = None
        self._told: set[Revised] = set()

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[Collection[FrameId] | None]:
        """Those of them; None for every frame there is, which is the first answer.

        Where what is done with them fails, they are told again.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        now = self._clock.now()
        found = await self._matches.revised_since((self._asked_at or now) - _LATE)
        yield None if self._asked_at is None else {item.frame_id for item in found - self._told}
        self._asked_at, self._told = now, found
