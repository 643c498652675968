"""Draws samples of a haystack, and estimates its figures from those that are annotated."""

import asyncio
import math
from array import array
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import numpy as np

from services.contracts.errors import InvalidRecord
from services.contracts.events import Detection, Split
from services.contracts.identity import Category, DetectorId, FrameId
from services.contracts.matches import CategoryMatched
from services.domain.chunks import chunks
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.counting import counts_without_match
from services.domain.metrics.match_columns import sound_matches
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.sampled_figures import (
    AnnotatedFrames,
    ShownTotals,
    sampled_figures,
    size_of,
)
from services.domain.ports.frames import FrameRecord, FrameStore
from services.domain.ports.matches import MatchStore
from services.domain.shortlists.drawn_frames import is_drawn
from services.domain.splits import SplitRule
from services.domain.statistics.sampling import inclusion_probabilities
from services.evaluator.samples.estimating import SampledFrom, report_of
from services.evaluator.samples.report import DrawnSample, SampledReport, Shown

_LOADED = 500
"""Frames per query."""


@dataclass(frozen=True)
class SampleCampaigns:
    """Samples of what is stored."""

    frames: FrameStore
    matches: MatchStore
    split_rule: SplitRule
    operating: OperatingScores
    count_copies: bool = False

    async def draw(self, campaign: str, detector: DetectorId, expected: int) -> DrawnSample:
        """Draw haystack frames; the same campaign and frames give the same sample.

        Raises
        ------
        InvalidRecord
            `nothing_to_draw`: the detector has no predictions in the haystack.
        StoreUnavailable
            The store does not answer.
        """
        sizes: dict[FrameId, float] = {}
        scores: defaultdict[Category, array[float]] = defaultdict(lambda: array("d"))
        async for frame_id, shown in self._shown(detector):
            sizes[frame_id] = size_of([d.score for d in shown])
            for detection in shown:
                scores[detection.category].append(detection.score)
        if not sizes:
            detail = f"no haystack frame has predictions of {detector}"
            raise InvalidRecord(detail, reason="nothing_to_draw")
        frame_ids = sorted(sizes)
        probabilities = inclusion_probabilities(
            np.array([sizes[frame_id] for frame_id in frame_ids]), expected
        )
        return DrawnSample(
            campaign=campaign,
            detector=detector,
            haystack=len(frame_ids),
            expected=expected,
            frames={
                frame_id: probability
                for frame_id, probability in zip(frame_ids, probabilities.tolist(), strict=True)
                if is_drawn(campaign, frame_id, probability)
            },
            shown={
                category: Shown(
                    operating_score=self.operating.of(detector, category),
                    detections=len(of_category),
                    summed_scores=math.fsum(of_category),
                )
                for category, of_category in sorted(scores.items())
            },
        )

    async def estimate(self, sample: DrawnSample) -> SampledReport:
        """Estimate the haystack's figures.

        Raises
        ------
        InvalidRecord
            `few_drawn`: too few drawn frames are annotated.
        StoreUnavailable
            A store does not answer.
        """
        scanned = self.matches.scan(detector=sample.detector, split=Split.HAYSTACK)
        matches = sound_matches([match async for match in scanned if not match.is_empty])
        matched = {match.frame_id for match in matches}
        empty = await self._empty([f for f in sample.frames if f not in matched], sample.detector)
        return await asyncio.to_thread(self._estimated, sample, matches, empty)

    async def _shown(
        self, detector: DetectorId
    ) -> AsyncIterator[tuple[FrameId, Sequence[Detection]]]:
        """The haystack's frames, with the detections that are shown on each."""
        async for records in self.frames.predicted(detector):
            for record in records:
                predictions = record.predictions.get(detector)
                if predictions is not None and predictions.complete and self._is_haystack(record):
                    named = record.named(detector).predictions.detections
                    least = self.operating.of
                    yield (
                        record.frame_id,
                        [d for d in named if d.score >= least(detector, d.category)],
                    )

    def _is_haystack(self, record: FrameRecord) -> bool:
        captured = record.captured
        if captured is None or self._is_left_out(record):
            return False
        return self.split_rule.split_of(record.frame_id, captured.drive_id) is Split.HAYSTACK

    def _is_left_out(self, record: FrameRecord) -> bool:
        """Whether the frame is a copy, and copies do not count."""
        return record.is_copy and not self.count_copies

    async def _empty(self, frame_ids: Sequence[FrameId], detector: DetectorId) -> list[FrameId]:
        """Those of these frames that are annotated, and have no objects and no detections."""
        found: list[FrameId] = []
        for chunk in chunks(frame_ids, _LOADED):
            records = await self.frames.load(chunk)
            found += (
                frame_id
                for frame_id, record in records.items()
                if counts_without_match(record, detector, copy=self._is_left_out(record))
            )
        return found

    def _estimated(
        self, sample: DrawnSample, matches: Sequence[CategoryMatched], empty: Sequence[FrameId]
    ) -> SampledReport:
        state = MatchState(self.operating)
        state.add(matches)
        annotated = len(sample.frames.keys() & {match.frame_id for match in matches}) + len(empty)
        found = sampled_figures(self._annotated(state, sample, matches, empty))
        if found is None:
            raise InvalidRecord(
                f"{annotated:,} of {len(sample.frames):,} drawn frames are annotated: too few",
                reason="few_drawn",
            )
        awaited = len(sample.frames) - annotated
        source = SampledFrom(sample.campaign, sample.detector, sample.haystack, awaited)
        return report_of(state, found, source, self.operating.default)

    def _annotated(
        self,
        state: MatchState,
        sample: DrawnSample,
        matches: Sequence[CategoryMatched],
        empty: Sequence[FrameId],
    ) -> AnnotatedFrames:
        """The annotated frames with the probabilities with which they were drawn.

        Parameters
        ----------
        empty : annotated frames without a match; they count as frames, and have nothing else
        """
        chosen = {match.frame_id for match in matches if match.shortlisted}
        probabilities = {**sample.frames, **dict.fromkeys(chosen, 1.0)}
        samples = state.snapshot().samples
        return AnnotatedFrames(
            list(samples.values()),
            [self.operating.of(*curve) for curve in samples],
            np.append(state.by_frame(probabilities), [sample.frames[frame] for frame in empty]),
            sample.haystack,
            self._totals(sample),
        )

    def _totals(self, sample: DrawnSample) -> ShownTotals | None:
        """What all frames show; None if operating scores have changed since the draw."""
        least = self.operating.of
        if not sample.shown or any(
            shown.operating_score != least(sample.detector, category)
            for category, shown in sample.shown.items()
        ):
            return None
        return ShownTotals(
            sum(shown.detections for shown in sample.shown.values()),
            math.fsum(shown.summed_scores for shown in sample.shown.values()),
        )
