"""Work on all that is recorded, and when it is left out."""

from datetime import datetime, timedelta
from functools import partial

import pytest

from services.app.when_changed import WhenChanged, epochs_closed
from services.contracts.errors import StoreUnavailable
from services.domain.ports.epochs import StateChanges
from services.domain.ports.matches import Revised
from tests import samples
from tests.fakes.clock import FakeClock
from tests.fakes.epochs import InMemoryEpochStore
from tests.fakes.matches import InMemoryMatchStore


class Matches(InMemoryMatchStore):
    """Matches of which it may be unknown what has changed."""

    readable = True

    async def revised_since(self, at: datetime) -> set[Revised]:
        if not self.readable:
            raise StoreUnavailable("away")
        return await super().revised_since(at)


class Record:
    """Matches and needles, and work that says how often it was done."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.behind_s = 0.0
        self.matches = Matches(lambda: self.clock.now() - timedelta(seconds=self.behind_s))
        self.epochs = InMemoryEpochStore()
        closed = partial(epochs_closed, self.epochs)
        self.work = WhenChanged(self._count, self.matches, closed, self.clock)
        self._times = 0
        self.failures = 0

    async def _count(self) -> int:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("away")
        self._times += 1
        return self._times

    async def match(self, revision: int) -> None:
        await self.matches.record([samples.frame_matched(revision=revision)])

    async def plan(self) -> None:
        assert await self.epochs.close(samples.epoch(), StateChanges(b"", is_whole=True))


async def test_what_nothing_has_changed_in_is_not_read_again() -> None:
    record = Record()
    await record.match(revision=1)
    record.clock.advance(3600)

    assert [await record.work() for _ in range(3)] == [1, 1, 1]


@pytest.mark.parametrize("change", ["match", "plan"])
async def test_a_match_or_a_plan_is_news_once(change: str) -> None:
    record = Record()
    assert await record.work() == 1
    record.clock.advance(3600)

    await (record.match(revision=1) if change == "match" else record.plan())

    record.clock.advance(3600)
    assert [await record.work(), await record.work()] == [2, 2]


async def test_a_write_that_is_seen_late_is_not_missed() -> None:
    record = Record()
    record.clock.advance(3600)
    await record.match(revision=1)
    record.clock.advance(30)

    assert [await record.work(), await record.work()] == [1, 1]
    record.behind_s = 30.0
    await record.matches.record([samples.frame_matched("late")])
    assert [await record.work(), await record.work()] == [2, 2]


async def test_work_that_fails_is_tried_again() -> None:
    record = Record()
    await record.match(revision=1)
    record.failures = 2
    with pytest.raises(StoreUnavailable):
        await record.work()
    with pytest.raises(StoreUnavailable):
        await record.work()

    assert [await record.work(), await record.work()] == [1, 1]
    await record.match(revision=2)
    record.failures = 1
    with pytest.raises(StoreUnavailable):
        await record.work()
    assert [await record.work(), await record.work()] == [2, 2]


async def test_after_an_erasure_everything_is_read_again() -> None:
    record = Record()
    await record.match(revision=1)
    record.clock.advance(3600)
    assert await record.work() == 1

    record.matches.erased += 1

    assert [await record.work() for _ in range(2)] == [2, 2]


async def test_in_a_stream_of_plans_no_matches_are_read_to_find_what_changed() -> None:
    record = Record()
    assert await record.work() == 1
    await record.match(revision=1)
    await record.plan()
    record.matches.readable = False

    assert await record.work() == 2

    record.matches.readable = True
    # Nobody has asked yet whether the match was there in the last round.
    assert [await record.work() for _ in range(3)] == [3, 3, 3]
