from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from services.domain.ports.tokens import TokenRecord, TokenStore
from services.runtime.stores.mongo import connect
from services.runtime.stores.tokens_mongo import MongoTokenStore
from tests.fakes.tokens import InMemoryTokenStore

NOW = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)


def token(token_id: str, age_days: int = 0) -> TokenRecord:
    return TokenRecord(token_id, "f" * 64, "vehicle:v1", NOW - timedelta(days=age_days))


@pytest.fixture(params=["in_memory", "mongod"])
async def tokens(request: pytest.FixtureRequest) -> AsyncIterator[TokenStore]:
    if request.param == "in_memory":
        yield InMemoryTokenStore()
        return
    database = connect(request.getfixturevalue("mongodb_url"), f"laws-{uuid4().hex[:8]}")
    yield MongoTokenStore(database)
    await database.client.drop_database(database.name)
    await database.client.close()


async def test_a_token_is_found_as_it_was_added(tokens: TokenStore) -> None:
    await tokens.add(token("a"))

    assert await tokens.find("a") == token("a")
    assert await tokens.find("b") is None


async def test_the_prefix_of_a_token_is_kept(tokens: TokenStore) -> None:
    record = replace(token("a"), prefix="7")
    await tokens.add(record)

    assert await tokens.find("a") == record


async def test_tokens_are_listed_oldest_first(tokens: TokenStore) -> None:
    for record in (token("a", 1), token("b", 3), token("c", 2)):
        await tokens.add(record)

    assert [record.token_id for record in await tokens.list()] == ["b", "c", "a"]


async def test_what_ends_later_may_end_sooner_and_never_the_other_way_round(
    tokens: TokenStore,
) -> None:
    await tokens.add(token("a"))
    tomorrow = NOW + timedelta(days=1)

    assert await tokens.revoke("a", tomorrow)
    found = await tokens.find("a")
    assert found is not None
    assert found.is_valid(NOW)
    assert not found.is_valid(tomorrow)

    assert not await tokens.revoke("a", tomorrow + timedelta(days=1))
    assert await tokens.revoke("a", NOW)
    found = await tokens.find("a")
    assert found is not None
    assert not found.is_valid(NOW)


async def test_the_last_use_counts_whichever_is_told_last(tokens: TokenStore) -> None:
    await tokens.add(token("a"))
    await tokens.note_use("a", NOW)
    await tokens.note_use("a", NOW - timedelta(days=1))
    await tokens.note_use("nobody", NOW)

    found = await tokens.find("a")
    assert found is not None
    assert found.used_at == NOW
    assert await tokens.find("nobody") is None


async def test_a_token_is_revoked_once(tokens: TokenStore) -> None:
    await tokens.add(token("a"))

    assert await tokens.revoke("a", NOW)
    assert not await tokens.revoke("a", NOW + timedelta(days=1))
    assert not await tokens.revoke("b", NOW)

    found = await tokens.find("a")
    assert found is not None
    assert found.revoked_at == NOW
