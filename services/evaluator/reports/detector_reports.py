"""Builds every detector's report from the stores; after the first, it reads only changes."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from services.contracts.events import FALSE_POSITIVES, ErrorType, Sampling
from services.contracts.identity import Category, DetectorId, FrameId, RegionId
from services.contracts.matches import CategoryMatched
from services.domain.chunks import chunks
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.ap_recovered import RepairGain
from services.domain.metrics.confusion import ConfusionPool
from services.domain.metrics.lift import LiftPool, Stratum
from services.domain.metrics.match_columns import sound_matches
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.slices import TaggedFrames
from services.domain.metrics.subsets import Subset
from services.domain.mining.failure_model import FailureMode, Method
from services.domain.ports.matches import MatchStore
from services.domain.ports.needles import NeedleRecord, NeedleStore
from services.evaluator.curves import DetectorCurves
from services.evaluator.live.logic import Evaluation, evaluate, order_holds
from services.evaluator.reports.frame_sample import FrameSample
from services.evaluator.reports.report import (
    CalibrationReport,
    Counts,
    OperatingReport,
    RecoveredReport,
    Report,
    ShortlistReport,
)
from services.evaluator.samples.estimating import estimated_live
from services.evaluator.samples.report import SampledReport
from services.evaluator.slices import SliceReport
from services.runtime.clock import Clock
from services.runtime.revised_frames import RevisedFrames

_CHUNK = 2000
_MOST_CURVES = 500
"""Categories with curves of their own: a store's document holds some thousand of them."""
_NAMED = 200
"""Frames per query: decoding their matches blocks the event loop."""


class _Prediction(NamedTuple):
    """The evidence that a shortlisted region fails in the needle's mode."""

    category: Category
    evidence: float
    mode: FailureMode


@dataclass
class _Tally:
    """The needles of one detector, and the regions on their shortlists."""

    errors: Counter[ErrorType] = field(default_factory=Counter)
    shortlists: int = 0
    listed: dict[RegionId, Stratum] = field(default_factory=dict)
    predictions: dict[RegionId, _Prediction] = field(default_factory=dict)
    drawn: dict[FrameId, Sampling] = field(default_factory=dict)

    def add(self, record: NeedleRecord) -> None:
        if not record.active or record.needle is None:
            return
        self.errors[record.needle.error_type] += 1
        if record.shortlist is None or not record.shortlist.candidates:
            return
        self.shortlists += 1
        candidates = record.shortlist.candidates
        self.drawn |= {item.frame_id: item.sampling for item in candidates if item.sampling}
        if record.is_miss:
            return  # its candidates are places to look at, not false positives
        mode = FailureMode.of(record.needle.error_type, record.needle.true_category)
        learnt = record.shortlist.provenance.method == Method.LOGISTIC
        for candidate in candidates:
            if candidate.sampling is not None:
                continue
            self.listed[candidate.region_id] = Stratum.at(
                candidate.category, candidate.drive_id, candidate.captured_at
            )
            if learnt and candidate.evidence:  # frames for coverage are no claims of failures
                self.predictions[candidate.region_id] = _Prediction(
                    candidate.category, candidate.evidence, mode
                )


class _Held:
    """What figures need of all matches; erased frames go by making a new one."""

    def __init__(self, operating: OperatingScores) -> None:
        self.state = MatchState(operating)
        self.tagged = TaggedFrames()
        self.pools: defaultdict[DetectorId, LiftPool] = defaultdict(lambda: LiftPool(operating))
        self.confusions: defaultdict[DetectorId, ConfusionPool] = defaultdict(
            lambda: ConfusionPool(operating)
        )

    def put(self, matches: Sequence[CategoryMatched]) -> None:
        """Add matches, or replace them."""
        # As in the evaluator: matches that it refused as events are stored nevertheless.
        sound = sound_matches(matches)
        for match in sound:
            self.pools[match.detector].put(match)
            self.confusions[match.detector].put(match)
            self.tagged.put(match.frame_id, match.tags)
        self.state.add(sound)

    @property
    def frames(self) -> int:
        """The number of frames, summed over detectors."""
        return sum(self.state.frame_count(name, Subset.ALL) for name in self.state.detectors())


class Reports:
    """One report per detector. All matches are read once; later, only those that change.

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
        self._revised = RevisedFrames(matches, clock)
        self._held = _Held(operating)
        self._sample = FrameSample(most_frames)
        self._drawn: dict[DetectorId, Mapping[FrameId, Sampling]] = {}

    async def take_in(self) -> None:
        """Read changed frames in advance, so that `now` is fast; not concurrently with `now`."""
        async with self._revised.taken() as frame_ids:
            if frame_ids is None:
                self._held = _Held(self._operating)
            fits = await self._hold(frame_ids)
            while not fits:
                self._held = _Held(self._operating)
                self._sample = self._sample.halved("reports")
                fits = await self._hold(None)

    async def now(self, counts: Counts) -> list[Report]:
        """The reports on all that is stored now, by detector id. One call at a time.

        Parameters
        ----------
        counts : counts from the caller; needles and shortlists are counted here

        Raises
        ------
        StoreUnavailable
            A store does not answer.
        """
        tallies: defaultdict[DetectorId, _Tally] = defaultdict(_Tally)
        async for record in self._needles.scan():
            if record.needle is not None:
                tallies[record.needle.detector].add(record)
        await self.take_in()
        self._drawn = {detector: tally.drawn for detector, tally in tallies.items()}
        return [
            await asyncio.to_thread(self._report, detector, tallies[detector], counts)
            for detector in sorted({*tallies, *self._held.pools})
        ]

    async def slices(self, detector: DetectorId) -> list[SliceReport]:
        """The frames of each tag compared with all others, on all that `now` has read."""
        found = await asyncio.to_thread(
            self._held.state.slices, detector, Subset.ALL, self._held.tagged.frames
        )
        return [SliceReport.of(part) for part in found]

    async def ap_recovered(self, detector: DetectorId) -> RecoveredReport | None:
        """What repairing the shortlisted frames would gain, on all that `now` has read."""
        found = await asyncio.to_thread(self._held.state.ap_recovered, detector)
        return None if found is None else RecoveredReport.of(found)

    async def repair_gains(
        self,
        detector: DetectorId,
        repaired: Mapping[str, tuple[Category | None, Collection[FrameId]]],
    ) -> dict[str, RepairGain]:
        """What repairing each of these sets of frames gains, on all that `now` has read."""
        return await asyncio.to_thread(self._held.state.repair_gains, detector, repaired)

    async def sampled(self, detector: DetectorId) -> SampledReport | None:
        """Estimates for the whole haystack from drawn frames, on all that `now` has read.

        None where reports are about a sample of the frames already.
        """
        drawn = self._drawn.get(detector, {})
        if not drawn or self._sample.halvings:
            return None
        return await asyncio.to_thread(
            estimated_live,
            self._held.state,
            detector,
            {frame: sampling.probability for frame, sampling in drawn.items()},
            min(sampling.campaign for sampling in drawn.values()),
            self._operating,
        )

    async def curves(self, detector: DetectorId, subset: Subset) -> DetectorCurves:
        """A detector's curves on a subset, on all that `now` has read. One call at a time.

        Of many categories, those with the most ground truth have curves of their own.
        """
        return await asyncio.to_thread(self._curves, detector, subset)

    def _curves(self, detector: DetectorId, subset: Subset) -> DetectorCurves:
        figures = self._held.state.of(detector, subset)
        most = sorted(figures, key=lambda name: -figures[name].ground_truths)[:_MOST_CURVES]
        return DetectorCurves.of(
            {category: figures[category].operating for category in sorted(most)},
            self._held.state.score_curves(detector, subset),
            self._held.confusions[detector].on(subset),
        )

    async def slice_curves(
        self, detector: DetectorId, slices: Sequence[SliceReport]
    ) -> dict[str, DetectorCurves]:
        """By name of the slice, its curves; of those with one tag, on all that `now` has read."""
        return await asyncio.to_thread(self._slice_curves, detector, slices)

    def _slice_curves(
        self, detector: DetectorId, slices: Sequence[SliceReport]
    ) -> dict[str, DetectorCurves]:
        tagged = {
            (part.key, part.value): self._held.tagged.frames[part.key, part.value]
            for part in slices
            if part.and_key is None
        }
        pool = self._held.confusions[detector]
        found = {}
        for (key, value), part in self._held.state.curves_on(detector, tagged).items():
            most = sorted(part.curves, key=lambda name: -part.curves[name].truths)[:_MOST_CURVES]
            operating = {category: part.operating[category] for category in sorted(most)}
            confusions = pool.among(tagged[key, value])
            found[f"{key}={value}"] = DetectorCurves.of(operating, part.curves, confusions)
        return found

    async def _hold(self, frame_ids: Collection[FrameId] | None) -> bool:
        """Read the matches of these frames, or of all for None; False once there are too many."""
        async for matches in self._stored(frame_ids):
            sampled = [match for match in matches if self._sample.includes(match.frame_id)]
            await asyncio.to_thread(self._held.put, sampled)
            if not self._sample.fits(self._held.frames):
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

    def _report(self, detector: DetectorId, tally: _Tally, counts: Counts) -> Report:
        evaluations = {
            subset: evaluate(self._held.state, detector, subset, self._operating)
            for subset in Subset
        }
        found = {"needles": tally.errors.total(), "shortlists": tally.shortlists}
        judged = _judged(tally.predictions, self._held.pools[detector].modes(tally.predictions))
        return Report(
            detector=detector,
            counts=counts.model_copy(update=found),
            # Misses are counted only where the deployment mines them.
            needles_by_error_type={
                error_type: tally.errors[error_type]
                for error_type in ErrorType
                if error_type in FALSE_POSITIVES or tally.errors[error_type]
            },
            map={subset: dict(evaluation.numbers) for subset, evaluation in evaluations.items()},
            order_holds=order_holds(
                {subset: evaluation.numbers["AP"] for subset, evaluation in evaluations.items()}
            ),
            operating=_operating(evaluations[Subset.ALL]),
            shortlist=ShortlistReport.of(self._held.pools[detector].lift(tally.listed)),
            calibration=CalibrationReport.of([item for pairs in judged.values() for item in pairs]),
            calibration_by_category={
                category: CalibrationReport.of(item) for category, item in sorted(judged.items())
            },
        )


def _judged(
    predictions: Mapping[RegionId, _Prediction], modes: Mapping[RegionId, FailureMode | None]
) -> dict[Category, list[tuple[float, bool]]]:
    """By category: the evidence of each region, and whether it fails in the needle's mode."""
    judged: defaultdict[Category, list[tuple[float, bool]]] = defaultdict(list)
    for region, mode in modes.items():
        category, evidence, expected = predictions[region]
        judged[category].append((evidence, mode == expected))
    return judged


def _operating(evaluation: Evaluation) -> OperatingReport:
    names = OperatingReport.model_fields
    return OperatingReport(**{name: getattr(evaluation.operating, name) for name in names})
