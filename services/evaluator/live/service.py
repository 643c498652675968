"""evaluator: updates the mAP gauges within about a second of a match, or later if that is slow."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from collections.abc import Set as AbstractSet

import numpy as np
import structlog

from services.contracts.errors import Fatal, InvalidRecord
from services.contracts.events import Event
from services.contracts.identity import Category, DetectorId, FrameHash
from services.contracts.matches import FrameMatched
from services.contracts.topics import MATCHES
from services.domain.metrics.match_columns import NamedColumns
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.subsets import Subset
from services.domain.ports.matches import MatchStore
from services.evaluator.live.gauges import Gauges
from services.evaluator.live.logic import WINDOWS, confidence, evaluate, recent_maps
from services.runtime.clock import Clock
from services.runtime.kafka.assignment import Assignment
from services.runtime.observability import metrics
from services.runtime.pace import Pace
from services.runtime.progress import report_progress
from services.runtime.settings import Settings
from services.runtime.stores.unreadable import UNREADABLE

_SHOWN_SHARE = 0.05
"""Share of time spent on the figures that every match changes."""
_RECENT_SHARE = 0.01
"""Share of time spent on windows, of which each subset has three."""
_CONFIDENCE_EVERY_S = 10.0
_CONFIDENCE_SHARE = 0.01
log = structlog.get_logger()


def every_category(_: Category) -> bool:
    """Owns every category: the rule of a single evaluator."""
    return True


class EvaluateMatches:
    """Holds the matches of the categories that it owns, and keeps the gauges up to date.

    The matches are an in-memory copy of the store. It is rebuilt at the start and whenever the
    owned categories change. Matches may arrive in any order and any number of times, before, during
    or after a rebuild.
    """

    def __init__(self, *, matches: MatchStore, settings: Settings, clock: Clock) -> None:
        self._matches = matches
        self._settings = settings
        self._clock = clock
        self._state: MatchState | None = None
        self._owned: Callable[[Category], bool] = every_category
        self._gauges = Gauges()
        every_s = settings.evaluate_every_s
        self._outdated: set[DetectorId] = set()
        self._pace = Pace(clock, every_s=every_s, share=_SHOWN_SHARE)
        self._outdated_windows: set[DetectorId] = set()
        self._windows_pace = Pace(clock, every_s=every_s, share=_RECENT_SHARE)
        self._outdated_confidence = False
        self._confidence_pace = Pace(clock, every_s=_CONFIDENCE_EVERY_S, share=_CONFIDENCE_SHARE)
        self._lock = asyncio.Lock()

    async def run(self, events: Sequence[Event]) -> None:
        matches = [event for event in events if isinstance(event, FrameMatched)]
        if len(matches) != len(events):
            raise Fatal("evaluator consumes matches only")
        if self._state is None:
            await self.rebuild()
            assert self._state is not None
        async with self._lock:
            # A batch fetched before a rebalance may hold categories that another replica owns now.
            owned = NamedColumns.of_frames(matches).of_categories(self._owned)
            changed = await asyncio.to_thread(self._state.add_named, owned)
            self._mark_outdated({detector for detector, _ in changed})
        await self.refresh()

    async def forget(self, frames: AbstractSet[FrameHash]) -> None:
        """Remove erased frames, whose matches the store no longer has, from all figures."""
        async with self._lock:
            if self._state is not None:
                changed = await asyncio.to_thread(self._state.forget, frames)
                self._mark_outdated({detector for detector, _ in changed})
        await self.refresh()

    async def assigned(self, assignment: Assignment) -> None:
        """Own the categories whose partitions are assigned to this replica."""
        await self.rebuild(lambda category: assignment.owns(MATCHES, category))

    async def rebuild(self, owned: Callable[[Category], bool] = every_category) -> None:
        """Read all matches of the owned categories from the store; drop all others.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        async with self._lock:
            started = self._clock.monotonic()
            state = MatchState(self._settings.operating_scores, tuple(WINDOWS.values()))
            categories = [c for c in await self._matches.categories() if owned(c)]
            count, refused = await self._read(state, categories)
            # Assigned last, so that a store failure halfway leaves no partial state.
            self._state, self._owned = state, owned
            self._outdated.clear()
            self._outdated_windows.clear()
            self._mark_outdated(state.detectors())
            self._gauges.clear()
            seconds = round(self._clock.monotonic() - started, 2)
            metrics.REBUILD_SECONDS.set(seconds)
            log.info("evaluator_rebuilt", matches=count, refused=refused, seconds=seconds)

    async def refresh(self) -> None:
        """Update the gauges, unless they were updated too recently.

        Call this periodically too: the last batch before a pause may come too soon after the one
        before it to be shown at once. The pace adapts to the duration of an update, so that its
        share of time does not grow with the number of matches.
        """
        await self._refresh(self._pace, self._outdated, self._show)
        await self._refresh(self._windows_pace, self._outdated_windows, self._show_recent)

    async def assess(self) -> None:
        """Update intervals, differences and drift, unless they were updated too recently.

        Call this periodically, concurrently with `run`: it takes seconds with many frames, and
        matches are added and shown meanwhile.
        """
        if not self._outdated_confidence or not self._confidence_pace.is_due():
            return
        with self._confidence_pace.taken():
            async with self._lock:
                self._outdated_confidence = False
                state = self._state
                assert state is not None  # nothing is outdated without a state
                snapshot = await asyncio.to_thread(state.snapshot)
            intervals = await asyncio.to_thread(confidence, snapshot)
        if state is self._state:  # otherwise a rebuild has changed the owned categories
            self._gauges.show_confidence(intervals)

    async def _read(self, state: MatchState, categories: Sequence[Category]) -> tuple[int, int]:
        """Add the stored matches; returns how many were added and how many were refused.

        Refused matches were dead-lettered as events, or are reported now; they must not keep the
        evaluator from starting.
        """
        # Added at once, so that each category is sorted once instead of insertion by insertion.
        parts = []
        async for columns in self._matches.counted(categories):
            parts.append(columns)
            report_progress()
        counts = await asyncio.to_thread(lambda: _added(state, NamedColumns.joined(parts)))
        report_progress()
        return counts

    def _mark_outdated(self, detectors: Collection[DetectorId]) -> None:
        """All figures of these detectors are to be computed again, and everybody's windows.

        Windows end at the latest capture of all detectors, so those of the others move too.
        """
        self._outdated.update(detectors)
        if detectors and self._state is not None:
            self._outdated_windows.update(self._state.detectors(), detectors)
        self._outdated_confidence |= bool(detectors)

    async def _refresh(
        self,
        pace: Pace,
        outdated: set[DetectorId],
        show: Callable[[MatchState, DetectorId], Awaitable[None]],
    ) -> None:
        async with self._lock:
            if not outdated or not pace.is_due() or self._state is None:
                return
            with pace.taken():
                due = sorted(outdated)
                outdated.clear()
                for detector in due:
                    await show(self._state, detector)
                    # Thousands of detectors take longer than the stall limit.
                    report_progress()

    async def _show(self, state: MatchState, detector: DetectorId) -> None:
        operating = self._settings.operating_scores
        evaluations = {
            subset: await asyncio.to_thread(evaluate, state, detector, subset, operating)
            for subset in Subset
        }
        self._gauges.show(detector, evaluations)

    async def _show_recent(self, state: MatchState, detector: DetectorId) -> None:
        recent = await asyncio.to_thread(recent_maps, state, detector, self._clock.now())
        self._gauges.show_recent(detector, recent)


def _added(state: MatchState, columns: NamedColumns) -> tuple[int, int]:
    """Add the matches that can be added; returns how many were added and how many were refused."""
    try:
        state.add_named(columns)
    except InvalidRecord:
        _report_impossible(columns)
        sound = np.flatnonzero(columns.cells.sound())
        state.add_named(columns.taken(sound))
        return sound.size, len(columns) - sound.size
    return len(columns), 0


def _report_impossible(columns: NamedColumns) -> None:
    """Report matches with impossible times, stored before events were checked for it."""
    for k in np.flatnonzero(columns.cells.impossible_times()).tolist():
        document = f"{columns.frame_id[k]} {columns.detector[k]}"
        captured = {"captured_at_microseconds": int(columns.cells.captured[k])}
        found = InvalidRecord("captured_at is no possible time", reason="time_out_of_range")
        UNREADABLE.add("matches", document, captured, found)
