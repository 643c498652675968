"""Publish dead letters for stored documents that this process could not read."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog

from services.app.repeating import repeated
from services.contracts.dead_letters import DeadLettered
from services.contracts.errors import GazeloopError
from services.runtime.clock import Clock
from services.runtime.observability import metrics
from services.runtime.step import Outbox
from services.runtime.stores.unreadable import (
    UNREADABLE,
    UnreadableDocument,
    UnreadableDocuments,
)
from services.runtime.stores.unreadable_mongo import MongoUnreadableLog

SERVICE = "stores"
"""The service named in the dead letter: one for all, so that a document gets one dead letter."""
REASON = "unreadable_document"
_EVERY_S = 1.0
_AT_ONCE = 20
log = structlog.get_logger(__name__)


class UnreadableReporter:
    """Dead-letters unreadable documents, once across processes and restarts."""

    def __init__(
        self,
        reported: MongoUnreadableLog,
        outbox: Outbox,
        clock: Clock,
        documents: UnreadableDocuments = UNREADABLE,
    ) -> None:
        self._reported = reported
        self._outbox = outbox
        self._clock = clock
        self._documents = documents

    async def report(self) -> None:
        """Report all pending documents.

        Raises
        ------
        Transient
            A store or the broker is unreachable; the documents stay pending.
        """
        waiting = self._documents.take()
        while waiting:
            try:
                await self._report(waiting[:_AT_ONCE])
            except BaseException:
                self._documents.restore(waiting)
                raise
            del waiting[:_AT_ONCE]

    async def _report(self, documents: Sequence[UnreadableDocument]) -> None:
        new = await self._reported.unreported(documents)
        # Publish first: a crash in between repeats the same dead letter, which is harmless.
        await self._outbox.publish([self._letter(document) for document in new])
        await self._reported.note(new, self._clock.now())
        metrics.DEAD_LETTERS.labels(SERVICE, REASON).inc(len(new))

    def _letter(self, document: UnreadableDocument) -> DeadLettered:
        return DeadLettered(
            service=SERVICE,
            reason=REASON,
            detail=document.detail,
            traceback=document.traceback,
            location=document.location,
            original_value=document.content,
            failed_at=self._clock.now(),
        )


@asynccontextmanager
async def unreadable_reported(reporter: UnreadableReporter, clock: Clock) -> AsyncIterator[None]:
    """Dead-letter unreadable documents while the context is open, and at its end."""
    async with repeated("report_unreadable", reporter.report, clock, every_s=_EVERY_S):
        yield
    try:
        await reporter.report()
    except GazeloopError as exc:
        log.warning("unreadable_not_reported", error=str(exc))
