"""Work on all that is recorded, which is left out while nothing new is."""

from collections.abc import Awaitable, Callable, Hashable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from services.domain.ports.matches import MatchStore
from services.runtime.clock import Clock

T = TypeVar("T")
_LATE = timedelta(minutes=1)
"""So long before its beginning, what was written counts as not seen by some work: a write may be
seen later than one that began after it, and the store's clock is not ours."""


class WhenChanged(Generic[T]):
    """What follows from all matches and shortlists: found out again only where any has changed.

    Parameters
    ----------
    work : reads them all, and says what follows
    planned : what else it follows from, in short: where that is another, work is done again
    """

    def __init__(
        self,
        work: Callable[[], Awaitable[T]],
        matches: MatchStore,
        planned: Callable[[], Awaitable[Hashable]],
        clock: Clock,
    ) -> None:
        self._work = work
        self._matches = matches
        self._planned = planned
        self._clock = clock
        self._last: tuple[datetime, Hashable, T] | None = None

    async def __call__(self) -> T:
        """What follows now.

        Raises
        ------
        StoreUnavailable
            A store does not answer.
        """
        began, planned = self._clock.now(), await self._planned()
        if self._last is not None:
            at, before, result = self._last
            if planned == before and not await self._matches.changed_since(at - _LATE):
                return result
        result = await self._work()
        self._last = began, planned, result
        return result
