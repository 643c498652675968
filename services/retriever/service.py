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
    FrameMatched,
    NeedleFound,
    NeedleRetracted,
    ShortlistPublished,
    Split,
)
from services.contracts.identity import DetectorId, FrameId, ModelId, NeedleId
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
    """A needle that waits for its first shortlist: on which frame, and since when."""

    frame_id: FrameId
    since: float
    """When the broker took the needle or its region's vector, whichever it took later."""


class ExtendShortlists:
    """Carries shortlists on with every batch, and plans them all anew when the stream pauses.

    A needle, a haystack region and an annotated reference frame may come in any order. Each is
    durable before its event. While events come, what is listed stays and what is new is dealt to
    where the budget allows it: that costs what the batch costs, however much there is. What that
    leaves in the order of events, a plan of all shortlists takes out again: it follows from nothing
    but what is durable.

    Several may run at once. Whoever finishes a plan that another began or finished meanwhile
    forgets what it has read and plans all anew: the last one sees all that anyone has heard of.
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
        self._reference = MatchCache(matches, self._frames)
        self._needles = needles
        self._known_needles = NeedleCache(needles)
        self._vectors = vectors
        self._size = HaystackSizeCache(vectors)
        self._budgets = budgets
        self._reported: list[BudgetReport] | None = None
        self._outbox = outbox
        self._settings = settings
        self._clock = clock
        known_vectors = VectorCache(vectors)
        self._learning = Learning(self._frames, self._reference, known_vectors, settings)
        self._sources = Sources(
            self._frames,
            self._known_needles,
            known_vectors,
            self._size,
            self._learning,
            CandidateSource(self._frames, vectors, known_vectors, settings),
            settings,
        )
        self._plans: dict[DetectorId, DetectorPlan] = {}
        self._planned_for: ModelId | None = None
        self._finished: int | None = None
        self._put_off = True
        self._heard_at = clock.monotonic()
        self._seen: int | None = None
        self._lock = asyncio.Lock()
        self._freshness = metrics.FRESHNESS_SECONDS.labels("needle_to_shortlist")
        self._awaited: dict[NeedleId, _Awaited] = {}
        """Needles that have had no chance of a shortlist yet; not after a restart."""

    async def run(self, events: Sequence[Event]) -> None:
        async with self._undone_on_error():
            await self._take_in(events)
            # Only now: a batch that takes long is no pause.
            self._heard_at = self._clock.monotonic()

    async def settle(self) -> bool:
        """Plan all shortlists anew, if any was only carried on; whether that was so."""
        async with self._undone_on_error():
            if not self._put_off:
                return False
            await self._plan_anew()
        await self.report_budgets()
        return True

    async def settle_in_a_pause(self) -> None:
        """The same, once no retriever has heard anything for a while. To be called now and then."""
        async with self._undone_on_error():
            if not self._put_off or not await self._is_pause():
                return
            await self._plan_anew()
        await self.report_budgets()

    async def _is_pause(self) -> bool:
        now, finished = self._clock.monotonic(), await self._needles.plans()
        if finished != self._seen:
            self._seen, self._heard_at = finished, now
        return now - self._heard_at >= self._settings.plan_pause_s

    async def _plan_anew(self) -> None:
        self._plans.clear()
        await self._finish([], {})

    async def report_budgets(self) -> None:
        """Tell what is spent of the budgets and what they hold back, where that has changed.

        To be called now and then: while events come, nothing else tells it.
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
    async def _undone_on_error(self) -> AsyncIterator[None]:
        async with self._lock:
            try:
                yield
            except BaseException:
                # What was dealt and perhaps not written must not be taken for listed.
                self._forget_all()
                raise

    async def _take_in(self, events: Sequence[Event]) -> None:
        found: list[NeedleFound | NeedleRetracted] = []
        embedded: list[FrameEmbedded] = []
        matched: list[FrameMatched] = []
        for event in events:
            match event:
                case NeedleFound() | NeedleRetracted():
                    found.append(event)
                case FrameEmbedded():
                    embedded.append(event)
                case FrameMatched():
                    matched.append(event)
                case _:
                    raise Fatal(f"retriever does not consume {type(event).__name__}")
        await self._needles.record(found)
        records = await self._known_needles.refresh({needle.needle_id for needle in found})
        self._note_awaited(found, records)
        self._note_embedded(embedded)
        examples = self._reference.note(matched)
        frames = await self._seen_again(embedded, examples)
        if found or embedded or examples:
            self._put_off = True
            await self._finish(list(records.values()), frames)

    def _note_awaited(
        self,
        told: Sequence[NeedleFound | NeedleRetracted],
        records: Mapping[NeedleId, NeedleRecord],
    ) -> None:
        for needle in told:
            taken_at, record = freshness.taken_at(needle), records.get(needle.needle_id)
            # None where the store cannot read it, and has reported that.
            if record is None or not record.active:
                self._awaited.pop(needle.needle_id, None)
            elif record.shortlist is None and taken_at is not None:
                self._awaited.setdefault(needle.needle_id, _Awaited(needle.frame_id, taken_at))

    def _note_embedded(self, embedded: Sequence[FrameEmbedded]) -> None:
        """Let needles count from their regions' vectors where those come later."""
        taken = {item.frame_id: freshness.taken_at(item) or 0.0 for item in embedded}
        for needle_id, item in self._awaited.items():
            if taken.get(item.frame_id, 0.0) > item.since:
                self._awaited[needle_id] = _Awaited(item.frame_id, taken[item.frame_id])

    async def _seen_again(
        self, embedded: Sequence[FrameEmbedded], examples: Sequence[FrameMatched]
    ) -> dict[FrameId, FrameFacts]:
        """The frames that something was said of, as they are now."""
        told = {event.frame_id for event in (*embedded, *examples)}
        self._frames.forget(told)
        if not self._plans:
            # A plan of all reads them itself, as far as it needs them.
            return {}
        facts = await self._frames.load(told)
        for example in examples:
            self._learning.heard(logic.kind_of(example))
        for item in embedded:
            seen = facts.get(item.frame_id)
            if seen is None:
                continue
            if seen.split(self._settings.split_rule) is Split.HAYSTACK:
                self._size.note([item.frame_id])
                continue
            for kind in {region.kind for region in seen.regions.values()}:
                self._learning.heard(kind)
        return facts

    async def _finish(
        self, records: Sequence[NeedleRecord], frames: Mapping[FrameId, FrameFacts]
    ) -> None:
        """Plan by this news, write, and publish."""
        started = self._clock.monotonic()
        before = await self._needles.plans()
        if before != self._finished:
            self._forget_all()
        model = await live_model(self._vectors, REGION_VECTORS)
        if model != self._planned_for:
            self._plans.clear()
        self._planned_for = model
        if self._plans:
            changed = await self._extended(records, frames, model)
        else:
            changed = await self._planned(model)
            self._put_off = False
        await self._write(changed)
        if not await self._needles.finish_plan(before):
            raise StoreUnavailable("another retriever planned at the same time")
        self._finished = before + 1
        await self._publish()
        # The others had their chance: what they get one day says nothing about how fast we are.
        if model is not None:
            waiting = {needle_id for plan in self._plans.values() for needle_id in plan.waiting}
            self._awaited = {
                needle_id: at for needle_id, at in self._awaited.items() if needle_id in waiting
            }
        metrics.SEARCH_SECONDS.observe(self._clock.monotonic() - started)

    async def _planned(self, model: ModelId | None) -> list[ShortlistPublished]:
        """What changes when all is planned anew."""
        self._size.forget()
        records = await self._known_needles.all()
        changed = _withdrawn(records)
        for detector, of_detector in _by_detector(records).items():
            if model is not None:
                self._plans[detector] = DetectorPlan(self._sources, model)
                changed += await self._plans[detector].plan(of_detector)
        return changed

    async def _extended(
        self,
        records: Sequence[NeedleRecord],
        frames: Mapping[FrameId, FrameFacts],
        model: ModelId | None,
    ) -> list[ShortlistPublished]:
        """What changes by this news."""
        changed = _withdrawn(records)
        of = defaultdict(list)
        for record in records:
            if record.needle is not None:
                of[record.needle.detector].append(record)
        for detector, plan in self._plans.items():
            changed += await plan.extend(of.pop(detector, []), frames)
        for detector, of_detector in sorted(of.items()):
            if model is not None:
                self._plans[detector] = DetectorPlan(self._sources, model)
                active = [item for item in of_detector if item.active]
                changed += await self._plans[detector].plan(active)
        return changed

    def _forget_all(self) -> None:
        """Another retriever planned, and may have heard what this one has not."""
        self._frames.forget_all()
        self._reference.forget_all()
        self._known_needles.forget_all()
        self._plans.clear()

    async def _write(self, shortlists: Sequence[ShortlistPublished]) -> None:
        await self._needles.write_shortlists(shortlists)
        stored = await self._known_needles.refresh(
            [shortlist.needle_id for shortlist in shortlists]
        )
        for shortlist in shortlists:
            if stored[shortlist.needle_id].shortlist != shortlist:
                raise StoreUnavailable(
                    f"needle {shortlist.needle_id}: another retriever was faster"
                )

    async def _publish(self) -> None:
        """Publish what is written and not yet acknowledged, whoever wrote it and whenever."""
        due = await self._known_needles.unpublished()
        if not due:
            return
        await self._outbox.publish(due)
        await self._needles.mark_published(due)
        await self._known_needles.refresh([item.needle_id for item in due])
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
    of: defaultdict[DetectorId, list[NeedleRecord]] = defaultdict(list)
    for record in records:
        if record.active and record.needle is not None:
            of[record.needle.detector].append(record)
    return dict(sorted(of.items()))
