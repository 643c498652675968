"""Where MongoDB is a replica set, a backup reads all collections as of one moment."""

from collections.abc import AsyncIterator
from pathlib import Path

import bson
import pytest
from pymongo import MongoClient

from services.runtime.embedded.mongod import Mongod
from services.runtime.stores.mongo import Database, connect
from services.runtime.stores.mongo_dump import dump, one_moment
from tests.deadline import until


class _Member(Mongod):
    """The only member of a replica set."""

    def _command(self, folder: Path) -> list[str]:
        return [*super()._command(folder), "--replSet", "rs"]


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    with _Member(tmp_path / "mongodb") as member:
        address = f"127.0.0.1:{member.port}"
        url = f"mongodb://{address}/?directConnection=true"
        with MongoClient[dict[str, object]](url) as client:
            members = [{"_id": 0, "host": address}]
            client.admin.command("replSetInitiate", {"_id": "rs", "members": members})
            await until(lambda: bool(client.admin.command("hello")["isWritablePrimary"]))
        database = connect(url, "backup")
        yield database
        await database.client.close()


async def test_all_collections_are_read_as_of_one_moment(
    database: Database, tmp_path: Path
) -> None:
    for name in ("first", "second"):
        await database[name].insert_one({"_id": "before"})

    async with one_moment(database) as session:
        assert session is not None
        await dump(database, "first", tmp_path / "first", session)
        await database["second"].insert_one({"_id": "after"})
        await dump(database, "second", tmp_path / "second", session)

    assert bson.decode_all((tmp_path / "second").read_bytes()) == [{"_id": "before"}]
