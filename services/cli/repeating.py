"""Work that is done again and again beside the services."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from services.contracts.errors import Transient
from services.runtime.clock import Clock

log = structlog.get_logger(__name__)

_SHARE = 0.05
"""Of the time, at most this is spent on it."""


@asynccontextmanager
async def repeated(
    name: str, work: Callable[[], Awaitable[object]], clock: Clock, *, every_s: float
) -> AsyncIterator[None]:
    """`work` is done over and over while this is open, whatever is away meanwhile.

    Parameters
    ----------
    every_s : pause between two times; longer where the work itself takes long
    """

    async def forever() -> None:
        while True:
            started = clock.monotonic()
            try:
                await work()
            except Transient as exc:
                log.warning("work_later", work=name, error=str(exc))
            took = clock.monotonic() - started
            await asyncio.sleep(max(every_s, took / _SHARE))

    async with asyncio.TaskGroup() as group:
        repeating = group.create_task(forever())
        yield
        repeating.cancel()
