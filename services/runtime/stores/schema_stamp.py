"""Which version of the events' schemas has written here: what is older cannot read all of it."""

from services.contracts.events import SCHEMA_VERSION
from services.runtime.stores.mongo import Database, translated

_SCHEMAS = "schemas"
_EVENTS = "events"


async def stamp_schema(database: Database) -> None:
    """Say that this version writes here.

    Raises
    ------
    StoreUnavailable
        MongoDB does not answer.
    """
    with translated():
        await database[_SCHEMAS].update_one(
            {"_id": _EVENTS}, {"$max": {"newest": SCHEMA_VERSION}}, upsert=True
        )


async def newest_schema(database: Database) -> int:
    """The newest that has written here; ours where none has.

    Raises
    ------
    StoreUnavailable
        MongoDB does not answer.
    """
    with translated():
        found = await database[_SCHEMAS].find_one({"_id": _EVENTS})
    return int(found["newest"]) if found else SCHEMA_VERSION
