"""The AP that each error type costs each detector, on all stored frames."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Sequence

from services.contracts.identity import DetectorId, FrameId
from services.domain.detection.frame_matching import Pair
from services.domain.metrics.counting import why_not_counted
from services.domain.metrics.error_costs import ErrorCostPool, ErrorCosts
from services.domain.ports.frames import FrameRecord, FrameStore
from services.domain.ports.matches import MatchStore
from services.domain.redaction import is_named
from services.evaluator.reports.frame_sample import FrameSample
from services.evaluator.reports.sampled_reading import SampledReading
from services.runtime.clock import Clock


class StoredErrorCosts:
    """Error costs of every detector with predictions on frames with ground truth.

    A repair may move a detection to another category, so replicas cannot compute this for their
    categories: it needs all frames. They are read once; later, only those whose matches change.

    Parameters
    ----------
    redacting : the detector that finds what images hide, which is not evaluated; empty for none
    most_frames : the largest number of frames to hold in memory, summed over detectors; of more,
        costs are those of a uniform sample. None for no limit
    """

    def __init__(
        self,
        frames: FrameStore,
        matches: MatchStore,
        clock: Clock,
        *,
        count_copies: bool = False,
        redacting: str = "",
        most_frames: int | None = None,
    ) -> None:
        self._frames = frames
        self._count_copies = count_copies
        self._redacting = redacting
        self._reading = SampledReading("error_costs", matches, clock, most_frames)
        self._pools: defaultdict[DetectorId, ErrorCostPool] = defaultdict(ErrorCostPool)

    async def take_in(self) -> None:
        """Read changed frames in advance, so that `now` is fast; not concurrently with `now`."""
        await self._reading.take_in(self._pools.clear, self._hold)

    async def now(self) -> dict[DetectorId, ErrorCosts]:
        """The error costs on all that is stored now. One call at a time.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        await self.take_in()
        return {
            detector_id: await asyncio.to_thread(pool.costs)
            for detector_id, pool in sorted(self._pools.items())
        }

    async def _hold(self, frame_ids: Collection[FrameId] | None, sample: FrameSample) -> bool:
        async for records in self._frames.evaluable(frame_ids):
            sampled = [record for record in records if sample.includes(record.frame_id)]
            await asyncio.to_thread(self._put, sampled)
            if not sample.fits(sum(map(len, self._pools.values()))):
                return False
        return True

    def _put(self, records: Sequence[FrameRecord]) -> None:
        counting: defaultdict[DetectorId, list[Pair]] = defaultdict(list)
        for record in records:
            truth = record.ground_truth
            copy = record.is_copy and not self._count_copies
            if truth is not None:
                for detector, predictions in record.predictions.items():
                    if is_named(predictions, self._redacting):
                        continue
                    if why_not_counted(truth, predictions, copy=copy) is None:
                        counting[detector].append((record.named(detector).predictions, truth))
                    else:
                        self._pools[detector].drop(record.frame_id)
        for detector, pairs in counting.items():
            self._pools[detector].put(pairs)
