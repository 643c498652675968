"""evaluator: shows what every match did to mAP, within a second or little more."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence

import numpy as np
import structlog

from services.contracts.errors import Fatal, InvalidRecord
from services.contracts.events import Event, FrameMatched
from services.contracts.identity import Category, DetectorId
from services.contracts.topics import MATCHES
from services.domain.metrics.match_columns import NamedColumns
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.subsets import Subset
from services.domain.ports.matches import MatchStore
from services.evaluator.live.gauges import Gauges
from services.evaluator.live.logic import confidence, evaluate, recent_maps
from services.runtime.clock import Clock
from services.runtime.kafka.consumer import Assignment
from services.runtime.observability import metrics
from services.runtime.pace import Pace
from services.runtime.settings import Settings
from services.runtime.stores.unreadable import UNREADABLE

_SHOWN_SHARE = 0.2
"""Of the time, for what every match moves."""
_RECENT_SHARE = 0.02
"""For the windows, of which there are three for each subset."""
_CONFIDENCE_EVERY_S = 10.0
_CONFIDENCE_SHARE = 0.02
log = structlog.get_logger()


def every_category(_: Category) -> bool:
    """What the only evaluator owns."""
    return True


class EvaluateMatches:
    """Holds the matches of the categories that it owns, and keeps the gauges up to date.

    What it holds is a copy of the durable record, in memory; it is read again at the start and
    whenever other categories are to be owned. Matches may come in any order and any number of
    times, before, during or after that.
    """

    def __init__(self, *, matches: MatchStore, settings: Settings, clock: Clock) -> None:
        self._matches = matches
        self._settings = settings
        self._clock = clock
        self._state: MatchState | None = None
        self._owned: Callable[[Category], bool] = every_category
        self._gauges = Gauges()
        every_s = settings.evaluate_every_s
        self._changed: set[DetectorId] = set()
        self._pace = Pace(clock, every_s=every_s, share=_SHOWN_SHARE)
        self._recently_changed: set[DetectorId] = set()
        self._recent_pace = Pace(clock, every_s=every_s, share=_RECENT_SHARE)
        self._unsure = False
        self._sure_pace = Pace(clock, every_s=_CONFIDENCE_EVERY_S, share=_CONFIDENCE_SHARE)
        self._lock = asyncio.Lock()

    async def run(self, events: Sequence[Event]) -> None:
        matches = [event for event in events if isinstance(event, FrameMatched)]
        if len(matches) != len(events):
            raise Fatal("evaluator consumes matches only")
        if self._state is None:
            await self.rebuild()
            assert self._state is not None
        async with self._lock:
            # A batch taken before a rebalance may come after it, with what is another's now.
            owned = [match for match in matches if self._owned(match.category)]
            changed = await asyncio.to_thread(self._state.add, owned)
            self._note({detector for detector, _ in changed})
        await self.refresh()

    async def assigned(self, assignment: Assignment) -> None:
        """Own the categories whose partition is ours."""
        await self.rebuild(lambda category: assignment.owns(MATCHES, category))

    async def rebuild(self, owned: Callable[[Category], bool] = every_category) -> None:
        """Read the durable record again, of the categories that are owned; forget all others.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        async with self._lock:
            started = self._clock.monotonic()
            state = MatchState(self._settings.operating_score)
            categories = [c for c in await self._matches.categories() if owned(c)]
            count, refused = await self._read(state, categories)
            # Only now: a store that went away half-way leaves nothing half read.
            self._state, self._owned = state, owned
            for changed in (self._changed, self._recently_changed):
                changed.clear()
            self._note(state.detectors())
            self._gauges.clear()
            seconds = round(self._clock.monotonic() - started, 2)
            metrics.REBUILD_SECONDS.set(seconds)
            log.info("evaluator_rebuilt", matches=count, refused=refused, seconds=seconds)

    async def refresh(self) -> None:
        """Bring the gauges up to date, unless that was done less than a moment ago.

        To be called now and then as well: the last batch before a pause may come too soon after
        the one before it to be shown at once. The more is held the longer a moment is: what it
        costs to be up to date shall not grow with what was ever seen.
        """
        await self._refresh(self._pace, self._changed, self._show)
        await self._refresh(self._recent_pace, self._recently_changed, self._show_recent)

    async def assess(self) -> None:
        """Bring what says how sure the figures are up to date, unless that was done just now.

        To be called now and then, beside `run`: it takes seconds where many frames are held, and
        matches are taken in and shown meanwhile.
        """
        if not self._unsure or not self._sure_pace.is_due():
            return
        with self._sure_pace.taken():
            async with self._lock:
                self._unsure = False
                state = self._state
                assert state is not None  # or nothing would be unsure
                still = await asyncio.to_thread(state.copy)
            intervals = await asyncio.to_thread(confidence, still)
        if state is self._state:  # else there was a rebuild, and other categories are ours now
            self._gauges.show_confidence(intervals)

    async def _read(self, state: MatchState, categories: Sequence[Category]) -> tuple[int, int]:
        """Take in what is recorded; how many matches that was, and how many cannot be held.

        The latter have been dead-lettered when they came as events, or are now: they must not keep
        an evaluator from starting.
        """
        count = refused = 0
        async for columns in self._matches.counted(categories):
            sound = np.flatnonzero(columns.cells.sound())
            count += sound.size
            refused += len(columns) - sound.size
            _report_impossible(columns)
            some = columns if sound.size == len(columns) else columns.taken(sound)
            await asyncio.to_thread(state.add_named, some)
        return count, refused

    def _note(self, detectors: Collection[DetectorId]) -> None:
        """Their figures are others now."""
        self._changed.update(detectors)
        self._recently_changed.update(detectors)
        self._unsure |= bool(detectors)

    async def _refresh(
        self,
        pace: Pace,
        changed: set[DetectorId],
        show: Callable[[MatchState, DetectorId], Awaitable[None]],
    ) -> None:
        async with self._lock:
            if not changed or not pace.is_due() or self._state is None:
                return
            with pace.taken():
                due = sorted(changed)
                changed.clear()
                for detector in due:
                    await show(self._state, detector)

    async def _show(self, state: MatchState, detector: DetectorId) -> None:
        score = self._settings.operating_score
        evaluations = {
            subset: await asyncio.to_thread(evaluate, state, detector, subset, score)
            for subset in Subset
        }
        self._gauges.show(detector, evaluations)

    async def _show_recent(self, state: MatchState, detector: DetectorId) -> None:
        recent = await asyncio.to_thread(recent_maps, state, detector, self._clock.now())
        self._gauges.show_recent(detector, recent)


def _report_impossible(columns: NamedColumns) -> None:
    """Have those reported that were stored before there was a rule on times."""
    for k in np.flatnonzero(columns.cells.impossible_times()).tolist():
        names = (columns.detector[k], columns.category[k], columns.frame_id[k])
        captured = {"captured_at_microseconds": int(columns.cells.captured[k])}
        found = InvalidRecord("captured_at is no possible time", reason="time_out_of_range")
        UNREADABLE.add("matches", "|".join(names), captured, found)
