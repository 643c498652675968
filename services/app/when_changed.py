"""Recompute a result only if the records have changed."""

from collections.abc import Awaitable, Callable, Hashable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from services.domain.ports.matches import MatchStore
from services.runtime.clock import Clock

T = TypeVar("T")
_LATE = timedelta(minutes=1)
"""Writes this long before a computation began count as not seen by it: writes may become visible
out of order, and the store's clock differs from ours."""


class WhenChanged(Generic[T]):
    """A result of all matches and shortlists, recomputed only if any has changed.

    Parameters
    ----------
    work : computes the result
    planned : a short value for everything else that the result depends on; recompute if it differs
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
        """The current result.

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
