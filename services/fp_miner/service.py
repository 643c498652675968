"""fp_miner: matches predictions with ground truth, frame by frame, and publishes needles."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime

import structlog

from services.contracts.errors import Fatal
from services.contracts.events import (
    REANNOTATION_SOURCE as REANNOTATED,
)
from services.contracts.events import (
    Event,
    FrameAnnotated,
    FrameCaptured,
    NeedleFound,
    NeedleRetracted,
    PredictionsMade,
    ShortlistPublished,
)
from services.contracts.identity import FrameId
from services.contracts.matches import FrameMatched
from services.domain.ports.frames import FrameRecord, FrameStore, Pair
from services.domain.ports.matches import MatchStore
from services.domain.ports.shortlists import ShortlistStore
from services.fp_miner import logic
from services.fp_miner.logic import MatchedFrame, Touched
from services.runtime.clock import Clock
from services.runtime.observability import freshness, metrics
from services.runtime.progress import report_progress
from services.runtime.settings import Settings
from services.runtime.step import Outbox

log = structlog.get_logger()


class MineNeedles:
    """Matches each frame whose image, predictions and ground truth are all known."""

    def __init__(
        self,
        *,
        frames: FrameStore,
        matches: MatchStore,
        shortlists: ShortlistStore,
        outbox: Outbox,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._frames = frames
        self._matches = matches
        self._shortlists = shortlists
        self._outbox = outbox
        self._settings = settings
        self._clock = clock
        self._freshness = metrics.FRESHNESS_SECONDS.labels("ground_truth_to_needle")

    async def run(self, events: Sequence[Event]) -> None:
        complete = await self._complete(await self._record(events))
        matches = await asyncio.to_thread(self._match, complete)
        mined = await self._announce(matches)
        _count_left_out(complete)
        annotated = [event for event in events if isinstance(event, FrameAnnotated)]
        self._measure_needles(annotated, mined)
        _measure_verdicts(annotated, complete, self._clock.now())

    async def _record(self, events: Sequence[Event]) -> Touched:
        """Store the events; returns the matches that they may change."""
        facts: list[FrameCaptured | PredictionsMade | FrameAnnotated] = []
        shortlists: list[ShortlistPublished] = []
        for event in events:
            match event:
                case FrameCaptured() | PredictionsMade() | FrameAnnotated():
                    facts.append(event)
                case ShortlistPublished():
                    shortlists.append(event)
                case _:
                    raise Fatal(f"fp_miner does not consume {type(event).__name__}")
        await self._frames.record(facts)
        moved: set[Pair] = set()
        if shortlists:
            await self._shortlists.record(shortlists)
            moved = await self._shortlists.moved(shortlists)
        return Touched.by(facts, moved)

    async def _complete(self, touched: Touched) -> list[MatchedFrame]:
        # Concurrently: each is a round trip to the store, and needles wait for both.
        records, memberships = await asyncio.gather(
            self._frames.load(touched.frame_ids), self._shortlists.memberships(touched.frame_ids)
        )
        records |= await self._claimed(records.values())
        ordered = [touched.narrowed(records[frame_id]) for frame_id in sorted(records)]
        count_copies = self._settings.count_copies
        return logic.complete_frames(ordered, memberships, count_copies=count_copies)

    async def _claimed(self, records: Iterable[FrameRecord]) -> dict[FrameId, FrameRecord]:
        """Determine whether frames are copies where that is unknown; returns these, reloaded.

        They were stored before images were compared, or by another service a moment ago.
        """
        open_ = [
            record.captured for record in records if record.captured and record.original is None
        ]
        if not open_:
            return {}
        await self._frames.record(open_)
        return await self._frames.load({captured.frame_id for captured in open_})

    def _match(self, frames: Sequence[MatchedFrame]) -> list[FrameMatched]:
        rule = self._settings.split_rule
        matches: list[FrameMatched] = []
        for frame in frames:
            matches.append(logic.match(frame, rule))
            report_progress()
        return matches

    async def _announce(
        self, matches: Sequence[FrameMatched]
    ) -> list[NeedleFound | NeedleRetracted]:
        score = self._settings.operating_score
        pairs = [(match.frame_id, match.detector) for match in matches]
        before = await self._matches.known(pairs)
        matches = [
            logic.with_vanished(match, before.get(pair, {}))
            for pair, match in zip(pairs, matches, strict=True)
        ]
        matches = [match for match in matches if match.groups.categories]
        await self._matches.record(
            matches, [needle for match in matches for needle in logic.needles_in(match, score)]
        )
        known = await self._matches.known(pairs)
        mined = [
            needle
            for match in matches
            for needle in logic.needle_events(known[match.frame_id, match.detector], match, score)
        ]
        await self._outbox.publish([*matches, *mined])
        _count(matches, mined)
        return mined

    def _measure_needles(
        self,
        annotated: Sequence[FrameAnnotated],
        mined: Sequence[NeedleFound | NeedleRetracted],
    ) -> None:
        """Measure needles whose ground truth is in this batch; others waited for predictions."""
        taken = {truth.frame_id: freshness.taken_at(truth) for truth in annotated}
        now = self._clock.now()
        for needle in mined:
            since = taken.get(needle.frame_id) if isinstance(needle, NeedleFound) else None
            if since is not None:
                self._freshness.observe(freshness.age_s(since, now))


def _count(matches: Sequence[FrameMatched], mined: Sequence[NeedleFound | NeedleRetracted]) -> None:
    for match in matches:
        metrics.FRAMES_MATCHED.labels(match.split.value).inc()
    for needle in mined:
        category = metrics.CATEGORIES(needle.category)
        if isinstance(needle, NeedleFound):
            metrics.NEEDLES_FOUND.labels(category, needle.error_type.value).inc()
        else:
            metrics.NEEDLES_RETRACTED.labels(category).inc()
    if matches:
        log.info("batch_mined", matches=len(matches), needles=len(mined))


def _count_left_out(frames: Sequence[MatchedFrame]) -> None:
    for frame in frames:
        if frame.left_out is not None:
            metrics.PAIRS_NOT_COUNTED.labels(frame.left_out.value).inc()


def _measure_verdicts(
    annotated: Sequence[FrameAnnotated], complete: Sequence[MatchedFrame], now: datetime
) -> None:
    """Measure how long shortlisted frames took to come back corrected."""
    corrected = {truth.frame_id for truth in annotated if truth.annotation_source == REANNOTATED}
    for frame in complete:
        since = frame.membership.since
        if frame.captured.frame_id in corrected and since is not None:
            waited_s = freshness.age_s(since.timestamp(), now)
            metrics.SHORTLIST_TO_VERDICT_SECONDS.observe(waited_s)
