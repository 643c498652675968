"""Cancels work when a condition no longer holds."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

_LOOK_EVERY_S = 0.5


@asynccontextmanager
async def held_to(check: Callable[[], None]) -> AsyncIterator[None]:
    """Run the check repeatedly, and cancel the context's body once it raises.

    Raises
    ------
    ExceptionGroup
        Contains the error of the check.
    """

    async def watch() -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            check()

    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch())
        yield
        watching.cancel()
