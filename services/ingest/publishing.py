"""Publish a data set to the topics.

Events are recorded as published only after the broker has acknowledged them. So an import can be
stopped anywhere and run again: it skips published events and sends the rest.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Iterator, Mapping

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_delay
from tenacity.wait import wait_exponential_jitter

from services.contracts.errors import Transient
from services.contracts.identity import FrameId
from services.domain.ports.blobs import BlobStore
from services.domain.ports.erasure import TombstoneStore
from services.domain.ports.frames import FrameStore
from services.domain.ports.held_corrections import HeldCorrection
from services.domain.ports.ledger import RevisionLedger
from services.formats.corrections import (
    SizesOf,
    corrections_of,
    on_stored_pictures,
    open_correction,
    stored_sizes,
)
from services.formats.detection_limit import within_limit
from services.formats.frames import OpenedFrame, as_complete, open_frame, refused
from services.formats.geometry import Size
from services.formats.items import FrameItem, Item, Rejection
from services.ground_truth.holding import CorrectionGate
from services.ground_truth.publishing import Journal, RevisionPublisher
from services.ingest.batches import Batch, BatchPublisher, Outcome, sifted
from services.ingest.source import Source
from services.ingest.summary import Summary
from services.runtime.clock import Clock
from services.runtime.images import ImageLimits
from services.runtime.observability import metrics
from services.runtime.settings import Settings
from services.runtime.step import Outbox

log = structlog.get_logger(__name__)

_MOST_FRAMES = 128
"""Frames that are opened before they are published: the services work on them meanwhile."""
_FILE = "import"
MAX_BATCH_BYTES = 64 * 1024 * 1024
"""Maximum bytes of images in memory; a batch ends when it reaches them."""


async def publish_dataset(
    items: Iterable[Item],
    *,
    outbox: Outbox,
    blobs: BlobStore,
    ledger: RevisionLedger,
    settings: Settings,
    clock: Clock,
    source: Source = Source.IMPORT,
    gate: CorrectionGate | None = None,
    frames: FrameStore | None = None,
    tombstones: TombstoneStore | None = None,
    way: str = _FILE,
    accept_partial: bool = False,
    on_progress: Callable[[Summary], None] | None = None,
    throttle: Callable[[], Awaitable[None]] | None = None,
    journal: Journal | None = None,
) -> Summary:
    """Publish a data set's items; an interrupted run can be repeated, and continues.

    Parameters
    ----------
    gate : holds corrections that raise a question; None publishes all
    frames : the source of image sizes for items without an image; None uses declared sizes
    tombstones : the erased frames, which are left out; None leaves out none
    way : the input path, for metrics, and to recognise corrections that return to earlier content
    accept_partial : publish an import's frames as complete although parts of them were refused
    on_progress : called with the summary after every batch
    journal : notes what is published, so that it can be undone
    throttle : awaited before every batch, for a broker that drops records not consumed soon

    Raises
    ------
    Transient
        A store or the broker was unreachable for `settings.stall_limit_s`.
    """
    summary = Summary()
    limits, retrying = ImageLimits.of(settings), _retrying(settings)
    publisher = BatchPublisher(
        RevisionPublisher(ledger, outbox, way, journal), blobs, limits, clock, tombstones
    )
    opened = _all_opened(
        _bounded(await _with_stored(items, source, frames, retrying), settings, way), limits, source
    )
    if accept_partial and source is Source.IMPORT:
        opened = map(as_complete, opened)
    batches = _batches(opened, min(settings.batch_size, _MOST_FRAMES))
    while found := await asyncio.to_thread(next, batches, None):
        if throttle:
            await throttle()
        batch: Batch = await _without_erased(publisher, found, retrying, summary)
        batch = await retrying(publisher.refuse_unknown, batch)
        if source is Source.REANNOTATION:
            batch = await retrying(publisher.recognised, batch)
            if gate:
                batch = await _sifted(gate, batch, retrying, summary)
        _account(summary, batch, await retrying(publisher.publish, batch), way)
        if on_progress:
            on_progress(summary)
    return summary


async def _with_stored(
    items: Iterable[Item], source: Source, frames: FrameStore | None, retrying: AsyncRetrying
) -> Iterable[Item]:
    """Items with what the store knows of their frames: all, or image sizes."""
    if source is Source.REANNOTATION:
        read = await asyncio.to_thread(list, items)  # parsing is slow, and must not block the loop
        corrections: Iterable[Item] = await retrying(corrections_of, read, frames)
        return corrections
    if frames is None:
        return items
    return on_stored_pictures(items, _sizes_from(frames, retrying))


def _bounded(items: Iterable[Item], settings: Settings, way: str) -> Iterator[Item]:
    """Items without the detections beyond the limit per frame."""
    most = settings.max_detections_per_frame
    for item in items:
        yield within_limit(item, most, way) if isinstance(item, FrameItem) else item


def _sizes_from(frames: FrameStore, retrying: AsyncRetrying) -> SizesOf:
    """Returns a function that queries the store from the thread that opens frames."""
    loop = asyncio.get_running_loop()

    def sizes(frame_ids: Collection[FrameId]) -> Mapping[FrameId, Size]:
        asking: Coroutine[None, None, Mapping[FrameId, Size]] = retrying(
            stored_sizes, frame_ids, frames
        )
        return asyncio.run_coroutine_threadsafe(asking, loop).result()

    return sizes


async def _without_erased(
    publisher: BatchPublisher, batch: Batch, retrying: AsyncRetrying, summary: Summary
) -> Batch:
    outcome: tuple[Batch, int] = await retrying(publisher.without_erased, batch)
    left, erased = outcome
    summary.erased += erased
    summary.done += erased
    return left


async def _sifted(
    gate: CorrectionGate, batch: Batch, retrying: AsyncRetrying, summary: Summary
) -> Batch:
    outcome: tuple[Batch, list[HeldCorrection]] = await retrying(sifted, gate, batch)
    passing, held = outcome
    summary.held.update(correction.question.value for correction in held)
    summary.done += len(held)
    return passing


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


def _batches(items: Iterable[OpenedFrame | Rejection], size: int) -> Iterator[Batch]:
    frames: list[OpenedFrame] = []
    rejections: list[Rejection] = []
    for opened in items:
        if isinstance(opened, Rejection):
            rejections.append(opened)
        else:
            frames.append(opened)
            rejections += opened.rejections
        held = sum(len(frame.content or b"") for frame in frames)
        if held >= MAX_BATCH_BYTES or len(frames) + len(rejections) >= size:
            yield Batch(frames, rejections)
            frames, rejections = [], []
    if frames or rejections:
        yield Batch(frames, rejections)


def _all_opened(
    items: Iterable[Item], limits: ImageLimits, source: Source
) -> Iterator[OpenedFrame | Rejection]:
    claimed: set[FrameId] = set()
    for item in items:
        yield _opened(item, limits, source, claimed)


def _opened(
    item: Item, limits: ImageLimits, source: Source, claimed: set[FrameId]
) -> OpenedFrame | Rejection:
    """Open the item; refuse it if its frame occurred before, as it would overwrite the first."""
    if source is Source.REANNOTATION or not isinstance(item, FrameItem):
        return open_correction(item, limits)
    if item.frame_id in claimed:
        detail = f"frame {item.frame_id} occurred before in the same data set"
        return refused(item, "duplicate_id", detail)
    claimed.add(item.frame_id)
    return open_frame(item, limits, source)


def _account(summary: Summary, batch: Batch, outcome: Outcome, way: str) -> None:
    refused = sum(rejection.whole_frame for rejection in batch.rejections)
    summary.done += len(batch.frames) + refused
    for frame in batch.frames:
        summary.add_adjustments(frame.item)
    for draft in (*outcome.published, *outcome.known):
        summary.note(draft)
    for draft in outcome.published:
        summary.count_of(draft).published += 1
        summary.add_taken(draft)
    for draft in outcome.known:
        summary.count_of(draft).known += 1
        summary.add_taken(draft)
    for rejection in outcome.rejections:
        summary.add_rejection(rejection)
        metrics.RECORDS_REJECTED.labels(rejection.reason, way).inc()
