"""The version of the stored documents' form; a process refuses stores of another version."""

from typing import Final

from services.contracts.errors import StoresFromLater, StoresNotMigrated
from services.runtime.stores.mongo import Database, Document, translated

STORE_VERSION: Final = 2
_STORES: Final = "stores"
_VERSION: Final = "version"
_OF_VERSION_1: Final = ("frames", "matches", "frames_v1", "matches_v1")
"""Collections that hold documents of version 1, which had no version document."""


async def store_version(database: Database) -> int | None:
    """The version of what is stored; None if nothing is.

    Raises
    ------
    StoreUnavailable
        MongoDB does not answer.
    """
    with translated():
        holds_documents = False
        for name in _OF_VERSION_1:
            holds_documents |= await database[name].find_one({}, {"_id": 1}) is not None
        # Read last: another process may start now. It notes the version before it writes documents.
        found = await database[_STORES].find_one({"_id": _VERSION})
    if found is not None:
        return int(found["version"])
    return 1 if holds_documents else None


async def require_version(database: Database) -> None:
    """Refuse stores that this version cannot use; note the version in empty ones.

    Raises
    ------
    StoreUnavailable
        MongoDB does not answer.
    StoresNotMigrated, StoresFromLater
        The stores are of an older or a newer version.
    """
    version = await store_version(database)
    refuse_other(version)
    if version is None:
        await note_version(database)


def refuse_other(version: int | None) -> None:
    """Raise unless the stores are of this version, or empty.

    Raises
    ------
    StoresNotMigrated, StoresFromLater
        The stores are of an older or a newer version.
    """
    if version is None:
        return
    if version < STORE_VERSION:
        raise StoresNotMigrated(
            f"the stores are of version {version}, and this process uses version {STORE_VERSION}: "
            "they are to be migrated by `gazeloop migrate`"
        )
    if version > STORE_VERSION:
        raise StoresFromLater(
            f"the stores are of version {version}, and this process knows {STORE_VERSION}: "
            "use the newer version of Gazeloop that migrated them"
        )


async def note_version(database: Database) -> None:
    """Record that the stores are of this version.

    Raises
    ------
    StoreUnavailable
        MongoDB does not answer.
    """
    update: Document = {"$max": {"version": STORE_VERSION}, "$currentDate": {"since": True}}
    with translated():
        await database[_STORES].update_one({"_id": _VERSION}, update, upsert=True)
