"""An empty database for a law's real store."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from services.runtime.stores.mongo import Database, connect


@pytest.fixture
async def empty_database(mongodb_url: str) -> AsyncIterator[Database]:
    database = connect(mongodb_url, f"laws-{uuid4().hex[:8]}")
    yield database
    await database.client.drop_database(database.name)
    await database.client.close()
