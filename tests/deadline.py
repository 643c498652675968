import asyncio
import time
from collections.abc import Callable


async def until(condition: Callable[[], bool], *, deadline_s: float = 240.0) -> None:
    """Wait for a condition, looking in a thread as it may ask a broker or a store."""
    end = time.monotonic() + deadline_s
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < end, f"not so after {deadline_s} s"
        await asyncio.sleep(0.05)
