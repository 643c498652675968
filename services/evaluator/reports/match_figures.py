"""Figures of all matches that a reading found in the store."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from services.contracts.events import FALSE_POSITIVES, ErrorType, Sampling
from services.contracts.identity import Category, DetectorId, FrameId, RegionId
from services.domain.failure_modes import FailureMode
from services.domain.metrics.ap_recovered import RepairGain
from services.domain.metrics.subsets import Subset
from services.evaluator.curves import DetectorCurves
from services.evaluator.live.logic import Evaluation, evaluate, order_holds
from services.evaluator.reports.match_pools import MatchPools
from services.evaluator.reports.needle_tally import NeedleTally, Prediction
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

_MAX_CURVES = 500
"""Categories with curves of their own: a store's document holds some thousand of them."""


@dataclass(frozen=True)
class MatchFigures:
    """What can be computed from all matches that a reading found. One call at a time.

    Use it up to the next reading only, which changes the same pools instead of copying them.

    Attributes
    ----------
    pools : what the reading has filled
    is_sample : whether the pools hold a sample of the frames, because there are too many
    """

    pools: MatchPools
    is_sample: bool

    def detectors(self) -> Collection[DetectorId]:
        """The detectors with matches."""
        return self.pools.lift.keys()

    async def report(self, detector: DetectorId, needles: NeedleTally, counts: Counts) -> Report:
        """A detector's report.

        Parameters
        ----------
        needles : the detector's needles; read before the matches, so that the regions on
            shortlists have theirs
        counts : counts from the caller; needles and shortlists are counted here
        """
        return await asyncio.to_thread(self._report, detector, needles, counts)

    async def slices(self, detector: DetectorId) -> list[SliceReport]:
        """The frames of each tag compared with all others."""
        found = await asyncio.to_thread(
            self.pools.state.slices, detector, Subset.ALL, self.pools.tagged.frames
        )
        return [SliceReport.of(part) for part in found]

    async def ap_recovered(self, detector: DetectorId) -> RecoveredReport | None:
        """What repairing the shortlisted frames would gain."""
        found = await asyncio.to_thread(self.pools.state.ap_recovered, detector)
        return None if found is None else RecoveredReport.of(found)

    async def repair_gains(
        self,
        detector: DetectorId,
        repaired: Mapping[str, tuple[Category | None, Collection[FrameId]]],
    ) -> dict[str, RepairGain]:
        """What repairing each of these sets of frames gains."""
        return await asyncio.to_thread(self.pools.state.repair_gains, detector, repaired)

    async def curves(self, detector: DetectorId, subset: Subset) -> DetectorCurves:
        """A detector's curves on a subset.

        Of many categories, those with the most ground truth have curves of their own.
        """
        return await asyncio.to_thread(self._curves, detector, subset)

    async def slice_curves(
        self, detector: DetectorId, slices: Sequence[SliceReport]
    ) -> dict[str, DetectorCurves]:
        """By name of the slice, its curves; of those with one tag."""
        return await asyncio.to_thread(self._slice_curves, detector, slices)

    def _report(self, detector: DetectorId, needles: NeedleTally, counts: Counts) -> Report:
        state, pool = self.pools.state, self.pools.lift[detector]
        evaluations = {
            subset: evaluate(state, detector, subset, self.pools.operating) for subset in Subset
        }
        found = {"needles": needles.errors.total(), "shortlists": needles.shortlists}
        judged = _judged(needles.predictions, pool.modes(needles.predictions))
        return Report(
            detector=detector,
            counts=counts.model_copy(update=found),
            # Misses are counted only where the deployment mines them.
            needles_by_error_type={
                error_type: needles.errors[error_type]
                for error_type in ErrorType
                if error_type in FALSE_POSITIVES or needles.errors[error_type]
            },
            map={subset: dict(evaluation.numbers) for subset, evaluation in evaluations.items()},
            order_holds=order_holds(
                {subset: evaluation.numbers["AP"] for subset, evaluation in evaluations.items()}
            ),
            operating=_operating(evaluations[Subset.ALL]),
            shortlist=ShortlistReport.of(pool.lift(needles.listed)),
            calibration=CalibrationReport.of([item for pairs in judged.values() for item in pairs]),
            calibration_by_category={
                category: CalibrationReport.of(item) for category, item in sorted(judged.items())
            },
            sampled=self._sampled(detector, needles.drawn),
        )

    def _sampled(
        self, detector: DetectorId, drawn: Mapping[FrameId, Sampling]
    ) -> SampledReport | None:
        """Estimates for the whole haystack from drawn frames; none from a sample of the frames."""
        if not drawn or self.is_sample:
            return None
        return estimated_live(
            self.pools.state,
            detector,
            {frame: sampling.probability for frame, sampling in drawn.items()},
            min(sampling.campaign for sampling in drawn.values()),
            self.pools.operating,
        )

    def _curves(self, detector: DetectorId, subset: Subset) -> DetectorCurves:
        figures = self.pools.state.of(detector, subset)
        most = sorted(figures, key=lambda name: -figures[name].ground_truths)[:_MAX_CURVES]
        return DetectorCurves.of(
            {category: figures[category].operating for category in sorted(most)},
            self.pools.state.score_curves(detector, subset),
            self.pools.confusions[detector].on(subset),
        )

    def _slice_curves(
        self, detector: DetectorId, slices: Sequence[SliceReport]
    ) -> dict[str, DetectorCurves]:
        tagged = {
            (part.key, part.value): self.pools.tagged.frames[part.key, part.value]
            for part in slices
            if part.and_key is None
        }
        pool = self.pools.confusions[detector]
        found = {}
        for (key, value), part in self.pools.state.curves_on(detector, tagged).items():
            most = sorted(part.curves, key=lambda name: -part.curves[name].truths)[:_MAX_CURVES]
            operating = {category: part.operating[category] for category in sorted(most)}
            confusions = pool.among(tagged[key, value])
            found[f"{key}={value}"] = DetectorCurves.of(operating, part.curves, confusions)
        return found


def _judged(
    predictions: Mapping[RegionId, Prediction], modes: Mapping[RegionId, FailureMode | None]
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
