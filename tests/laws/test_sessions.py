from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from services.annotation.ports.sessions import SessionRecord, SessionStore
from services.annotation.stores.sessions_mongo import MongoSessionStore
from services.runtime.stores.mongo import connect
from tests.fakes.sessions import InMemorySessionStore

NOW = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)


def session(session_id: str, hours: int = 12) -> SessionRecord:
    return SessionRecord(session_id, "0f3c9a1be2d47785", "Ana", NOW + timedelta(hours=hours))


@pytest.fixture(params=["in_memory", "mongod"])
async def sessions(request: pytest.FixtureRequest) -> AsyncIterator[SessionStore]:
    if request.param == "in_memory":
        yield InMemorySessionStore()
        return
    database = connect(request.getfixturevalue("mongodb_url"), f"laws-{uuid4().hex[:8]}")
    store = MongoSessionStore(database)
    await store.prepare()
    yield store
    await database.client.drop_database(database.name)
    await database.client.close()


async def test_a_session_is_found_as_it_began(sessions: SessionStore) -> None:
    await sessions.begin(session("a"), NOW)

    assert await sessions.find("a") == session("a")
    assert await sessions.find("b") is None


async def test_an_ended_session_is_gone_and_its_neighbours_stay(sessions: SessionStore) -> None:
    await sessions.begin(session("a"), NOW)
    await sessions.begin(session("b"), NOW)

    await sessions.end("a")
    await sessions.end("a")

    assert await sessions.find("a") is None
    assert await sessions.find("b") == session("b")


async def test_sessions_that_have_ended_are_forgotten_when_another_begins(
    sessions: SessionStore,
) -> None:
    await sessions.begin(session("a", hours=1), NOW)
    await sessions.begin(session("b", hours=2), NOW)

    await sessions.begin(session("c"), NOW + timedelta(hours=1))

    assert await sessions.find("a") is None
    assert await sessions.find("b") is not None
