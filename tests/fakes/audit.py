from collections.abc import AsyncIterator
from datetime import datetime

from services.domain.ports.audit import AuditRecord


class InMemoryAuditLog:
    def __init__(self) -> None:
        self.records: list[AuditRecord] = []

    async def append(self, record: AuditRecord) -> None:
        self.records.append(record)

    async def since(self, at: datetime) -> AsyncIterator[AuditRecord]:
        for record in sorted(self.records, key=lambda record: record.at):
            if record.at >= at:
                yield record
