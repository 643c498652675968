"""The whole pipeline: publish a data set, wait for the services, report, draw montages."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from services.app.categories.changing import apply_change
from services.app.gallery import write_montages
from services.app.parts import App
from services.app.reporting import read_reports
from services.app.undoing.journals import journal_of
from services.app.upkeep import finish_pending
from services.cli.account import account
from services.cli.dead_letter_reading import dead_letter_count
from services.cli.empty_split import empty_split
from services.cli.lag_watch import LagWatch
from services.cli.montage_options import MontagePlan
from services.cli.progress import ProgressView
from services.contracts.identity import FrameId
from services.domain.chunks import chunks
from services.domain.ports.frames import FrameRecord, FrameStore
from services.domain.ports.imports import ImportKind
from services.evaluator.reports.report import Report
from services.formats.items import Dataset, FrameItem, Item
from services.ingest.parts import IngestParts
from services.ingest.publishing import publish_dataset
from services.ingest.source import Source
from services.ingest.summary import Summary
from services.runtime.clock import SystemClock
from services.runtime.shown_images import ShownImages

_KINDS = {Source.IMPORT: ImportKind.DATA_SET, Source.REANNOTATION: ImportKind.CORRECTIONS}
_CHUNK = 500
"""Frames loaded per query."""


@dataclass(frozen=True)
class Mined:
    """The results of mining a data set."""

    reports: Sequence[Report]
    montages: Sequence[Path]
    published: Summary
    lost: int
    """Frames of the data set that are neither stored whole nor rejected."""
    empty_split: str | None = None
    """A warning, if all frames are on one side of the split."""


class ImportAudit:
    """Records which frames a data set yields, to check at the end that all are stored."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = items
        self._frames: dict[FrameId, FrameItem] = {}

    def __iter__(self) -> Iterator[Item]:
        for item in self._items:
            if isinstance(item, FrameItem):
                self._frames[item.frame_id] = item
            yield item

    @property
    def frames(self) -> Collection[FrameItem]:
        """The frames yielded so far."""
        return self._frames.values()

    async def lost(self, store: FrameStore, summary: Summary) -> int:
        """The number of yielded frames that are neither stored completely nor rejected."""
        rejected = {rejection.location for rejection in summary.rejections}
        # The summary names only the first rejections; frames of the others are absent too.
        unlisted = summary.rejected.total() - len(summary.rejections)
        frame_ids, absent = list(self._frames), 0
        for chunk in chunks(frame_ids, _CHUNK):
            found = await store.load(chunk)
            for frame_id in chunk:
                item = self._expected(frame_id, summary)
                stored = _whole(item, found.get(frame_id))
                absent += not stored and item.location not in rejected
        return max(0, absent - unlisted)

    def _expected(self, frame_id: FrameId, summary: Summary) -> FrameItem:
        """The parts of the frame that should be stored."""
        item = self._frames[frame_id]
        return replace(item, detections=None) if frame_id in summary.unpredicted else item


def _whole(item: FrameItem, record: FrameRecord | None) -> bool:
    if record is None or (item.image is not None and record.captured is None):
        return False
    if item.annotations is not None and record.ground_truth is None:
        return False
    return item.detections is None or bool(record.predictions)


async def publish(
    app: App,
    dataset: Dataset,
    watch: LagWatch,
    view: ProgressView,
    *,
    source: Source = Source.IMPORT,
    accept_partial: bool = False,
) -> tuple[Summary, ImportAudit]:
    """Publish a data set to a running stack.

    Raises
    ------
    GazeloopError
        A part is unavailable for too long, or a file cannot be read.
    """
    clock = SystemClock()
    if dataset.categories is not None:
        view.at("storing what the detector's categories stand for")
        await apply_change(app, dataset.categories, account(), clock.now())
    await finish_pending(app)
    view.at(f"publishing {dataset.name}")
    view.counted(frames=dataset.frames or 0)
    audit = ImportAudit(dataset.items)
    summary = await publish_dataset(
        audit,
        IngestParts.of(app.stores, app.outbox, app.settings, clock),
        source=source,
        accept_partial=accept_partial,
        journal=journal_of(app.stores, _KINDS[source], dataset.name, account(), clock.now()),
        on_progress=lambda so_far: view.counted(published=so_far.done),
        throttle=watch.throttle,
    )
    return summary, audit


async def mine(
    app: App,
    dataset: Dataset,
    view: ProgressView,
    montages: MontagePlan,
    *,
    accept_partial: bool = False,
) -> Mined:
    """Run the whole pipeline on a running stack.

    Raises
    ------
    GazeloopError
        A part is unavailable for too long, or a file cannot be read.
    """
    watch = LagWatch(app, view)
    async with watch.polling():
        summary, audit = await publish(app, dataset, watch, view, accept_partial=accept_partial)
    view.at("embedding, matching, mining, retrieving")
    await app.caught_up(watch.seen)
    await watch.look()
    view.at("computing the report")
    lost = await audit.lost(app.stores.frames, summary)
    reports = await read_reports(app, await dead_letter_count(app))
    drawn: list[Path] = []
    if montages.most:
        view.at("drawing montages")
        images = ShownImages.of(app.stores.blobs, app.settings)
        drawn = await write_montages(app.stores, montages.folder, images=images, most=montages.most)
    one_sided = empty_split(audit.frames, app.settings) if summary.frames.total else None
    return Mined(reports, drawn, summary, lost, one_sided)
