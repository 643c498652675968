"""The audit log in MongoDB. Nothing in the code changes or deletes a record."""

from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import datetime

from services.domain.ports.audit import AuditAct, AuditRecord
from services.runtime.stores.mongo import Database, Document, parsed, translated

_AT_ONCE = 500


class MongoAuditLog:
    """The collection `audit`."""

    def __init__(self, database: Database) -> None:
        self._audit = database["audit"]

    async def prepare(self) -> None:
        """Create the index, unless it is there."""
        with translated():
            # With the id, because records of the same time come in its order.
            await self._audit.create_index([("at", 1), ("_id", 1)])

    async def append(self, record: AuditRecord) -> None:
        with translated():
            await self._audit.insert_one({**asdict(record), "act": record.act.value})

    async def since(self, at: datetime) -> AsyncIterator[AuditRecord]:
        with translated():
            found = self._audit.find({"at": {"$gte": at}}).sort([("at", 1), ("_id", 1)])
            async for page in parsed(found, _record, _AT_ONCE):
                for record in page:
                    yield record


def _record(document: Document) -> AuditRecord:
    return AuditRecord(
        at=document["at"],
        act=AuditAct(document["act"]),
        by=document["by"],
        on=document["on"],
        details=document["details"],
    )
