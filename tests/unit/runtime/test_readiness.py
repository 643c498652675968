import asyncio

from services.contracts.errors import BrokerUnavailable
from services.runtime.readiness import Readiness
from tests.deadline import until
from tests.fakes.clock import FakeClock


class Part:
    """There, away, or hanging."""

    def __init__(self) -> None:
        self.away = False
        self.looks = 0
        self.answers = asyncio.Event()
        self.answers.set()

    async def ask(self) -> None:
        self.looks += 1
        await self.answers.wait()
        if self.away:
            raise BrokerUnavailable("no answer")


async def test_nothing_is_ready_before_it_was_looked_at() -> None:
    part = Part()
    readiness = Readiness({"kafka": part.ask}, FakeClock())
    check = readiness.checks["kafka"]
    assert check() == "not looked at yet"
    await readiness.look("kafka")
    assert check() is None


async def test_what_is_away_is_named_until_it_is_back() -> None:
    part = Part()
    readiness = Readiness({"kafka": part.ask}, FakeClock())
    part.away = True
    await readiness.look("kafka")
    assert readiness.checks["kafka"]() == "BrokerUnavailable: no answer"
    part.away = False
    await readiness.look("kafka")
    assert readiness.checks["kafka"]() is None


async def test_an_answer_counts_for_nothing_once_it_is_old() -> None:
    clock = FakeClock()
    readiness = Readiness({"kafka": Part().ask}, clock, every_s=5.0)
    await readiness.look("kafka")
    clock.advance(19.0)
    assert readiness.checks["kafka"]() is None
    clock.advance(2.0)
    assert readiness.checks["kafka"]() == "no answer for 21 s"


async def test_a_part_that_hangs_holds_up_no_other() -> None:
    hanging, there = Part(), Part()
    hanging.answers.clear()
    needs = {"kafka": hanging.ask, "mongodb": there.ask}
    readiness = Readiness(needs, FakeClock(), every_s=0.001)
    async with readiness.checked_repeatedly():
        await until(lambda: there.looks > 2)
    assert readiness.checks["mongodb"]() is None
    assert readiness.checks["kafka"]() == "not looked at yet"


async def test_it_ends_although_a_driver_takes_the_end_for_a_broken_connection() -> None:
    asked = asyncio.Event()

    async def ask() -> None:
        asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as exc:
            raise BrokerUnavailable("the connection broke") from exc

    async with asyncio.timeout(240), Readiness({"kafka": ask}, FakeClock()).checked_repeatedly():
        await asked.wait()
