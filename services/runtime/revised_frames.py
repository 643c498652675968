"""Finds frames whose matches changed, so that in-memory pools can be updated."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from services.contracts.identity import FrameId
from services.domain.ports.matches import MatchStore, Revised
from services.runtime.clock import Clock

_LATE = timedelta(minutes=1)
"""A write becomes visible at most this long after its time: drivers time out before, and clocks
differ."""


class RevisedFrames:
    """The frames whose matches changed since the last call; all frames after an erasure."""

    def __init__(self, matches: MatchStore, clock: Clock) -> None:
        self._matches = matches
        self._clock = clock
        self._checked_at: datetime | None = None
        self._reported: set[Revised] = set()
        self._erasures = 0

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[Collection[FrameId] | None]:
        """Yield the changed frames; None the first time, and after an erasure.

        None means all frames: the caller must read everything again.

        If the body raises, the next call yields the same frames again.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        now = self._clock.now()
        erasures = await self._matches.erasures()
        found = await self._matches.revised_since((self._checked_at or now) - _LATE)
        everything = self._checked_at is None or erasures != self._erasures
        yield None if everything else {item.frame_id for item in found - self._reported}
        self._checked_at, self._reported, self._erasures = now, found, erasures

    def forget(self) -> None:
        """Have the next call yield all frames, unless the current body ends without an error."""
        self._checked_at = None

    @asynccontextmanager
    async def passed_over(self) -> AsyncIterator[None]:
        """Note that the body processes all frames, so the changed ones need not be looked up.

        This saves reading a minute's matches. The next call may yield some of them once more.
        """
        now, erasures = self._clock.now(), await self._matches.erasures()
        yield
        self._checked_at, self._reported, self._erasures = now, set(), erasures
