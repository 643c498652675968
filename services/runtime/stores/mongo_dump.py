"""Reads whole collections of MongoDB into files, and writes them back."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, cast

from pymongo import InsertOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import OperationFailure

from services.runtime.stores.bson_files import RAW, BsonWriter, read_documents
from services.runtime.stores.mongo import Database, Document, insert_new, translated

_AT_ONCE: Final = 500
_DELETED_AT_ONCE: Final = 5_000
_OF_PROCESSES: Final = frozenset(
    {"doctor", "leases", "migration", "review_keys", "review_sessions", "stores"}
)
"""Collections that only processes need which run now: they mean nothing elsewhere."""


async def collections_to_keep(database: Database) -> list[str]:
    """The collections that a backup has, by name.

    Raises
    ------
    StoreUnavailable
        MongoDB does not answer.
    """
    with translated():
        names = await database.list_collection_names()
    return sorted(name for name in names if name not in _OF_PROCESSES and "." not in name)


_PASSED: Final = frozenset({239, 246})
"""SnapshotTooOld, SnapshotUnavailable."""


class MomentPassedError(Exception):
    """MongoDB no longer has the moment of a session; by default, it keeps five minutes."""


@asynccontextmanager
async def one_moment(database: Database) -> AsyncIterator[AsyncClientSession | None]:
    """A session whose reads all see the same moment; None where MongoDB is no replica set."""
    with translated():
        hello = await database.client.admin.command("hello")
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        yield None
        return
    async with database.client.start_session(snapshot=True) as session:
        yield session


async def dump(
    database: Database, name: str, path: Path, session: AsyncClientSession | None
) -> BsonWriter:
    """Write a collection's documents to a file, in the order of their ids.

    Raises
    ------
    StoreUnavailable
        MongoDB does not answer.
    MomentPassedError
        The session is older than MongoDB's history.
    OSError
        The file cannot be written.
    """
    collection = database.get_collection(name, codec_options=RAW)
    with BsonWriter(path) as file, translated(), _passing():
        found = collection.find({}, session=session).sort("_id", 1)
        while documents := await found.to_list(_AT_ONCE):
            await asyncio.to_thread(file.write, documents)
    return file


@contextmanager
def _passing() -> Iterator[None]:
    try:
        yield
    except OperationFailure as exc:
        if exc.code not in _PASSED:
            raise
        raise MomentPassedError(str(exc)) from exc


async def load(database: Database, name: str, path: Path) -> None:
    """Replace a collection's documents by those of a file; its indexes stay.

    Raises
    ------
    StoreUnavailable
        MongoDB does not answer.
    DamagedBackup
        The file cannot be read.
    """
    with translated():
        await _empty(database[name])
        for documents in read_documents(path, _AT_ONCE):
            inserts = [InsertOne(cast("Document", item)) for item in documents]
            await database[name].bulk_write(inserts, ordered=False)


async def _empty(collection: AsyncCollection[Document]) -> None:
    """Delete all documents, in steps: all at once takes longer than a socket may be silent."""
    found = collection.find({}, {"_id": 1}).sort("_id", 1)
    while documents := await found.to_list(_DELETED_AT_ONCE):
        ids = [document["_id"] for document in documents]
        await collection.delete_many({"_id": {"$in": ids}})


async def add_missing(database: Database, name: str, path: Path) -> None:
    """Insert those documents of a file whose `_id` the collection lacks.

    Raises
    ------
    StoreUnavailable
        MongoDB does not answer.
    DamagedBackup
        The file cannot be read.
    """
    for documents in read_documents(path, _AT_ONCE):
        await insert_new(database[name], [dict(item) for item in documents])
