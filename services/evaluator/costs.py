"""What each kind of error costs each detector, on the frames as they are stored."""

import asyncio
from collections.abc import Sequence

from services.contracts.identity import DetectorId
from services.domain.error_costs import ErrorCostPool, ErrorCosts
from services.evaluator.gauges import show_error_costs
from services.runtime.stores.frames import FrameRecord, FrameStore


async def stored_error_costs(frames: FrameStore) -> dict[DetectorId, ErrorCosts]:
    """What repairs would gain, of every detector with predictions on frames with ground truth.

    A repair may move a detection to another category, so this is no sum over what replicas own: it
    is reckoned from all frames, in one go.

    Raises
    ------
    StoreUnavailable
        The store does not answer.
    """
    pools: dict[DetectorId, ErrorCostPool] = {}
    async for records in frames.evaluable():
        await asyncio.to_thread(_take_in, pools, records)
    return {each: await asyncio.to_thread(pools[each].costs) for each in sorted(pools)}


async def refresh_error_costs(frames: FrameStore) -> None:
    """Show them."""
    for detector, said in (await stored_error_costs(frames)).items():
        show_error_costs(detector, said)


def _take_in(pools: dict[DetectorId, ErrorCostPool], records: Sequence[FrameRecord]) -> None:
    for record in records:
        truth = record.ground_truth
        if truth is not None:
            for detector, made in record.predictions.items():
                pools.setdefault(detector, ErrorCostPool()).add(made, truth)
