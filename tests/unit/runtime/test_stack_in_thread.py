"""The embedded stack's parts start and stop in a thread."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

import pytest

from services.runtime.embedded.stack import Addresses, in_thread

ADDRESSES = Addresses(kafka="kafka:9092", mongodb="mongodb://mongodb", pid=1)


async def test_parts_whose_start_is_cancelled_are_stopped() -> None:
    is_starting, may_start, is_stopped = Event(), Event(), Event()

    @contextmanager
    def parts() -> Iterator[Addresses]:
        is_starting.set()
        may_start.wait()
        yield ADDRESSES
        is_stopped.set()

    async def run() -> None:
        async with in_thread(parts()):
            raise AssertionError("cancelled before")

    running = asyncio.create_task(run())
    await asyncio.to_thread(is_starting.wait)
    running.cancel()
    may_start.set()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert is_stopped.is_set()
