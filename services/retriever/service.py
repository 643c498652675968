"""retriever: keeps every needle's shortlist up to date with the haystack and what is annotated."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
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
from services.domain.ports.frames import FrameStore
from services.domain.ports.matches import MatchStore
from services.domain.ports.needles import NeedleRecord, NeedleStore
from services.domain.ports.vectors import REGION_VECTORS, VectorStore, live_model
from services.retriever import logic
from services.retriever.allocation.budgets import show_budgets
from services.retriever.allocation.planning import DetectorPlan
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
from services.runtime.observability import freshness, metrics
from services.runtime.settings import Settings
from services.runtime.step import Outbox
from services.runtime.stores.budget_reports import BudgetReport, BudgetReports

log = structlog.get_logger()


class _Awaited(NamedTuple):
    """The frame of a needle that waits for its first shortlist, and since when it waits."""

    frame_id: FrameId
    since: float
    """When the broker took the needle or its region's vector, whichever was later."""


class ExtendShortlists:
    """Extends shortlists with every batch, and replans all of them when the stream pauses.

    Needles, haystack regions and annotated reference frames arrive in any order; each is stored
    before its event. While events arrive, listed frames stay and new candidates are assigned within
    the budget, at a cost that depends on the batch and not on what is stored. A full replan removes
    any dependence on event order: it uses only what is stored.

    Several instances may run at once. An instance that finishes a plan while another planned
    discards its caches and plans again: the last one to plan has read everything.
    """

    def __init__(
        self,
        *,
        frames: FrameStore,
        matches: MatchStore,
        needles: NeedleStore,
        vectors: VectorStore,
        budgets: BudgetReports,
        outbox: Outbox,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._frames = FrameCache(frames)
        self._match_cache = MatchCache(matches, self._frames)
        self._needles = needles
        self._needle_cache = NeedleCache(needles)
        self._vectors = vectors
        self._size = HaystackSizeCache(vectors)
        self._budgets = budgets
        self._reported: list[BudgetReport] | None = None
        self._outbox = outbox
        self._settings = settings
        self._clock = clock
        vector_cache = VectorCache(vectors)
        self._learning = Learning(self._frames, self._match_cache, vector_cache, settings)
        self._sources = Sources(
            self._frames,
            self._needle_cache,
            vector_cache,
            self._size,
            self._learning,
            CandidateSource(self._frames, vectors, vector_cache, settings),
            settings,
        )
        self._plans: dict[DetectorId, DetectorPlan] = {}
        self._planned_for: ModelId | None = None
        self._last_plan: int | None = None
        self._replan_due = True
        self._last_event_at = clock.monotonic()
        self._plans_seen: int | None = None
        self._lock = asyncio.Lock()
        self._freshness = metrics.FRESHNESS_SECONDS.labels("needle_to_shortlist")
        self._awaited: dict[NeedleId, _Awaited] = {}
        """Needles that no plan has considered yet; a restart empties this."""

    async def run(self, events: Sequence[Event]) -> None:
        async with self._forgetting_on_error():
            await self._take_in(events)
            # Set after the batch: a slow batch does not count as a pause.
            self._last_event_at = self._clock.monotonic()

    async def settle(self) -> bool:
        """Replan all shortlists if any was only extended; returns whether it did."""
        async with self._forgetting_on_error():
            if not self._replan_due:
                return False
            await self._replan()
        await self.report_budgets()
        return True

    async def settle_in_a_pause(self) -> None:
        """Like `settle`, but only after a pause of `plan_pause_s`. Call this periodically."""
        async with self._forgetting_on_error():
            if not self._replan_due or not await self._is_pause():
                return
            await self._replan()
        await self.report_budgets()

    async def _is_pause(self) -> bool:
        now, finished = self._clock.monotonic(), await self._needles.plans()
        if finished != self._plans_seen:
            self._plans_seen, self._last_event_at = finished, now
        return now - self._last_event_at >= self._settings.plan_pause_s

    async def _replan(self) -> None:
        self._plans.clear()
        await self._update([], {})

    async def report_budgets(self) -> None:
        """Publish what of the budgets is spent and what they hold back, if that changed.

        Call this periodically: while events arrive, nothing else publishes it.
        """
        async with self._lock:
            plans = sorted(self._plans.items())
            reports = [await plan.report(detector) for detector, plan in plans]
        if not reports or reports == self._reported:
            return
        await self._budgets.show(reports)
        self._reported = reports
        show_budgets(reports)

    @asynccontextmanager
    async def _forgetting_on_error(self) -> AsyncIterator[None]:
        async with self._lock:
            try:
                yield
            except BaseException:
                # Assignments in memory may not have been written, so read everything again.
                self._forget_all()
                raise

    async def _take_in(self, events: Sequence[Event]) -> None:
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
        records = await self._needle_cache.refresh({needle.needle_id for needle in found})
        self._note_awaited(found, records)
        self._note_embedded(embedded)
        examples = self._match_cache.note(matched)
        frames = await self._facts_of(embedded, examples)
        if found or embedded or examples:
            self._replan_due = True
            await self._update(list(records.values()), frames)

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
                self._awaited.setdefault(needle.needle_id, _Awaited(needle.frame_id, taken_at))

    def _note_embedded(self, embedded: Sequence[FrameEmbedded]) -> None:
        """Start the clock of a needle again when its region's vector arrives after it."""
        taken = {item.frame_id: freshness.taken_at(item) or 0.0 for item in embedded}
        for needle_id, item in self._awaited.items():
            if taken.get(item.frame_id, 0.0) > item.since:
                self._awaited[needle_id] = _Awaited(item.frame_id, taken[item.frame_id])

    async def _facts_of(
        self, embedded: Sequence[FrameEmbedded], examples: Sequence[CategoryMatched]
    ) -> dict[FrameId, FrameFacts]:
        """The current facts of the frames that these events are about."""
        frame_ids = {event.frame_id for event in embedded}
        frame_ids |= {example.frame_id for example in examples}
        self._frames.forget(frame_ids)
        if not self._plans:
            # A full plan loads the frames that it needs.
            return {}
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

    async def _update(
        self, records: Sequence[NeedleRecord], frames: Mapping[FrameId, FrameFacts]
    ) -> None:
        """Plan with these changes, write, and publish."""
        started = self._clock.monotonic()
        before = await self._needles.plans()
        if before != self._last_plan:
            self._forget_all()
        model = await live_model(self._vectors, REGION_VECTORS)
        if model != self._planned_for:
            self._plans.clear()
        self._planned_for = model
        if self._plans:
            changed = await self._incremental_plan(records, frames, model)
        else:
            changed = await self._full_plan(model)
            self._replan_due = False
        await self._write(changed)
        if not await self._needles.finish_plan(before):
            raise StoreUnavailable("another retriever planned at the same time")
        self._last_plan = before + 1
        await self._publish()
        # Needles that this plan gave no candidates do not count toward latency later on.
        if model is not None:
            waiting = {needle_id for plan in self._plans.values() for needle_id in plan.waiting}
            self._awaited = {
                needle_id: at for needle_id, at in self._awaited.items() if needle_id in waiting
            }
        metrics.SEARCH_SECONDS.observe(self._clock.monotonic() - started)

    async def _full_plan(self, model: ModelId | None) -> list[ShortlistPublished]:
        """Plan all shortlists from the stores; returns those that change."""
        self._size.forget()
        records = await self._needle_cache.all()
        changed = _withdrawn(records)
        for detector, of_detector in _by_detector(records).items():
            if model is not None:
                self._plans[detector] = DetectorPlan(self._sources, model)
                changed += await self._plans[detector].plan(of_detector)
        return changed

    async def _incremental_plan(
        self,
        records: Sequence[NeedleRecord],
        frames: Mapping[FrameId, FrameFacts],
        model: ModelId | None,
    ) -> list[ShortlistPublished]:
        """Extend the shortlists by these changes; returns those that change."""
        changed = _withdrawn(records)
        by_detector = defaultdict(list)
        for record in records:
            if record.needle is not None:
                by_detector[record.needle.detector].append(record)
        for detector, plan in self._plans.items():
            changed += await plan.extend(by_detector.pop(detector, []), frames)
        for detector, of_detector in sorted(by_detector.items()):
            if model is not None:
                self._plans[detector] = DetectorPlan(self._sources, model)
                active = [item for item in of_detector if item.active]
                changed += await self._plans[detector].plan(active)
        return changed

    def _forget_all(self) -> None:
        """Drop all caches and plans, so that everything is read again."""
        self._frames.forget_all()
        self._match_cache.forget_all()
        self._needle_cache.forget_all()
        self._plans.clear()

    async def _write(self, shortlists: Sequence[ShortlistPublished]) -> None:
        await self._needles.write_shortlists(shortlists)
        stored = await self._needle_cache.refresh([shortlist.needle_id for shortlist in shortlists])
        for shortlist in shortlists:
            if stored[shortlist.needle_id].shortlist != shortlist:
                raise StoreUnavailable(
                    f"needle {shortlist.needle_id}: another retriever was faster"
                )

    async def _publish(self) -> None:
        """Publish the shortlists that are not acknowledged, whichever instance stored them."""
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


def _withdrawn(records: Collection[NeedleRecord]) -> list[ShortlistPublished]:
    withdrawn = [logic.withdrawn(record) for record in records if not record.active]
    return [shortlist for shortlist in withdrawn if shortlist is not None]


def _by_detector(records: Collection[NeedleRecord]) -> dict[DetectorId, list[NeedleRecord]]:
    by_detector: defaultdict[DetectorId, list[NeedleRecord]] = defaultdict(list)
    for record in records:
        if record.active and record.needle is not None:
            by_detector[record.needle.detector].append(record)
    return dict(sorted(by_detector.items()))
