"""What every audit log does, in memory and in MongoDB."""

from datetime import timedelta

import pytest

from services.domain.ports.audit import AuditAct, AuditLog, AuditRecord
from services.runtime.stores.audit_mongo import MongoAuditLog
from tests.fakes.audit import InMemoryAuditLog
from tests.samples import CAPTURED_AT

HOUR = timedelta(hours=1)
FIRST = AuditRecord(CAPTURED_AT, AuditAct.TOKEN_CREATED, "root", "operator:ada", {"token": "0f"})
SECOND = AuditRecord(CAPTURED_AT + HOUR, AuditAct.ERASED, "ada", "a drive", {"frames": 7})


@pytest.fixture(params=["in_memory", "mongod"])
def log(request: pytest.FixtureRequest) -> AuditLog:
    if request.param == "in_memory":
        return InMemoryAuditLog()
    return MongoAuditLog(request.getfixturevalue("empty_database"))


async def test_records_come_back_in_the_order_of_their_times(log: AuditLog) -> None:
    await log.append(SECOND)
    await log.append(FIRST)
    assert [record async for record in log.since(CAPTURED_AT)] == [FIRST, SECOND]
    assert [record async for record in log.since(CAPTURED_AT + HOUR)] == [SECOND]
    assert [record async for record in log.since(CAPTURED_AT + 2 * HOUR)] == []


async def test_the_same_act_twice_is_two_records(log: AuditLog) -> None:
    await log.append(FIRST)
    await log.append(FIRST)
    assert [record async for record in log.since(CAPTURED_AT)] == [FIRST, FIRST]
