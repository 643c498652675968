"""Work that is done again and again beside the services."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import structlog

from services.contracts.errors import VALUE_ERRORS, Invalid, Transient
from services.runtime.clock import Clock
from services.runtime.observability import metrics
from services.runtime.pace import Pace

log = structlog.get_logger(__name__)

_SHARE = 0.05
"""Of the time, at most this is spent on it, where nobody says otherwise."""
_SHARE_OF_FIGURES = 0.02
"""The same, of reckoning figures from all there is: the more that is, the less they move."""
_SHARE_OF_NEWS = 0.5
"""The same, of taking in what is new: that is no more than what the services take in as well."""


class Ticker:
    """The waits of work that goes on beside something else; they end with that."""

    def __init__(self) -> None:
        self._over = asyncio.Event()

    def end(self) -> None:
        """Let no further time come."""
        self._over.set()

    async def passed(self, seconds: float) -> bool:
        """Wait so long, or to the end; whether there is to be another time."""
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            return True
        return False


@asynccontextmanager
async def going_on(work: Callable[[Ticker], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """`work` goes on while this is open; it is cancelled at the end, and waited for.

    A cancellation may be swallowed: before Python 3.12, `asyncio.wait_for` does so where what it
    waits for comes in the same moment, and drivers use it. Therefore work asks its pauses too.
    """
    pauses = Ticker()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work(pauses))
        try:
            yield
        finally:
            pauses.end()
            task.cancel()


async def attempted(name: str, work: Callable[[], Awaitable[object]]) -> None:
    """Do work that is done again later, also where something is away or a value is wrong.

    What is computed beside the services must not end them: it would again at every start.
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
) -> AsyncIterator[None]:
    """`work` is done over and over while this is open, whatever is away or wrong meanwhile.

    Parameters
    ----------
    every_s : pause between two times; longer where the work itself takes long. How long the first
        time took does not count: it compiles and loads what later ones find ready.
    share : of the time, at most this is spent on it
    """

    async def again(pauses: Ticker) -> None:
        async def once() -> float:
            started = clock.monotonic()
            await attempted(name, work)
            return clock.monotonic() - started

        await once()
        pause_s = every_s
        while await pauses.passed(pause_s):
            pause_s = max(every_s, await once() / share)

    async with going_on(again):
        yield


@asynccontextmanager
async def kept_up(
    name: str,
    take_in: Callable[[], Awaitable[object]],
    show: Callable[[], Awaitable[object]],
    clock: Clock,
    *,
    every_s: float,
) -> AsyncIterator[None]:
    """`take_in` is done over and over, and then `show`, which costs more the more there is.

    Only `show` is put off where it takes long. What is new and not taken in would be more the next
    time, and put that off for longer still.
    """
    pace = Pace(clock, every_s=every_s, share=_SHARE_OF_FIGURES)

    async def work() -> None:
        await take_in()
        if pace.is_due():
            with pace.taken():
                await show()

    async with repeated(name, work, clock, every_s=every_s, share=_SHARE_OF_NEWS):
        yield
