"""retriever: keeps every needle's shortlist up to date with the haystack and what is annotated."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager

import structlog

from services.contracts.events import Event, ShortlistPublished
from services.contracts.identity import DetectorId, FrameHash, ModelId
from services.domain.ports.epochs import EpochStore
from services.domain.ports.failure_models import FailureModelStore
from services.domain.ports.frames import FrameStore
from services.domain.ports.known_places import KnownPlaces
from services.domain.ports.matches import MatchStore
from services.domain.ports.needles import NeedleRecord, NeedleStore
from services.domain.ports.openings import Openings
from services.domain.ports.vectors import REGION_VECTORS, VectorStore, live_model
from services.domain.shortlists.epochs import WINDOW, Epoch, Size, includes, next_epoch
from services.domain.shortlists.scored_candidates import Limits
from services.retriever import logic
from services.retriever.allocation.budgets import limits_of, show_budgets
from services.retriever.allocation.haystack_size import HaystackSizeCache
from services.retriever.allocation.needle_cache import NeedleCache
from services.retriever.allocation.sources import Sources
from services.retriever.awaited_needles import AwaitedNeedles
from services.retriever.caches import FrameCache, VectorCache
from services.retriever.intake import Intake
from services.retriever.learning.fitted_models import FittedModels
from services.retriever.learning.match_cache import MatchCache
from services.retriever.loading import StagesLoader
from services.retriever.publication import ShortlistPublication
from services.retriever.scoring.candidate_source import CandidateSource
from services.retriever.stages import Changes, DetectorStages
from services.runtime.clock import Clock
from services.runtime.consumed import consumed_offsets, place_of
from services.runtime.observability import metrics
from services.runtime.settings import Settings
from services.runtime.step import Outbox
from services.runtime.stores.budget_reports import BudgetReport, BudgetReports

log = structlog.get_logger()

_READ_ONCE_GROWN = "read_once_grown"
"""The key of a row of STATE that is there from the end of growth until the epoch after."""
_BLOCKED_S = 2.0
"""A call of `settle_when_due` that comes later than this and an epoch was held up."""


class PublishShortlists:
    """Closes an epoch with every batch, and publishes the shortlists that it changes.

    Needles, haystack regions and annotated frames arrive in any order; each is stored before its
    event. A batch's offsets are committed after its epoch is recorded and its shortlists are
    acknowledged, so no epoch depends on unrecorded state.

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
        models: FailureModelStore,
        openings: Openings,
        known_places: KnownPlaces,
        budgets: BudgetReports,
        outbox: Outbox,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._vectors = vectors
        self._epoch_store = epochs
        self._budgets = budgets
        self._frames = FrameCache(frames, settings.frame_cache_bytes)
        self._matches = MatchCache(matches, self._frames, settings.match_cache_bytes)
        self._needles = NeedleCache(
            needles, settings.needle_cache_bytes, of_misses=settings.lists_misses
        )
        self._size = HaystackSizeCache(vectors)
        self._vector_cache = vector_cache = VectorCache(vectors, settings.vector_cache_bytes)
        self._models = FittedModels(self._frames, self._matches, vector_cache, models, settings)
        candidates = CandidateSource(self._frames, vectors, vector_cache, settings)
        sources = Sources(
            self._frames,
            self._needles,
            vector_cache,
            self._matches,
            openings,
            known_places,
            settings,
        )
        self._loader = StagesLoader(sources, candidates, self._models, frames, epochs, self._size)
        self._awaited = AwaitedNeedles()
        self._intake = Intake(
            needle_store=needles,
            needles=self._needles,
            frames=self._frames,
            matches=self._matches,
            size=self._size,
            awaited=self._awaited,
            split_rule=settings.split_rule,
        )
        self._publication = ShortlistPublication(
            needles, self._needles, outbox, self._awaited, clock
        )
        self._detectors: dict[DetectorId, DetectorStages] | None = None
        """None until the stores were read."""
        self._allocated_for: ModelId | None = None
        self._epochs: dict[DetectorId, Epoch] = {}
        self._is_outdated = False
        """Whether all detectors are read from the stores again in the next epoch."""
        self._reported: list[BudgetReport] | None = None
        self._quiet_s = 0.0
        """How long no epoch has been closed."""
        self._ticked_at = clock.monotonic()
        self._lock = asyncio.Lock()
        """Batches and the closing of epochs without events take turns."""

    async def run(self, events: Sequence[Event]) -> None:
        async with self._forgetting_on_error():
            changes = await self._intake.take(await self._not_consumed(events))
            await self._close_epochs(changes, consumed_offsets())

    async def _not_consumed(self, events: Sequence[Event]) -> list[Event]:
        """Those of these events that a detector's recorded epochs have not consumed yet.

        After a process has ended, the others may be given its last events together with later ones.
        """
        latest = (await self._epoch_store.latest()).values()
        return [
            event
            for event in events
            if not latest or any(not _has_consumed(last, event) for last in latest)
        ]

    async def forget(self, _: AbstractSet[FrameHash]) -> None:
        """Drop all state in memory: an erased frame may be an example, a candidate or a needle.

        The next epoch reads the stores again, and fits the models again.
        """
        async with self._lock:
            self._forget_caches()
            self._vector_cache.forget_all()
            await self._models.forget_all()
            await self._epoch_store.forget_changes()
            self._is_outdated = True

    async def settle(self) -> bool:
        """Close an epoch without events if frames wait to be listed; returns whether they did."""
        async with self._forgetting_on_error():
            listed = await self._list_held()
        if listed:
            await self.report_budgets()
        return listed

    async def settle_when_due(self) -> None:
        """Like `settle`, but only when no events have arrived for a while.

        Call this periodically, several times per epoch.
        """
        now = self._clock.monotonic()
        # Time in which the process was blocked does not count: events may have waited for it.
        self._quiet_s += min(now - self._ticked_at, max(self._settings.epoch_s, _BLOCKED_S))
        self._ticked_at = now
        if not self._is_quiet():
            return
        async with self._forgetting_on_error():
            if await self._others_closed():
                self._quiet_s = 0.0
            # A batch may have been processed meanwhile.
            listed = self._is_quiet() and await self._list_held()
        if listed:
            await self.report_budgets()

    def _is_quiet(self) -> bool:
        # As long as the window within which growth is measured: for less, a stage may be behind.
        return self._quiet_s >= WINDOW * self._settings.epoch_s

    async def _others_closed(self) -> bool:
        """Whether other processes have closed epochs since this was last looked at."""
        model = self._allocated_for
        return self._detectors is not None and model is not None and await self._follow(model)

    async def _list_held(self) -> bool:
        if self._detectors is None:
            await self._load((), {})
            await self._publication.publish()
        else:
            await self._others_closed()
        if not self._held():
            return False
        # Count again: frames that were embedded during the last count are in it twice.
        self._size.forget()
        await self._close_epochs(Changes((), {}, is_empty=True), {})
        return True

    async def report_budgets(self) -> None:
        """Publish how much of the budgets is spent and which frames they hold back, on a change.

        Call this periodically.
        """
        async with self._lock:
            detectors = sorted((self._detectors or {}).items())
            reports = [await stages.allocator.report() for _, stages in detectors]
        if not reports or reports == self._reported:
            return
        await self._budgets.show(reports)
        self._reported = reports
        show_budgets(reports)

    def _held(self) -> set[DetectorId]:
        """The detectors whose last epoch held frames back, because much was new.

        This includes detectors that were read from the stores and have closed no epoch since.
        """
        return {
            detector
            for detector, stages in (self._detectors or {}).items()
            if not stages.closed or not self._epochs[detector].settled
        }

    @asynccontextmanager
    async def _forgetting_on_error(self) -> AsyncIterator[None]:
        async with self._lock:
            try:
                yield
            except BaseException:
                # The state in memory may not be recorded, so read what is recorded.
                self._forget_caches()
                self._detectors = None
                raise

    def _forget_caches(self) -> None:
        self._frames.forget_all()
        self._matches.forget_all()
        self._needles.forget_all()
        self._size.forget()

    async def _close_epochs(self, changes: Changes, consumed: Mapping[str, range]) -> None:
        """Close an epoch of each detector, then publish the shortlists that change."""
        started = self._clock.monotonic()
        frames, limits = await self._load(changes.records, consumed)
        for detector in sorted(self._detectors or {}):
            changes_of = changes.of(detector)
            while not await self._close(detector, changes_of, consumed, frames, limits):
                await self._overtaken(detector, limits)
                if changes.is_empty:
                    break  # Another process has closed an epoch: events did arrive.
        self._quiet_s = 0.0
        await self._publication.publish()
        if self._allocated_for is not None:
            detectors = (self._detectors or {}).values()
            waiting = {item for stages in detectors for item in stages.allocator.needles.waiting}
            self._awaited.forget_unlisted(waiting, self._held())
        metrics.SEARCH_SECONDS.observe(self._clock.monotonic() - started)

    async def _load(
        self, records: Sequence[NeedleRecord], consumed: Mapping[str, range]
    ) -> tuple[int, Limits]:
        """Load what is missing; returns the number of haystack frames, and the limits."""
        model = await live_model(self._vectors, REGION_VECTORS)
        if self._detectors is not None and model is not None and model == self._allocated_for:
            await self._follow(model)
            if _detectors_of(records) - self._detectors.keys():
                # They have no epoch, so it is unknown what other processes have consumed of them.
                self._forget_caches()
        frames = 0 if model is None else await self._size.haystack_frames(model)
        limits = limits_of(frames, self._settings)
        await self._publication.write(await self._load_missing(records, consumed, model, limits))
        return frames, limits

    async def _load_missing(
        self,
        records: Sequence[NeedleRecord],
        consumed: Mapping[str, range],
        model: ModelId | None,
        limits: Limits,
    ) -> list[ShortlistPublished]:
        """Load the detectors that are missing; returns shortlists that retractions empty."""
        outdated: dict[DetectorId, DetectorStages] = {}
        if self._detectors is None:
            self._epochs = await self._epoch_store.latest()
            self._detectors = {} if model is None else await self._recorded(model)
            records = await self._needles.all()
        elif model != self._allocated_for or self._is_outdated:
            outdated, self._detectors = self._detectors, {}
            records = [*records, *await self._needles.all()]
        self._allocated_for, self._is_outdated = model, False
        for detector, stages in list(self._detectors.items()):
            is_again = self._is_again(detector, consumed)
            if stages.allocator.needles.needs_clustering and not is_again:
                outdated[detector] = self._detectors.pop(detector)
        if model is not None:
            wanted = _detectors_of(records) | outdated.keys()
            for detector in sorted(wanted - self._detectors.keys()):
                earlier = outdated.get(detector)
                self._detectors[detector] = await self._loader.read(
                    detector, model, limits, earlier, records
                )
        return _withdrawn({record.needle_id: record for record in records}.values())

    async def _recorded(self, model: ModelId) -> dict[DetectorId, DetectorStages]:
        """The detectors whose last epoch recorded their state."""
        found = {
            detector: await self._read_again(last, model) for detector, last in self._epochs.items()
        }
        return {detector: stages for detector, stages in found.items() if stages is not None}

    async def _follow(self, model: ModelId) -> bool:
        """Take over the epochs that other processes have closed; returns whether there are any."""
        assert self._detectors is not None
        before, self._epochs = self._epochs, await self._epoch_store.latest()
        closed = [
            last
            for detector, last in sorted(self._epochs.items())
            if detector not in before or last.number != before[detector].number
        ]
        for last in closed:
            earlier = self._detectors.get(last.detector)
            limits = limits_of(last.sizes[-1].haystack, self._settings)
            stages = await self._read_again(last, model, earlier)
            if stages is None:
                stages = await self._loader.read(last.detector, model, limits, earlier)
            self._detectors[last.detector] = stages
        return bool(closed)

    async def _overtaken(self, detector: DetectorId, limits: Limits) -> None:
        """Take over the epoch whose number another process has closed meanwhile."""
        model = self._allocated_for
        assert self._detectors is not None
        assert model is not None
        self._epochs[detector] = (await self._epoch_store.latest())[detector]
        # Its tables have changes that are not recorded, so they are read again.
        stages = await self._read_again(self._epochs[detector], model)
        if stages is None:
            stages = await self._loader.read(detector, model, limits, self._detectors[detector])
        self._detectors[detector] = stages

    async def _read_again(
        self, last: Epoch, model: ModelId, earlier: DetectorStages | None = None
    ) -> DetectorStages | None:
        """A detector as its last epoch recorded it; None if it has to be read from the stores.

        Parameters
        ----------
        earlier : as an earlier epoch left it
        """
        limits = limits_of(last.sizes[-1].haystack, self._settings)
        stages = None
        if earlier is not None and earlier.closed:
            stages = await self._loader.followed(earlier, last, limits)
        if stages is None:
            self._forget_caches()
            stages = await self._loader.recorded(last, model, limits)
        if stages is not None:
            # The process that closed the epoch may have ended before it wrote these.
            await self._publication.write_missing(stages.allocator.unwritten)
        return stages

    async def _close(
        self,
        detector: DetectorId,
        changes: Changes,
        consumed: Mapping[str, range],
        frames: int,
        limits: Limits,
    ) -> bool:
        """Close an epoch of one detector; False if another process has closed its number."""
        assert self._detectors is not None
        if self._is_again(detector, consumed):
            return True
        stages, before = self._detectors[detector], self._epochs.get(detector)
        epoch = next_epoch(
            before,
            detector,
            consumed,
            Size(frames, sum(stages.observed.values()) + sum(changes.observed.values())),
            limits.budgets.haystack,
            is_empty=changes.is_empty,
        )
        if epoch.settled:
            await self._read_once_grown(detector, before, limits, changes)
        early = self._settings.shortlist_early
        stages = self._detectors[detector]
        closed = await stages.close(changes, limits, before, epoch, early)
        if not await self._epoch_store.close(closed.epoch, closed.changes):
            log.info("epoch_taken", detector=detector, epoch=epoch.number)
            return False
        self._epochs[detector], stages.closed = closed.epoch, closed.epoch.number
        await self._publication.write(closed.shortlists)
        return True

    def _is_again(self, detector: DetectorId, consumed: Mapping[str, range]) -> bool:
        """Whether the batch is delivered again, and all is known that its epoch has recorded."""
        assert self._detectors is not None
        last = self._epochs.get(detector)
        is_known = last is not None and self._detectors[detector].closed == last.number
        return last is not None and is_known and includes(last, consumed)

    async def _read_once_grown(
        self, detector: DetectorId, before: Epoch | None, limits: Limits, changes: Changes
    ) -> None:
        """Read a detector from the stores again at the end of a time of growth.

        Families and candidates depend on the epochs in which needles and frames arrived, and the
        load of the machine decides which those are. Shortlists must not depend on it.
        """
        assert self._detectors is not None
        assert self._allocated_for is not None
        earlier = self._detectors[detector]
        if before is None or before.settled:
            earlier.state.pop(_READ_ONCE_GROWN, None)
        elif _READ_ONCE_GROWN not in earlier.state:
            # Once: the epochs after it may wait for models to be fitted.
            model, records = self._allocated_for, changes.records
            stages = await self._loader.read(detector, model, limits, earlier, records)
            stages.state[_READ_ONCE_GROWN] = ""
            self._detectors[detector] = stages


def _has_consumed(epoch: Epoch, event: Event) -> bool:
    place = place_of(event)
    return place is not None and epoch.has_consumed(*place)


def _withdrawn(records: Collection[NeedleRecord]) -> list[ShortlistPublished]:
    withdrawn = [logic.withdrawn(record) for record in records if not record.active]
    return [shortlist for shortlist in withdrawn if shortlist is not None]


def _detectors_of(records: Collection[NeedleRecord]) -> set[DetectorId]:
    """The detectors with active needles."""
    return {
        record.needle.detector for record in records if record.active and record.needle is not None
    }
