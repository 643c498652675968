import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest

from services.domain.ports.leases import LeaseStore
from services.runtime.stores.leases_mongo import MongoLeaseStore
from services.runtime.stores.mongo import connect
from tests.fakes.leases import InMemoryLeaseStore

LONG, OVER = timedelta(hours=1), timedelta(0)


@pytest.fixture(params=["in_memory", "mongod"])
async def leases(request: pytest.FixtureRequest) -> AsyncIterator[LeaseStore]:
    if request.param == "in_memory":
        yield InMemoryLeaseStore()
        return
    database = connect(request.getfixturevalue("mongodb_url"), f"laws-{uuid4().hex[:8]}")
    yield MongoLeaseStore(database)
    await database.client.drop_database(database.name)
    await database.client.close()


async def test_one_of_many_holds_a_lease(leases: LeaseStore) -> None:
    holders = [f"process-{k}" for k in range(8)]
    held = await asyncio.gather(*(leases.hold("reports", holder, LONG) for holder in holders))
    assert sum(held) == 1
    holder = holders[held.index(True)]
    assert await leases.hold("reports", holder, LONG)
    assert [await leases.hold("reports", other, LONG) for other in holders] == held


async def test_leases_of_other_names_are_other_leases(leases: LeaseStore) -> None:
    assert await leases.hold("reports", "a", LONG)
    assert await leases.hold("costs", "b", LONG)


async def test_a_lease_that_is_over_is_free(leases: LeaseStore) -> None:
    assert await leases.hold("reports", "a", OVER)
    assert await leases.hold("reports", "b", LONG)
    assert not await leases.hold("reports", "a", LONG)


async def test_only_its_holder_releases_a_lease(leases: LeaseStore) -> None:
    assert await leases.hold("reports", "a", LONG)
    await leases.release("reports", "b")
    assert not await leases.hold("reports", "b", LONG)
    await leases.release("reports", "a")
    assert await leases.hold("reports", "b", LONG)
