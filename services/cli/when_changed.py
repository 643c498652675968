"""Work on all that is recorded, which is left out while nothing new is."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from services.runtime.clock import Clock
from services.runtime.stores.matches import MatchStore
from services.runtime.stores.needles import NeedleStore

T = TypeVar("T")
_LATE = timedelta(minutes=1)
"""So long before its beginning, what was written counts as not seen by some work: a write may be
seen later than one that began after it, and the store's clock is not ours."""


class WhenChanged(Generic[T]):
    """What follows from all matches and shortlists: found out again only where any has changed.

    Parameters
    ----------
    work : reads them all, and says what follows
    """

    def __init__(
        self,
        work: Callable[[], Awaitable[T]],
        matches: MatchStore,
        needles: NeedleStore,
        clock: Clock,
    ) -> None:
        self._work = work
        self._matches = matches
        self._needles = needles
        self._clock = clock
        self._last: tuple[datetime, int, T] | None = None

    async def __call__(self) -> T:
        """What follows now.

        Raises
        ------
        StoreUnavailable
            A store does not answer.
        """
        began, plans = self._clock.now(), await self._needles.plans()
        if self._last is not None:
            at, planned, said = self._last
            if plans == planned and not await self._matches.changed_since(at - _LATE):
                return said
        said = await self._work()
        self._last = began, plans, said
        return said
