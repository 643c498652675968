"""Marks stores that a restore has not finished, so that no service starts on half of them."""

from typing import Final

from services.contracts.errors import UnfinishedRestore
from services.runtime.stores.mongo import Database, translated

_STORES: Final = "stores"
_RESTORE: Final = "restore"


async def restore_under_way(database: Database) -> str | None:
    """The backup that is being restored; None if none is.

    Raises
    ------
    StoreUnavailable
        MongoDB does not answer.
    """
    with translated():
        found = await database[_STORES].find_one({"_id": _RESTORE})
    return str(found["backup"]) if found else None


async def mark_restore(database: Database, backup: str) -> None:
    """Note that a backup is being restored.

    Raises
    ------
    StoreUnavailable
        MongoDB does not answer.
    """
    with translated():
        await database[_STORES].update_one(
            {"_id": _RESTORE}, {"$set": {"backup": backup}}, upsert=True
        )


async def unmark_restore(database: Database) -> None:
    """Note that the restore is finished.

    Raises
    ------
    StoreUnavailable
        MongoDB does not answer.
    """
    with translated():
        await database[_STORES].delete_one({"_id": _RESTORE})


async def refuse_half_restored(database: Database) -> None:
    """Raise if a restore is not finished.

    Raises
    ------
    UnfinishedRestore
        A backup was restored in part.
    StoreUnavailable
        MongoDB does not answer.
    """
    backup = await restore_under_way(database)
    if backup is not None:
        raise UnfinishedRestore(f"the backup {backup} is restored in part")
