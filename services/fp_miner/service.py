"""fp_miner: matches predictions with ground truth, frame by frame, and publishes needles."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

import structlog

from services.contracts.errors import Fatal
from services.contracts.events import (
    REANNOTATION_SOURCE,
    Event,
    FrameAnnotated,
    FrameCaptured,
    PredictionsMade,
)
from services.contracts.identity import FrameId
from services.contracts.matches import FrameMatched
from services.contracts.needles import NeedleFound, NeedleRetracted, ShortlistPublished
from services.domain.chunks import chunks
from services.domain.ports.frames import (
    AffectedPredictions,
    FrameFact,
    FrameRecord,
    FrameStore,
    Pair,
)
from services.domain.ports.matches import MatchStore
from services.domain.ports.shortlists import Membership, ShortlistStore
from services.domain.redaction import is_named
from services.fp_miner import logic
from services.fp_miner.logic import MatchedFrame, NeedleRule
from services.runtime.clock import Clock
from services.runtime.observability import freshness, metrics
from services.runtime.observability.bounded_labels import CATEGORIES
from services.runtime.progress import report_progress
from services.runtime.settings import Settings
from services.runtime.step import Outbox

_MATCHED_AT_ONCE = 64
"""Frames: from some dozen on, more of them save no time each."""
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
        complete = self._complete(*await self._record(events))
        matches = await asyncio.to_thread(self._match, complete)
        mined = await self._announce(matches)
        _count_left_out(complete)
        annotated = [event for event in events if isinstance(event, FrameAnnotated)]
        self._measure_needles(annotated, mined)
        _measure_verdicts(annotated, complete, self._clock.now())

    async def _record(
        self, events: Sequence[Event]
    ) -> tuple[dict[FrameId, FrameRecord], dict[Pair, Membership]]:
        """Store the events; returns the frames whose matches they may change, and where they are.

        What may change follows from the events alone, so that a repeated event announces again
        what a crash kept from being published.
        """
        facts: list[FrameFact] = []
        shortlists: list[ShortlistPublished] = []
        for event in events:
            match event:
                case FrameCaptured() | PredictionsMade() | FrameAnnotated():
                    facts.append(event)
                case ShortlistPublished():
                    shortlists.append(event)
                case _:
                    raise Fatal(f"fp_miner does not consume {type(event).__name__}")
        moved: set[Pair] = set()
        if shortlists:
            await self._shortlists.record(shortlists)
            moved = await self._shortlists.moved(shortlists)
        records = await self._frames.record(facts, moved)
        # After the facts are written: a process that moves one of these frames meanwhile sees them.
        affected = AffectedPredictions.by(facts, moved)
        return records, await self._shortlists.memberships(affected.frame_ids)

    def _complete(
        self, records: Mapping[FrameId, FrameRecord], memberships: Mapping[Pair, Membership]
    ) -> list[MatchedFrame]:
        ordered = [records[frame_id] for frame_id in sorted(records)]
        count_copies = self._settings.count_copies
        redacting = self._settings.redact_detector
        complete = logic.complete_frames(ordered, memberships, count_copies=count_copies)
        return [frame for frame in complete if not is_named(frame.predictions, redacting)]

    def _match(self, frames: Sequence[MatchedFrame]) -> list[FrameMatched]:
        rule, operating = self._settings.split_rule, self._settings.operating_scores
        matches: list[FrameMatched] = []
        for batch in chunks(frames, _MATCHED_AT_ONCE):
            matches += logic.matches_of(batch, rule, operating)
            report_progress()
        return matches

    async def _announce(
        self, matches: Sequence[FrameMatched]
    ) -> list[NeedleFound | NeedleRetracted]:
        rule = NeedleRule(self._settings.operating_scores, self._settings.mine_misses)
        found = [needle for match in matches for needle in logic.needles_in(match, rule)]
        known = await self._matches.record(matches, found)
        mined = [
            needle
            for match in matches
            for needle in logic.needle_events(known[match.frame_id, match.detector], match, rule)
        ]
        matches = [
            logic.with_vanished(match, known[match.frame_id, match.detector]) for match in matches
        ]
        matches = [match for match in matches if match.groups.categories]
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
        category = CATEGORIES(needle.category)
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
    corrected = {
        truth.frame_id for truth in annotated if truth.annotation_source == REANNOTATION_SOURCE
    }
    for frame in complete:
        since = frame.membership.since
        if frame.captured.frame_id in corrected and since is not None:
            waited_s = freshness.age_s(since.timestamp(), now)
            metrics.SHORTLIST_TO_VERDICT_SECONDS.observe(waited_s)
