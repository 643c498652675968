"""What every store of tombstones does, in memory and in MongoDB."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.contracts.identity import FrameId, frame_hash
from services.domain.ports.erasure import ErasureRequest, Tombstone, TombstoneStore
from services.runtime.stores.tombstones_mongo import MongoTombstones
from tests.fakes.tombstones import InMemoryTombstones

REQUEST = ErasureRequest("ada", "request 17", datetime(2026, 5, 4, tzinfo=UTC), ("a", "b"))
ONE, TWO, OTHER = FrameId("one"), FrameId("two"), FrameId("other")
HASH = {frame_hash(ONE)}


@pytest.fixture(params=["in_memory", "mongod"])
def tombstones(request: pytest.FixtureRequest) -> TombstoneStore:
    if request.param == "in_memory":
        return InMemoryTombstones()
    return MongoTombstones(request.getfixturevalue("empty_database"))


async def test_a_frame_is_erased_from_the_request_on(tombstones: TombstoneStore) -> None:
    assert await tombstones.erased([ONE, OTHER]) == set()
    await tombstones.add([ONE, TWO], REQUEST)
    assert await tombstones.erased([ONE, TWO, OTHER]) == {ONE, TWO}
    assert await tombstones.erased([]) == set()


async def test_every_erased_frame_has_who_asked_first_and_why(tombstones: TombstoneStore) -> None:
    assert await tombstones.requesters() == {}
    await tombstones.add([ONE], REQUEST)
    await tombstones.add([ONE, TWO], replace(REQUEST, requested_by="eve"))
    assert await tombstones.requesters() == {
        frame_hash(ONE): ("ada", "request 17"),
        frame_hash(TWO): ("eve", "request 17"),
    }


async def test_what_is_not_swept_is_named_until_it_is(tombstones: TombstoneStore) -> None:
    await tombstones.add([ONE, TWO], REQUEST)
    assert {item.frame_id for item in await tombstones.unswept(10)} == {ONE, TWO}
    assert len(await tombstones.unswept(1)) == 1
    await tombstones.note_swept([TWO])
    assert await tombstones.unswept(10) == [Tombstone(ONE, "request 17", "ada")]


async def test_requests_of_before_a_time_are_told_from_later_ones(
    tombstones: TombstoneStore,
) -> None:
    at = REQUEST.requested_at
    await tombstones.add([ONE], REQUEST)
    await tombstones.add([TWO], replace(REQUEST, requested_at=at + timedelta(hours=1)))
    assert await tombstones.unswept(10, at) == []
    before = await tombstones.unswept(10, at + timedelta(minutes=1))
    assert [item.frame_id for item in before] == [ONE]


async def test_a_service_that_is_awaited_later_confirms_too(tombstones: TombstoneStore) -> None:
    await tombstones.add([ONE], REQUEST)
    await tombstones.await_services([ONE], ["b", "c"])
    assert await tombstones.awaited() == {"a": 1, "b": 1, "c": 1}


async def test_the_id_stays_until_all_is_swept_and_every_service_has_confirmed(
    tombstones: TombstoneStore,
) -> None:
    await tombstones.add([ONE], REQUEST)
    await tombstones.confirm(HASH, "a")
    await tombstones.note_swept([ONE])
    assert await tombstones.unconfirmed(HASH) == {frame_hash(ONE): ONE}
    assert await tombstones.awaited() == {"b": 1}
    await tombstones.confirm(HASH, "b")
    await tombstones.confirm(HASH, "b")
    assert await tombstones.unconfirmed(HASH) == {}
    assert await tombstones.awaited() == {}
    assert await tombstones.erased([ONE]) == {ONE}


async def test_a_service_may_confirm_before_the_sweep_ends(tombstones: TombstoneStore) -> None:
    await tombstones.add([ONE], REQUEST)
    await tombstones.confirm(HASH, "a")
    await tombstones.confirm(HASH, "b")
    assert await tombstones.unconfirmed(HASH) == {frame_hash(ONE): ONE}
    await tombstones.note_swept([ONE])
    assert await tombstones.unconfirmed(HASH) == {}


async def test_a_repeated_request_starts_over(tombstones: TombstoneStore) -> None:
    await tombstones.add([ONE], REQUEST)
    await tombstones.note_swept([ONE])
    await tombstones.confirm(HASH, "a")
    await tombstones.add([ONE], REQUEST)
    assert await tombstones.awaited() == {"a": 1, "b": 1}
    assert [item.frame_id for item in await tombstones.unswept(10)] == [ONE]


async def test_a_frame_that_is_not_erased_is_not_confirmed(tombstones: TombstoneStore) -> None:
    await tombstones.confirm(HASH, "a")
    assert await tombstones.erased([ONE]) == set()
    assert await tombstones.unconfirmed(HASH) == {}
