"""Recompute a result only if the records have changed."""

from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from services.domain.ports.epochs import EpochStore
from services.domain.ports.matches import MatchStore
from services.domain.ports.vectors import REGION_VECTORS, VectorReader, live_model
from services.runtime.clock import Clock
from services.runtime.revised_frames import RevisedFrames

T = TypeVar("T")


class WhenChanged(Generic[T]):
    """A result of all matches and shortlists, recomputed only if any has changed.

    Parameters
    ----------
    work : computes the result
    state : a short value of everything else that the result depends on; recompute if it differs
    """

    def __init__(
        self,
        work: Callable[[], Awaitable[T]],
        matches: MatchStore,
        state: Callable[[], Awaitable[Hashable]],
        clock: Clock,
    ) -> None:
        self._work = work
        self._state = state
        self._revised = RevisedFrames(matches, clock)
        self._last: tuple[Hashable, T] | None = None

    async def __call__(self) -> T:
        """The current result.

        Raises
        ------
        StoreUnavailable
            A store does not answer.
        """
        state = await self._state()
        if self._last is not None and state != self._last[0]:
            # During a stream the state always differs: which frames changed need not be read then.
            async with self._revised.passed_over():
                self._last = state, await self._work()
            return self._last[1]
        async with self._revised.taken() as frames:
            if self._last is None or frames is None or frames:
                self._last = state, await self._work()
        return self._last[1]


async def retrieval_state(epochs: EpochStore, vectors: VectorReader) -> Hashable:
    """The last epochs, and the live embedding model, whose switch closes no epoch.

    Raises
    ------
    StoreUnavailable
        A store does not answer.
    """
    return await epochs_closed(epochs), await live_model(vectors, REGION_VECTORS)


async def epochs_closed(epochs: EpochStore) -> Hashable:
    """The number of each detector's last epoch: shortlists change only when one is closed.

    Raises
    ------
    StoreUnavailable
        The store does not answer.
    """
    return frozenset(
        (detector, epoch.number) for detector, epoch in (await epochs.latest()).items()
    )
