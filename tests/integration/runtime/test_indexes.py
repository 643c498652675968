"""Indexes of a collection that takes longer to index than the driver waits for an answer."""

from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient

from services.contracts.errors import StoreUnavailable
from services.runtime.stores import indexes
from services.runtime.stores.indexes import make_indexes
from services.runtime.stores.mongo import Database, Document, translated
from tests.captured_logs import captured_logs

_Client = AsyncMongoClient[Document]
_DOCUMENTS = 100_000
_WAIT_MS = 20
"""A tenth of what the index of these documents takes, at most."""


class _Numbers:
    def __init__(self, database: Database) -> None:
        self._numbers = database["numbers"]

    async def prepare(self) -> None:
        with translated():
            await self._numbers.create_index("number")


async def test_a_start_waits_for_an_index_however_long_it_takes(
    mongodb_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = captured_logs(indexes, monkeypatch)
    name = f"indexes-{uuid4().hex[:8]}"
    async with (
        _Client(mongodb_url) as patient,
        _Client(mongodb_url, socketTimeoutMS=_WAIT_MS) as hurried,
    ):
        database: Database = patient[name]
        await database["numbers"].insert_many({"number": n} for n in range(_DOCUMENTS))
        await make_indexes(hurried[name], [_Numbers])
        assert "number_1" in await database["numbers"].index_information()
        await patient.drop_database(name)
    assert {entry["event"] for entry in logged} == {"index_build_goes_on"}
    assert logged[0]["store"] == "_Numbers"


async def test_a_mongodb_that_is_away_is_not_waited_for() -> None:
    async with _Client("mongodb://127.0.0.1:9", serverSelectionTimeoutMS=50) as client:
        with pytest.raises(StoreUnavailable):
            await make_indexes(client["any"], [_Numbers])
