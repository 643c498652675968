"""One of several processes does a job, whatever happens to it or to the store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from services.app.elected import LEASE, Candidate, elected
from services.app.repeating import Ticker
from services.contracts.errors import StoreUnavailable
from tests.fakes.clock import FakeClock
from tests.fakes.leases import InMemoryLeaseStore


class Steps(Ticker):
    """Rounds that begin when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self._begin = asyncio.Semaphore(0)
        self._done = asyncio.Semaphore(0)

    async def passed(self, seconds: float) -> bool:
        self._done.release()
        await self._begin.acquire()
        return seconds > 0

    async def round_done(self) -> None:
        """Wait until a round has ended, and let the next one begin."""
        await self._done.acquire()
        self._begin.release()


class World:
    """Processes that want the same job, and those that do it now."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = Store(self.clock)
        self.working: list[str] = []

    def candidate(self, name: str) -> Candidate:
        return Candidate("figures", self.store, lambda: self.work(name), self.clock)

    @asynccontextmanager
    async def work(self, name: str) -> AsyncIterator[None]:
        self.working.append(name)
        yield
        self.working.remove(name)


class Store(InMemoryLeaseStore):
    """A lease store that can be away."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock.now)
        self.away = False

    async def hold(self, name: str, holder: str, length: timedelta) -> bool:
        if self.away:
            raise StoreUnavailable("away")
        return await super().hold(name, holder, length)


async def test_the_one_that_is_elected_stays_so_and_the_others_stand_by() -> None:
    world = World()
    first, second = world.candidate("first"), world.candidate("second")
    for _ in range(5):
        assert await first.elected()
        assert not await second.elected()
        world.clock.advance(LEASE.total_seconds() / 2)


async def test_another_one_takes_over_from_a_process_that_is_killed() -> None:
    world = World()
    first, second = world.candidate("first"), world.candidate("second")
    assert await first.elected()
    world.clock.advance(LEASE.total_seconds())
    assert await second.elected()
    assert not await first.elected()


async def test_another_one_takes_over_at_once_from_one_that_ends() -> None:
    world = World()
    first, second = world.candidate("first"), world.candidate("second")
    assert await first.elected()
    await first.resign()
    assert await second.elected()


async def test_who_cannot_renew_its_lease_stops_before_it_is_over() -> None:
    world = World()
    first, second = world.candidate("first"), world.candidate("second")
    assert await first.elected()
    world.store.away = True
    seconds = 0
    while await first.elected():
        world.clock.advance(1)
        seconds += 1
    assert 0 < seconds < LEASE.total_seconds()
    world.store.away = False
    assert not await second.elected()
    assert await first.elected()


async def test_work_begins_with_the_lease_and_ends_with_it() -> None:
    world, steps = World(), Steps()
    other = world.candidate("other")
    assert await other.elected()
    task = asyncio.create_task(world.candidate("first").run(steps))
    await steps.round_done()
    assert world.working == []
    await other.resign()
    await steps.round_done()
    assert world.working == ["first"]
    world.clock.advance(LEASE.total_seconds())
    assert await other.elected()
    await steps.round_done()
    assert world.working == []
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_lease_is_free_after_the_context() -> None:
    world = World()
    begun = asyncio.Event()

    @asynccontextmanager
    async def work() -> AsyncIterator[None]:
        begun.set()
        yield

    async with elected("figures", world.store, work, world.clock):
        await begun.wait()
        assert not await world.candidate("second").elected()
    assert await world.candidate("second").elected()
