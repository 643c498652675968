"""What must hold as long as something goes on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

_LOOK_EVERY_S = 0.5


@asynccontextmanager
async def held_to(check: Callable[[], None]) -> AsyncIterator[None]:
    """What is done while this is open is cancelled once the check raises.

    Raises
    ------
    ExceptionGroup
        Of what the check raised.
    """

    async def watch() -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            check()

    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch())
        yield
        watching.cancel()
