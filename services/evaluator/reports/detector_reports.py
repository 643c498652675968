"""Builds every detector's report from the stores; after the first, it reads only changes."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from typing import NamedTuple

from services.contracts.identity import FrameId
from services.contracts.matches import CategoryMatched
from services.domain.chunks import chunks
from services.domain.detection.operating_scores import OperatingScores
from services.domain.ports.matches import MatchStore
from services.domain.ports.needles import NeedleStore
from services.evaluator.reports.frame_sample import FrameSample
from services.evaluator.reports.match_figures import MatchFigures
from services.evaluator.reports.match_pools import MatchPools
from services.evaluator.reports.needle_tally import NeedleTally, needle_tallies
from services.evaluator.reports.report import Counts, Report
from services.evaluator.reports.sampled_reading import SampledReading
from services.runtime.clock import Clock

_CHUNK = 2000
_NAMED = 200
"""Frames per query: decoding their matches blocks the event loop."""


class ReportsRead(NamedTuple):
    """All reports, and the figures of the matches that they are about."""

    reports: list[Report]
    """By detector id."""
    figures: MatchFigures


class Reports:
    """Reads all matches once; later, only those that change. One call at a time.

    Parameters
    ----------
    most_frames : the largest number of frames to hold in memory, summed over detectors; of more,
        reports are about a uniform sample. None for no limit
    """

    def __init__(
        self,
        matches: MatchStore,
        needles: NeedleStore,
        operating: OperatingScores,
        clock: Clock,
        *,
        most_frames: int | None = None,
    ) -> None:
        self._matches = matches
        self._needles = needles
        self._operating = operating
        self._reading = SampledReading("reports", matches, clock, most_frames)
        self._pools = MatchPools(operating)

    async def take_in(self) -> MatchFigures:
        """Read the matches of changed frames; the figures of all that are stored now.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        await self._reading.take_in(self._clear, self._hold)
        return MatchFigures(self._pools, is_sample=bool(self._reading.sample.halvings))

    async def now(self, counts: Counts) -> ReportsRead:
        """The reports on all that is stored now.

        Parameters
        ----------
        counts : as in `MatchFigures.report`

        Raises
        ------
        StoreUnavailable
            A store does not answer.
        """
        needles = await needle_tallies(self._needles)
        figures = await self.take_in()
        reports = [
            await figures.report(detector, needles.get(detector, NeedleTally()), counts)
            for detector in sorted({*needles, *figures.detectors()})
        ]
        return ReportsRead(reports, figures)

    def _clear(self) -> None:
        self._pools = MatchPools(self._operating)

    async def _hold(self, frame_ids: Collection[FrameId] | None, sample: FrameSample) -> bool:
        async for matches in self._stored(frame_ids):
            sampled = [match for match in matches if sample.includes(match.frame_id)]
            await asyncio.to_thread(self._pools.put, sampled)
            if not sample.fits(self._pools.frames):
                return False
        return True

    async def _stored(
        self, frame_ids: Collection[FrameId] | None
    ) -> AsyncIterator[Sequence[CategoryMatched]]:
        """The matches of these frames, in chunks; with None, all matches."""
        if frame_ids is not None:
            for ids in chunks(list(frame_ids), _NAMED):
                yield await self._matches.load(ids)
            return
        chunk: list[CategoryMatched] = []
        async for match in self._matches.scan():
            chunk.append(match)
            if len(chunk) == _CHUNK:
                yield chunk
                chunk = []
        yield chunk
