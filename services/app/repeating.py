"""Periodic background work of services."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

import structlog

from services.contracts.errors import VALUE_ERRORS, Invalid, Transient
from services.runtime.clock import Clock
from services.runtime.observability import metrics
from services.runtime.pace import Pace

log = structlog.get_logger(__name__)

_SHARE = 0.05
"""Default limit on the share of time that background work may take."""
_SHARE_OF_FIGURES = 0.01
"""The same for what is computed from all records: the more records, the less it changes. There are
about ten such jobs, and each takes longer as records grow, until it has its share."""
_SHARE_OF_NEWS = 0.5
"""The same for reading new records, whose number the services' own pace limits."""


class Ticker:
    """The pauses between rounds of background work; `end` interrupts them."""

    def __init__(self) -> None:
        self._over = asyncio.Event()

    def end(self) -> None:
        """End the current pause; no further round follows."""
        self._over.set()

    async def passed(self, seconds: float) -> bool:
        """Wait this long, or until `end`; return whether another round follows."""
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            return True
        return False


@asynccontextmanager
async def in_background(work: Callable[[Ticker], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run `work` while the context is open; cancel and await it at the end.

    A cancellation can get lost: before Python 3.12, `asyncio.wait_for` (which drivers use)
    swallows it if its result arrives at the same moment. So work must check its ticker too.
    """
    ticker = Ticker()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work(ticker))
        try:
            yield
        finally:
            ticker.end()
            task.cancel()


async def attempted(name: str, work: Callable[[], Awaitable[object]]) -> None:
    """Run periodic work once; log unreachable parts and wrong values instead of raising.

    A failure of background work must not end the services, because it would recur at every start.
    """
    try:
        await work()
    except Transient as exc:
        log.warning("work_later", work=name, error=str(exc))
    except (Invalid, *VALUE_ERRORS):
        metrics.BACKGROUND_FAILURES.labels(name).inc()
        log.exception("work_failed", work=name)


@asynccontextmanager
async def repeated(
    name: str,
    work: Callable[[], Awaitable[object]],
    clock: Clock,
    *,
    every_s: float,
    share: float = _SHARE,
    turn: AbstractAsyncContextManager[object] | None = None,
) -> AsyncIterator[None]:
    """Run `work` periodically while the context is open, despite failures.

    Parameters
    ----------
    every_s, share : the pace, as in `Pace`
    turn : held by each round of the work
    """
    pace = Pace(clock, every_s=every_s, share=share)

    async def again(ticker: Ticker) -> None:
        while await ticker.passed(pace.wait_s()):
            async with turn or nullcontext():
                with pace.taken(), metrics.BACKGROUND_SECONDS.labels(name).time():
                    await attempted(name, work)

    async with in_background(again):
        yield


def recomputed(
    name: str,
    work: Callable[[], Awaitable[object]],
    clock: Clock,
    turn: asyncio.Lock,
    *,
    every_s: float,
) -> AbstractAsyncContextManager[None]:
    """Run `work`, which reads all records, periodically: as `repeated`, with a smaller share.

    Parameters
    ----------
    turn : held meanwhile, as such jobs take turns. After a restart all of them are due, and would
        slow the services down and hold what they have read at the same time
    """
    return repeated(name, work, clock, every_s=every_s, share=_SHARE_OF_FIGURES, turn=turn)


@asynccontextmanager
async def kept_current(
    name: str,
    take_in: Callable[[], Awaitable[object]],
    show: Callable[[], Awaitable[object]],
    clock: Clock,
    turn: asyncio.Lock,
    *,
    every_s: float,
) -> AsyncIterator[None]:
    """Run `take_in` periodically, followed by `show`, whose cost grows with the records.

    Only a slow `show` is postponed. Postponing `take_in` would make its next round larger, and
    postpone it for even longer.

    Parameters
    ----------
    turn : as in `recomputed`
    """
    pace = Pace(clock, every_s=every_s, share=_SHARE_OF_FIGURES)

    async def work() -> None:
        await take_in()
        if pace.is_due():
            with pace.taken():
                await show()

    async with repeated(name, work, clock, every_s=every_s, share=_SHARE_OF_NEWS, turn=turn):
        yield
