"""Erases frames: notes it, erases every trace in reach, and asks the services for the others."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import structlog

from services.contracts.events import FrameErased
from services.contracts.identity import FrameId
from services.domain.ports.erasure import ErasureRequest, FrameTraces, Tombstone, TombstoneStore
from services.runtime.observability import metrics
from services.runtime.step import Outbox

log = structlog.get_logger(__name__)

_AT_ONCE = 200


@dataclass(frozen=True)
class FrameEraser:
    """Erases frames; whatever interrupts it, the next `sweep` finishes.

    A tombstone is stored before anything is deleted: from then on no service takes an event of the
    frame. It has the frame's id until the last trace is gone, so nothing else need be remembered.

    Parameters
    ----------
    traces : where frames leave traces; the last ones are those that name the others
    """

    tombstones: TombstoneStore
    traces: Sequence[FrameTraces]
    outbox: Outbox

    async def preview(self, frame_ids: Collection[FrameId]) -> Mapping[str, int]:
        """How many records of each kind would be erased.

        Raises
        ------
        Transient
            A store or the broker does not answer.
        """
        counts: Counter[str] = Counter()
        for some in _batches(frame_ids):
            for traces in self.traces:
                counts[traces.name] += await traces.count(some)
        return counts

    async def erase(
        self, frame_ids: Collection[FrameId], request: ErasureRequest
    ) -> Mapping[str, int]:
        """Erase these frames; returns how many records of each kind there were.

        Raises
        ------
        Transient
            A store or the broker does not answer; `sweep` goes on later.
        """
        counts = await self.preview(frame_ids)
        for some in _batches(frame_ids):
            await self.tombstones.add(some, request)
        await self.sweep()
        return counts

    async def sweep(self) -> int:
        """Erase what interrupted calls have left; returns the number of frames."""
        swept = 0
        while found := await self.tombstones.unswept(_AT_ONCE):
            await self._sweep(found)
            swept += len(found)
        return swept

    async def _sweep(self, found: Sequence[Tombstone]) -> None:
        frame_ids = [tombstone.frame_id for tombstone in found]
        for traces in self.traces:
            await traces.erase(frame_ids)
        await self.outbox.publish(
            [
                FrameErased.of(item.frame_id, reason=item.reason, requested_by=item.requested_by)
                for item in found
            ]
        )
        await self.tombstones.note_swept(frame_ids)
        metrics.FRAMES_ERASED.inc(len(found))
        log.info("frames_erased", frames=len(found))


def _batches(frame_ids: Collection[FrameId]) -> Iterator[list[FrameId]]:
    ids = list(frame_ids)
    return (ids[first : first + _AT_ONCE] for first in range(0, len(ids), _AT_ONCE))
