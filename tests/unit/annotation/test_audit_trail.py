"""The audit log and the review page's own log are one trail, in the order of time."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from services.annotation.ports.reviews import Act, ReviewEvent
from services.app.audit_trail import audit_trail
from services.contracts.identity import NeedleId, RegionId
from services.domain.ports.audit import AuditAct, AuditRecord
from tests.fakes.audit import InMemoryAuditLog
from tests.samples import CAPTURED_AT as NOW


class Reviews:
    """Only what the trail reads of a ReviewStore."""

    def __init__(self, *minutes: int) -> None:
        self._events = [_decision(minute) for minute in minutes]

    async def since(self, at: datetime) -> AsyncIterator[ReviewEvent]:
        for event in self._events:
            if event.at >= at:
                yield event


def _at(minute: int) -> datetime:
    return NOW + timedelta(minutes=minute)


def _decision(minute: int) -> ReviewEvent:
    needle, regions = NeedleId(f"n{minute}"), (RegionId("r1"), RegionId("r2"))
    return ReviewEvent(needle, 1, Act.ACCEPT, regions, "Ana", "t1", _at(minute))


def _export(minute: int) -> AuditRecord:
    return AuditRecord(_at(minute), AuditAct.EXPORTED, "root", "/exports", {"frames": minute})


async def _trail(acts: list[int], decisions: list[int], since: int = 0) -> list[AuditRecord]:
    log = InMemoryAuditLog()
    for minute in acts:
        await log.append(_export(minute))
    reviews = Reviews(*decisions)
    return [record async for record in audit_trail(log, reviews, _at(since))]


async def test_acts_and_verdicts_are_in_the_order_of_time() -> None:
    trail = await _trail([1, 4], [2, 3, 5])
    assert [record.at for record in trail] == [_at(minute) for minute in range(1, 6)]
    assert [record.act for record in trail].count(AuditAct.VERDICT) == 3
    assert trail[1] == AuditRecord(
        _at(2), AuditAct.VERDICT, "Ana", "needle n2", {"act": "accept", "regions": 2, "token": "t1"}
    )


async def test_a_trail_begins_where_it_is_asked_to() -> None:
    assert [record.at for record in await _trail([1, 4], [2, 3], since=3)] == [_at(3), _at(4)]


async def test_either_log_may_be_empty() -> None:
    assert await _trail([], []) == []
    assert len(await _trail([1], [])) == 1
    assert len(await _trail([], [1])) == 1
