"""Dead letters for stored documents that this process could not read."""

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
"""Whoever read it: the same document is one letter for all services."""
REASON = "unreadable_document"
_EVERY_S = 1.0
_AT_ONCE = 20
log = structlog.get_logger(__name__)


class UnreadableReporter:
    """Dead-letters what the stores left out, once for all processes and starts."""

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
        """Report all that wait.

        Raises
        ------
        Transient
            A store or the broker is away; they wait for the next time.
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
        # First the letter: a crash in between repeats it, and it is the same one.
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
    """What cannot be read is dead-lettered while this is open, and at its end."""
    async with repeated("report_unreadable", reporter.report, clock, every_s=_EVERY_S):
        yield
    try:
        await reporter.report()
    except GazeloopError as exc:
        log.warning("unreadable_not_reported", error=str(exc))
