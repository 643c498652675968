"""Work beside the services, and its end."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from services.app.repeating import Ticker, in_background, kept_current, recomputed, repeated
from services.contracts.errors import StoreUnavailable
from services.runtime.clock import SystemClock
from tests.fakes.clock import FakeClock

FOREVER_S = 3600.0


async def test_work_that_swallows_its_cancellation_ends_all_the_same() -> None:
    begun = asyncio.Event()

    async def swallowing() -> None:
        with suppress(asyncio.CancelledError):
            begun.set()
            await asyncio.sleep(FOREVER_S)

    async with asyncio.timeout(240), repeated("stubborn", swallowing, SystemClock(), every_s=5):
        await begun.wait()


async def test_what_is_away_is_tried_again() -> None:
    tried = 0
    enough = asyncio.Event()

    async def failing() -> None:
        nonlocal tried
        tried += 1
        if tried == 3:
            enough.set()
        raise StoreUnavailable("away")

    async with asyncio.timeout(240), repeated("failing", failing, SystemClock(), every_s=0.001):
        await enough.wait()


async def test_a_value_that_work_cannot_take_does_not_end_what_goes_on_beside() -> None:
    tried = 0
    enough = asyncio.Event()

    async def stumbling() -> None:
        nonlocal tried
        tried += 1
        if tried == 3:
            enough.set()
        raise OverflowError("date value out of range")

    async with asyncio.timeout(240), repeated("stumbling", stumbling, SystemClock(), every_s=0.001):
        await enough.wait()


async def test_slow_work_is_repeated_at_its_share_of_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = FakeClock()
    waits: list[float] = []
    ended = asyncio.Event()

    async def passed(_: Ticker, seconds: float) -> bool:
        waits.append(seconds)
        clock.advance(seconds)
        if len(waits) == 4:
            ended.set()
        return not ended.is_set()

    async def slow() -> None:
        clock.advance(10)

    monkeypatch.setattr(Ticker, "passed", passed)
    async with asyncio.timeout(240), repeated("slow", slow, clock, every_s=60, share=0.1):
        await ended.wait()

    assert waits == [0, 50, 90, 90]  # a quarter of the first round counts


async def test_the_end_does_not_wait_for_a_pause() -> None:
    async def waiting(ticker: Ticker) -> None:
        while await ticker.passed(FOREVER_S):
            raise AssertionError

    async with asyncio.timeout(240), in_background(waiting):
        await asyncio.sleep(0)


async def test_what_is_new_is_taken_in_also_while_showing_it_is_put_off() -> None:
    clock = FakeClock()
    done: list[str] = []
    enough = asyncio.Event()

    async def take_in() -> None:
        done.append("taken in")
        if done.count("taken in") == 10:
            enough.set()

    async def show() -> None:
        done.append("shown")
        clock.advance(0.01)

    async with (
        asyncio.timeout(240),
        kept_current("figures", take_in, show, clock, asyncio.Lock(), every_s=0.001),
    ):
        await enough.wait()

    assert done[:2] == ["taken in", "shown"]
    assert set(done[2:]) == {"taken in"}


async def test_jobs_on_all_records_take_turns() -> None:
    clock, turn = FakeClock(), asyncio.Lock()
    running: set[str] = set()
    rounds: list[str] = []
    enough = asyncio.Event()

    def job(name: str) -> Callable[[], Awaitable[None]]:
        async def work() -> None:
            assert not running
            running.add(name)
            await asyncio.sleep(0.001)
            running.remove(name)
            rounds.append(name)
            if {"map", "families"} <= set(rounds):
                enough.set()

        return work

    async with (
        asyncio.timeout(240),
        recomputed("map", job("map"), clock, turn, every_s=0.001),
        recomputed("families", job("families"), clock, turn, every_s=0.001),
    ):
        await enough.wait()
