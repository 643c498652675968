"""The newest event schema version that has written to the database; older ones cannot read it."""

from services.contracts.codec import EventVersion
from services.contracts.events import SCHEMA_VERSION
from services.runtime.stores.mongo import Database, translated

_SCHEMAS = "schemas"
_EVENTS = "events"


async def stamp_schema(database: Database, version: EventVersion) -> None:
    """Record that a process writes events of this version.

    Raises
    ------
    StoreUnavailable
        MongoDB does not answer.
    """
    with translated():
        await database[_SCHEMAS].update_one(
            {"_id": _EVENTS}, {"$max": {"newest": version}}, upsert=True
        )


async def newest_schema(database: Database) -> int:
    """The newest version that has written to the database; this version if none has.

    Raises
    ------
    StoreUnavailable
        MongoDB does not answer.
    """
    with translated():
        found = await database[_SCHEMAS].find_one({"_id": _EVENTS})
    return int(found["newest"]) if found else SCHEMA_VERSION
