"""retriever: keeps every needle's shortlist up to date with the haystack and what is annotated."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

import structlog

from services.contracts.errors import Fatal, StoreUnavailable
from services.contracts.events import (
    Event,
    FrameEmbedded,
    NeedleFound,
    NeedleRetracted,
    ShortlistPublished,
    Split,
)
from services.contracts.identity import DetectorId, FrameId, ModelId, NeedleId
from services.contracts.matches import CategoryMatched, FrameMatched, categories_of
from services.domain.ports.epochs import EpochStore
from services.domain.ports.frames import FrameStore
from services.domain.ports.matches import MatchStore
from services.domain.ports.needles import NeedleRecord, NeedleStore
from services.domain.ports.openings import Openings
from services.domain.ports.vectors import REGION_VECTORS, VectorStore, live_model
from services.domain.shortlists.epochs import (
    WINDOW,
    Epoch,
    Size,
    is_settled,
    sizes_with,
    with_release,
)
from services.domain.shortlists.scored_candidates import Limits
from services.retriever import logic
from services.retriever.allocation.budgets import limits_of, show_budgets
from services.retriever.allocation.detector_plan import DetectorPlan
from services.retriever.allocation.sources import Sources
from services.retriever.learning.fitting import Learning
from services.retriever.logic import FrameFacts
from services.retriever.scoring.caches import (
    FrameCache,
    HaystackSizeCache,
    MatchCache,
    NeedleCache,
    VectorCache,
)
from services.retriever.scoring.candidate_source import CandidateSource
from services.runtime.clock import Clock
from services.runtime.consumed import consumed_offsets
from services.runtime.observability import freshness, metrics
from services.runtime.settings import Settings
from services.runtime.step import Outbox
from services.runtime.stores.budget_reports import BudgetReport, BudgetReports

log = structlog.get_logger()


class _Awaited(NamedTuple):
    """The frame of a needle that waits for its first shortlist, and since when it waits."""

    frame_id: FrameId
    detector: DetectorId
    since: float
    """When the broker took the needle or its region's vector, whichever was later."""


@dataclass(frozen=True)
class _News:
    """What an epoch is closed with.

    Attributes
    ----------
    records : needles that changed
    frames : the current facts of frames that changed
    is_empty : whether there were no events
    """

    records: Sequence[NeedleRecord]
    frames: Mapping[FrameId, FrameFacts]
    is_empty: bool = False

    def of(self, detector: DetectorId) -> "_News":
        """The news for one detector."""
        return replace(
            self, records=[record for record in self.records if _detector_of(record) == detector]
        )


_NO_NEWS = _News((), {}, is_empty=True)


class PublishShortlists:
    """Closes an epoch with every batch, and publishes the shortlists that it changes.

    Needles, haystack regions and annotated frames arrive in any order; each is stored before its
    event. A batch's offsets are committed after its epoch is recorded and its shortlists are
    acknowledged, so an epoch never has to remember what it has not stored.

    An epoch is recorded once per detector, by compare-and-swap on its number. A process that finds
    its number taken reads that detector's state again and closes the next one.
    """

    def __init__(
        self,
        *,
        frames: FrameStore,
        matches: MatchStore,
        needles: NeedleStore,
        vectors: VectorStore,
        epochs: EpochStore,
        openings: Openings,
        budgets: BudgetReports,
        outbox: Outbox,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._frames = FrameCache(frames, settings.frame_cache_bytes)
        self._match_cache = MatchCache(matches, self._frames)
        self._needles = needles
        self._needle_cache = NeedleCache(needles, settings.needle_cache_bytes)
        self._vectors = vectors
        self._size = HaystackSizeCache(vectors)
        self._epoch_store = epochs
        self._budgets = budgets
        self._reported: list[BudgetReport] | None = None
        self._outbox = outbox
        self._settings = settings
        self._clock = clock
        vector_cache = VectorCache(vectors, settings.vector_cache_bytes)
        self._learning = Learning(self._frames, self._match_cache, vector_cache, settings)
        self._sources = Sources(
            self._frames,
            self._needle_cache,
            vector_cache,
            self._learning,
            CandidateSource(self._frames, vectors, vector_cache, settings),
            openings,
            settings,
        )
        self._plans: dict[DetectorId, DetectorPlan] | None = None
        """None until the stores were read."""
        self._planned_for: ModelId | None = None
        self._epochs: dict[DetectorId, Epoch] = {}
        self._closed_at = clock.monotonic()
        self._lock = asyncio.Lock()
        """Batches and the closing of epochs without events take turns."""
        self._freshness = metrics.FRESHNESS_SECONDS.labels("needle_to_shortlist")
        self._awaited: dict[NeedleId, _Awaited] = {}
        """Needles that no epoch has considered yet; a restart empties this."""

    async def run(self, events: Sequence[Event]) -> None:
        async with self._forgetting_on_error():
            await self._close_epochs(await self._take_in(events), consumed_offsets())

    async def settle(self) -> bool:
        """Close an epoch without events if frames wait to be listed; returns whether they did."""
        async with self._forgetting_on_error():
            if self._plans is not None and not self._held():
                return False
            await self._close_epochs(_NO_NEWS, {})
        await self.report_budgets()
        return True

    async def settle_when_due(self) -> None:
        """Like `settle`, but only when no events came for a while. Call this periodically."""
        # As long as the window within which growth is measured: for less, a stage may be behind.
        if self._clock.monotonic() - self._closed_at >= WINDOW * self._settings.epoch_s:
            await self.settle()

    async def report_budgets(self) -> None:
        """Publish what of the budgets is spent and what they hold back, if that changed.

        Call this periodically.
        """
        async with self._lock:
            plans = sorted((self._plans or {}).items())
            reports = [await plan.report() for _, plan in plans]
        if not reports or reports == self._reported:
            return
        await self._budgets.show(reports)
        self._reported = reports
        show_budgets(reports)

    def _held(self) -> bool:
        """Whether any detector's last epoch listed no frames because too much was new."""
        return any(not epoch.settled for epoch in self._epochs.values() if self._planned(epoch))

    def _planned(self, epoch: Epoch) -> bool:
        return self._plans is not None and epoch.detector in self._plans

    @asynccontextmanager
    async def _forgetting_on_error(self) -> AsyncIterator[None]:
        async with self._lock:
            try:
                yield
            except BaseException:
                # Assignments in memory may not have been written, so read everything again.
                self._forget_all()
                raise

    def _forget_all(self) -> None:
        self._forget_caches()
        self._plans = None

    def _forget_caches(self) -> None:
        self._frames.forget_all()
        self._match_cache.forget_all()
        self._needle_cache.forget_all()
        self._size.forget()

    async def _take_in(self, events: Sequence[Event]) -> _News:
        found: list[NeedleFound | NeedleRetracted] = []
        embedded: list[FrameEmbedded] = []
        matched: list[CategoryMatched] = []
        for event in events:
            match event:
                case NeedleFound() | NeedleRetracted():
                    found.append(event)
                case FrameEmbedded():
                    embedded.append(event)
                case FrameMatched():
                    matched += categories_of([event])
                case _:
                    raise Fatal(f"retriever does not consume {type(event).__name__}")
        await self._needles.record(found)
        stored = await self._needle_cache.refresh({needle.needle_id for needle in found})
        records = {id_: record for id_, record in stored.items() if not record.is_miss}
        self._note_awaited(found, records)
        self._note_embedded(embedded)
        examples = self._match_cache.note(matched)
        frames = await self._facts_of(embedded, examples)
        of_needles = [records[needle_id] for needle_id in sorted(records)]
        return _News(of_needles, frames)

    def _note_awaited(
        self,
        needles: Sequence[NeedleFound | NeedleRetracted],
        records: Mapping[NeedleId, NeedleRecord],
    ) -> None:
        for needle in needles:
            taken_at, record = freshness.taken_at(needle), records.get(needle.needle_id)
            # None if the store could not read it, and has reported that.
            if record is None or not record.active:
                self._awaited.pop(needle.needle_id, None)
            elif record.shortlist is None and taken_at is not None:
                awaited = _Awaited(needle.frame_id, needle.detector, taken_at)
                self._awaited.setdefault(needle.needle_id, awaited)

    def _note_embedded(self, embedded: Sequence[FrameEmbedded]) -> None:
        """Start the clock of a needle again when its region's vector arrives after it."""
        taken = {item.frame_id: freshness.taken_at(item) or 0.0 for item in embedded}
        for needle_id, item in self._awaited.items():
            if taken.get(item.frame_id, 0.0) > item.since:
                self._awaited[needle_id] = item._replace(since=taken[item.frame_id])

    async def _facts_of(
        self, embedded: Sequence[FrameEmbedded], examples: Sequence[CategoryMatched]
    ) -> dict[FrameId, FrameFacts]:
        """The current facts of the frames that these events are about."""
        frame_ids = {event.frame_id for event in embedded}
        frame_ids |= {example.frame_id for example in examples}
        self._frames.forget(frame_ids)
        facts = await self._frames.load(frame_ids)
        for example in examples:
            self._learning.observe(logic.detector_category_of(example))
        for item in embedded:
            seen = facts.get(item.frame_id)
            if seen is None:
                continue
            if seen.split(self._settings.split_rule) is Split.HAYSTACK:
                self._size.note([item.frame_id])
                continue
            for detector_category in {region.detector_category for region in seen.regions.values()}:
                self._learning.observe(detector_category)
        return facts

    async def _close_epochs(self, news: _News, offsets: Mapping[str, int]) -> None:
        """Update the plans, record an epoch of each, write and publish what changes."""
        started = self._clock.monotonic()
        model = await live_model(self._vectors, REGION_VECTORS)
        frames = 0 if model is None else await self._size.haystack_frames(model)
        limits = limits_of(frames, self._settings)
        withdrawn = await self._plan_new(news.records, model, limits)
        await self._write(withdrawn)
        for detector in sorted(self._plans or {}):
            of_plan = news.of(detector)
            while not await self._close(detector, of_plan, offsets, frames=frames, limits=limits):
                await self._read_again(detector, model, limits)
        self._closed_at = self._clock.monotonic()
        await self._publish()
        if model is not None:
            self._forget_unlisted()
        metrics.SEARCH_SECONDS.observe(self._clock.monotonic() - started)

    def _forget_unlisted(self) -> None:
        """Forget needles that a settled epoch found no candidates for.

        What they are given one day says nothing about latency. Needles wait on while their region
        has no vector, and while too much is new for frames to be listed.
        """
        waiting = {item for plan in (self._plans or {}).values() for item in plan.waiting}
        held = {detector for detector, epoch in self._epochs.items() if not epoch.settled}
        self._awaited = {
            needle_id: awaited
            for needle_id, awaited in self._awaited.items()
            if needle_id in waiting or awaited.detector in held
        }

    async def _plan_new(
        self, records: Sequence[NeedleRecord], model: ModelId | None, limits: Limits
    ) -> list[ShortlistPublished]:
        """Make the plans that are missing; returns shortlists that retractions empty."""
        if self._plans is None:
            self._epochs = await self._epoch_store.latest()
            self._plans = {}
            records = await self._needle_cache.all()
        elif model != self._planned_for:
            self._plans = {}
            records = [*records, *await self._needle_cache.all()]
        self._planned_for = model
        for detector, plan in list(self._plans.items()):
            if plan.needs_clustering:
                del self._plans[detector]
                records = [*records, *await self._needle_cache.all(detector)]
        if model is not None:
            by_detector = _by_detector(records)
            for detector in sorted(by_detector.keys() - self._plans.keys()):
                self._plans[detector] = await self._loaded(detector, model, limits)
        return _withdrawn({record.needle_id: record for record in records}.values())

    async def _close(
        self,
        detector: DetectorId,
        news: _News,
        offsets: Mapping[str, int],
        *,
        frames: int,
        limits: Limits,
    ) -> bool:
        """Close an epoch of one detector; False if another process has closed its number."""
        assert self._plans is not None
        plan = self._plans[detector]
        before = self._epochs.get(detector)
        epoch = _next_epoch(before, detector, offsets)
        again = before is not None and epoch.number == before.number
        size = Size(frames, self._learning.observed(detector))
        sizes = epoch.sizes if again else sizes_with(before, size)
        settled = is_settled(sizes) or (news.is_empty and before is not None)
        refresh = settled and (again or before is None or not before.settled)
        changed = await plan.update(news.records, news.frames, limits, refresh=refresh)
        settled = settled and not plan.unfinished
        epoch = replace(epoch, sizes=sizes, budget=limits.budgets.haystack, settled=settled)
        if not again:
            epoch = with_release(epoch, before, self._settings.shortlist_early)
        planned = await plan.allocate(changed, epoch)
        epoch = replace(epoch, models=planned.models)
        if not again and not await self._epoch_store.close(epoch):
            log.info("epoch_taken", detector=detector, epoch=epoch.number)
            return False
        self._epochs[detector] = epoch
        await self._write(planned.shortlists)
        return True

    async def _read_again(
        self, detector: DetectorId, model: ModelId | None, limits: Limits
    ) -> None:
        """Read a detector's state again: events that this process has not seen have changed it."""
        assert self._plans is not None
        assert model is not None
        self._forget_caches()
        self._epochs = await self._epoch_store.latest()
        self._plans[detector] = await self._loaded(detector, model, limits)

    async def _loaded(self, detector: DetectorId, model: ModelId, limits: Limits) -> DetectorPlan:
        plan = DetectorPlan(self._sources, detector, model, limits)
        await plan.load(await self._needle_cache.all(detector))
        return plan

    async def _write(self, shortlists: Sequence[ShortlistPublished]) -> None:
        if not shortlists:
            return
        await self._needles.write_shortlists(shortlists)
        stored = await self._needle_cache.refresh([shortlist.needle_id for shortlist in shortlists])
        for shortlist in shortlists:
            if stored[shortlist.needle_id].shortlist != shortlist:
                raise StoreUnavailable(
                    f"needle {shortlist.needle_id}: another retriever was faster"
                )

    async def _publish(self) -> None:
        """Publish the shortlists that are not acknowledged, whichever process stored them."""
        due = await self._needle_cache.unpublished()
        if not due:
            return
        await self._outbox.publish(due)
        await self._needles.mark_published(due)
        await self._needle_cache.refresh([item.needle_id for item in due])
        now = self._clock.now()
        for shortlist in due:
            awaited = self._awaited.pop(shortlist.needle_id, None)
            if awaited is not None:
                self._freshness.observe(freshness.age_s(awaited.since, now))
            category = metrics.CATEGORIES(shortlist.needle.category)
            metrics.SHORTLISTS_PUBLISHED.labels(category).inc()
            metrics.SHORTLIST_FRAMES.observe(len(shortlist.candidates))
        log.info("shortlists_published", shortlists=len(due))


def _next_epoch(before: Epoch | None, detector: DetectorId, offsets: Mapping[str, int]) -> Epoch:
    """The epoch that ends at these offsets: the one before if it did, which is then closed again.

    A batch is delivered again when its epoch was recorded and the process then ended.
    """
    if before is None:
        return Epoch(
            detector, 1, dict(offsets), {}, (), 0, settled=False, released=0, settled_budget=0
        )
    merged = {
        name: max(before.offsets.get(name, 0), offsets.get(name, 0))
        for name in sorted(before.offsets.keys() | offsets.keys())
    }
    if offsets and merged == before.offsets:
        return before
    return replace(before, number=before.number + 1, offsets=merged)


def _detector_of(record: NeedleRecord) -> DetectorId | None:
    return record.needle.detector if record.needle is not None else None


def _withdrawn(records: Collection[NeedleRecord]) -> list[ShortlistPublished]:
    withdrawn = [logic.withdrawn(record) for record in records if not record.active]
    return [shortlist for shortlist in withdrawn if shortlist is not None]


def _by_detector(records: Collection[NeedleRecord]) -> dict[DetectorId, list[NeedleRecord]]:
    by_detector: defaultdict[DetectorId, list[NeedleRecord]] = defaultdict(list)
    for record in records:
        if record.active and record.needle is not None:
            by_detector[record.needle.detector].append(record)
    return dict(by_detector)
