"""Publish a data set to the topics.

Events are recorded as published only after the broker has acknowledged them. So an import can be
stopped anywhere and run again: it skips published events and sends the rest.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_delay
from tenacity.wait import wait_exponential_jitter

from services.contracts.errors import Transient
from services.formats.frames import OpenedFrame, as_complete
from services.formats.items import Item, Rejection
from services.ground_truth.publishing import Journal, RevisionPublisher
from services.ingest import ways
from services.ingest.batch_checks import BatchChecks, Check
from services.ingest.batch_publishing import BatchPublisher, Outcome
from services.ingest.batches import Batch, batches_of
from services.ingest.opening import opened_corrections, opened_import
from services.ingest.parts import IngestParts
from services.ingest.source import Source
from services.ingest.summary import Summary
from services.runtime.observability import metrics
from services.runtime.settings import Settings

log = structlog.get_logger(__name__)

_MAX_FRAMES = 128
"""Frames that are opened before they are published: the services work on them meanwhile."""


async def publish_dataset(
    items: Iterable[Item],
    parts: IngestParts,
    *,
    source: Source = Source.IMPORT,
    way: str = ways.IMPORT,
    accept_partial: bool = False,
    journal: Journal | None = None,
    on_progress: Callable[[Summary], None] | None = None,
    throttle: Callable[[], Awaitable[None]] | None = None,
) -> Summary:
    """Publish a data set's items; an interrupted run can be repeated, and continues.

    Parameters
    ----------
    way : the input path, for metrics, and to recognise corrections that return to earlier content
    accept_partial : publish an import's frames as complete although parts of them were refused
    journal : notes what is published, so that it can be undone
    on_progress : called with the summary after every batch
    throttle : awaited before every batch, for a broker that drops records not consumed soon

    Raises
    ------
    Transient
        A store or the broker was unreachable for `settings.stall_limit_s`.
    """
    summary, retrying = Summary(), _retrying(parts.settings)
    opened: Iterator[OpenedFrame | Rejection]
    if source is Source.REANNOTATION:
        opened = await opened_corrections(items, parts, way, retrying)
    else:
        opened = opened_import(items, parts, way, retrying)
        if accept_partial:
            opened = map(as_complete, opened)
    batches = batches_of(opened, min(parts.settings.batch_size, _MAX_FRAMES))
    checks = BatchChecks(parts, way, journal).of(source)
    publisher = BatchPublisher(parts, RevisionPublisher(parts.ledger, parts.outbox, way, journal))
    while found := await asyncio.to_thread(next, batches, None):
        if throttle:
            await throttle()
        batch = await _checked(found, checks, retrying)
        _account(summary, batch, await retrying(publisher.publish, batch), way)
        if on_progress:
            on_progress(summary)
    return summary


async def _checked(batch: Batch, checks: Iterable[Check], retrying: AsyncRetrying) -> Batch:
    for check in checks:
        batch = await retrying(check, batch)
    return batch


def _retrying(settings: Settings) -> AsyncRetrying:
    return AsyncRetrying(
        retry=retry_if_exception_type(Transient),
        wait=wait_exponential_jitter(multiplier=0.1, max=settings.retry_wait_max_s),
        stop=stop_after_delay(settings.stall_limit_s),
        before_sleep=_note_retry,
        reraise=True,
    )


def _note_retry(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    metrics.RETRIES.labels("ingest", type(error).__name__).inc()
    log.warning("batch_retried", service="ingest", error=f"{type(error).__name__}: {error}")


def _account(summary: Summary, batch: Batch, outcome: Outcome, way: str) -> None:
    refused = sum(rejection.whole_frame for rejection in batch.rejections)
    summary.done += len(batch.frames) + refused + batch.erased + len(batch.held)
    summary.done += batch.settled
    summary.ground_truth.known += batch.settled
    summary.erased += batch.erased
    summary.held.update(correction.question.value for correction in batch.held)
    for frame in batch.frames:
        summary.add_adjustments(frame.item)
    for draft in (*outcome.published, *outcome.known):
        summary.note(draft)
        summary.add_boxes(draft)
    for draft in outcome.published:
        summary.count_of(draft).published += 1
    for draft in outcome.known:
        summary.count_of(draft).known += 1
    for rejection in outcome.rejections:
        summary.add_rejection(rejection)
        metrics.RECORDS_REJECTED.labels(rejection.reason, way).inc()
