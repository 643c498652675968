"""The AP that each error type costs each detector, on all stored frames."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from services.contracts.identity import DetectorId
from services.domain.metrics.counting import why_not_counted
from services.domain.metrics.error_costs import ErrorCostPool, ErrorCosts
from services.domain.ports.frames import FrameRecord, FrameStore
from services.domain.ports.matches import MatchStore
from services.evaluator.live.gauges import show_error_costs
from services.runtime.clock import Clock
from services.runtime.revised_frames import RevisedFrames


class StoredErrorCosts:
    """Error costs of every detector with predictions on frames with ground truth.

    A repair may move a detection to another category, so replicas cannot compute this for their
    categories: it needs all frames. They are read once; later, only those whose matches change.
    """

    def __init__(
        self, frames: FrameStore, matches: MatchStore, clock: Clock, *, count_copies: bool = False
    ) -> None:
        self._frames = frames
        self._count_copies = count_copies
        self._revised = RevisedFrames(matches, clock)
        self._pools: defaultdict[DetectorId, ErrorCostPool] = defaultdict(ErrorCostPool)

    async def take_in(self) -> None:
        """Read changed frames in advance, so that `now` is fast; not concurrently with `now`."""
        async with self._revised.taken() as frame_ids:
            if frame_ids is None:
                self._pools.clear()
            async for records in self._frames.evaluable(frame_ids):
                await asyncio.to_thread(self._put, records)

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

    async def show(self) -> None:
        """Update the gauges."""
        for detector, costs in (await self.now()).items():
            show_error_costs(detector, costs)

    def _put(self, records: Sequence[FrameRecord]) -> None:
        for record in records:
            truth = record.ground_truth
            copy = record.is_copy and not self._count_copies
            if truth is not None:
                for detector, made in record.predictions.items():
                    if why_not_counted(truth, made, copy=copy) is None:
                        self._pools[detector].put(record.named(detector).predictions, truth)
                    else:
                        self._pools[detector].drop(record.frame_id)
