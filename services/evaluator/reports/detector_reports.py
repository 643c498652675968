"""Every detector's report, from the stores; kept, so that the next one reads what has changed."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from services.contracts.events import ErrorType, FrameMatched
from services.contracts.identity import Category, DetectorId, FrameId, RegionId
from services.domain.metrics.lift import LiftPool, Stratum
from services.domain.metrics.match_columns import sound_matches
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.subsets import Subset
from services.domain.mining.failure_model import FailureMode, Method
from services.domain.ports.matches import MatchStore
from services.domain.ports.needles import NeedleRecord, NeedleStore
from services.evaluator.live.logic import Evaluation, evaluate, order_holds
from services.evaluator.reports.report import (
    CalibrationReport,
    Counts,
    OperatingReport,
    Report,
    ShortlistReport,
)
from services.evaluator.reports.revised_frames import RevisedFrames
from services.runtime.clock import Clock

_CHUNK = 2000
_NAMED = 200
"""Frames whose matches are loaded at once: that is done on the loop, and others wait for it."""


class _Said(NamedTuple):
    """How probably a shortlisted region was said to fail in the needle's mode."""

    category: Category
    evidence: float
    mode: FailureMode


@dataclass
class _Tally:
    """Of one detector: its needles, and what is shortlisted for them."""

    errors: Counter[ErrorType] = field(default_factory=Counter)
    shortlists: int = 0
    listed: dict[RegionId, Stratum] = field(default_factory=dict)
    said: dict[RegionId, _Said] = field(default_factory=dict)

    def needle(self, record: NeedleRecord) -> None:
        if not record.active or record.needle is None:
            return
        self.errors[record.needle.error_type] += 1
        if record.shortlist is None or not record.shortlist.candidates:
            return
        self.shortlists += 1
        mode = FailureMode.of(record.needle.error_type, record.needle.true_category)
        learnt = record.shortlist.provenance.method == Method.LOGISTIC
        for candidate in record.shortlist.candidates:
            self.listed[candidate.region_id] = Stratum.at(
                candidate.category, candidate.drive_id, candidate.captured_at
            )
            if learnt:
                self.said[candidate.region_id] = _Said(candidate.category, candidate.evidence, mode)


class Reports:
    """One report per detector with matches. All matches are read once; after that, what changes."""

    def __init__(
        self, matches: MatchStore, needles: NeedleStore, operating_score: float, clock: Clock
    ) -> None:
        self._matches = matches
        self._needles = needles
        self._score = operating_score
        self._revised = RevisedFrames(matches, clock)
        self._state = MatchState(operating_score)
        self._pools: defaultdict[DetectorId, LiftPool] = defaultdict(
            lambda: LiftPool(operating_score)
        )

    async def take_in(self) -> None:
        """Read what has changed, so that less of it is left for `now`. Not beside it."""
        async with self._revised.taken() as frame_ids:
            async for matches in self._stored(frame_ids):
                await asyncio.to_thread(self._put, matches)

    async def now(self, counts: Counts) -> list[Report]:
        """By all that is stored now, in the order of the detectors' ids. One call at a time.

        Parameters
        ----------
        counts : what the caller knows; needles and shortlists are counted here

        Raises
        ------
        StoreUnavailable
            A store does not answer.
        """
        tallies: defaultdict[DetectorId, _Tally] = defaultdict(_Tally)
        async for record in self._needles.scan():
            if record.needle is not None:
                tallies[record.needle.detector].needle(record)
        await self.take_in()
        return [
            await asyncio.to_thread(self._report, detector, tallies[detector], counts)
            for detector in sorted({*tallies, *self._pools})
        ]

    async def _stored(
        self, frame_ids: Collection[FrameId] | None
    ) -> AsyncIterator[Sequence[FrameMatched]]:
        """The matches of these frames, some thousands at a time; all, where none are named."""
        if frame_ids is not None:
            ids = list(frame_ids)
            for first in range(0, len(ids), _NAMED):
                yield await self._matches.load(ids[first : first + _NAMED])
            return
        some: list[FrameMatched] = []
        async for match in self._matches.scan():
            some.append(match)
            if len(some) == _CHUNK:
                yield some
                some = []
        yield some

    def _put(self, matches: Sequence[FrameMatched]) -> None:
        # As the evaluator does: what it refused as an event is stored all the same.
        sound = sound_matches(matches)
        for match in sound:
            self._pools[match.detector].put(match)
        self._state.add(sound)

    def _report(self, detector: DetectorId, tally: _Tally, counts: Counts) -> Report:
        said = {subset: evaluate(self._state, detector, subset, self._score) for subset in Subset}
        found = {"needles": tally.errors.total(), "shortlists": tally.shortlists}
        judged = _judged(tally.said, self._pools[detector].modes(tally.said))
        return Report(
            detector=detector,
            counts=counts.model_copy(update=found),
            needles_by_error_type={kind: tally.errors[kind] for kind in ErrorType},
            map={subset: dict(evaluation.numbers) for subset, evaluation in said.items()},
            order_holds=order_holds(
                {subset: evaluation.numbers["AP"] for subset, evaluation in said.items()}
            ),
            operating=_operating(said[Subset.ALL]),
            shortlist=ShortlistReport.of(self._pools[detector].lift(tally.listed)),
            calibration=CalibrationReport.of([item for of in judged.values() for item in of]),
            calibration_by_category={
                category: CalibrationReport.of(item) for category, item in sorted(judged.items())
            },
        )


def _judged(
    said: Mapping[RegionId, _Said], modes: Mapping[RegionId, FailureMode | None]
) -> dict[Category, list[tuple[float, bool]]]:
    """By category: how probable each failure was said to be, and whether it came true."""
    judged: defaultdict[Category, list[tuple[float, bool]]] = defaultdict(list)
    for region, mode in modes.items():
        category, evidence, expected = said[region]
        judged[category].append((evidence, mode == expected))
    return judged


def _operating(said: Evaluation) -> OperatingReport:
    names = OperatingReport.model_fields
    return OperatingReport(**{name: getattr(said.operating, name) for name in names})
