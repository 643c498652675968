"""What MongoDB notes of the queries that code sends to it: whether an index answers them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.runtime.stores.mongo import Database, Document

_EVERY, _OFF = 2, 0


@asynccontextmanager
async def profiled(database: Database, collection: str) -> AsyncIterator[list[Document]]:
    """The queries of a collection while the context is open; the list is full once it is left."""
    found: list[Document] = []
    await database.command("profile", _EVERY)
    try:
        yield found
    finally:
        await database.command("profile", _OFF)
    where = {"ns": f"{database.name}.{collection}", "planSummary": {"$exists": True}}
    found += await database["system.profile"].find(where).sort("ts", 1).to_list()
