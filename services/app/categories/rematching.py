"""Matches a detector's frames again after a change of its category map."""

from dataclasses import dataclass, replace

import structlog

from services.domain.ports.category_maps import CategoryMaps, Rematch
from services.domain.ports.frames import FrameStore
from services.runtime.step import Outbox

log = structlog.get_logger(__name__)

_AT_ONCE = 200


@dataclass(frozen=True)
class Rematcher:
    """Publishes stored predictions once more, as they are, after a change of their map.

    To every service this is a repeated delivery: fp_miner matches it by the map that is stored now,
    behind the frame's other events, and the embedder announces its regions again, which has the
    retriever rank them again. The store holds the progress, so the next sweep continues there.
    """

    maps: CategoryMaps
    frames: FrameStore
    outbox: Outbox

    async def sweep(self) -> int:
        """Publish all predictions that are due; returns their number.

        Raises
        ------
        Transient
            A store or the broker does not answer; the next sweep continues.
        """
        published = 0
        while due := await self.maps.unmatched():
            published += await self._publish_next(due[0])
        return published

    async def _publish_next(self, due: Rematch) -> int:
        predictions, last = await self.frames.predictions_after(due.scope, due.after, _AT_ONCE)
        await self.outbox.publish(predictions)
        # Noted after the broker's acknowledgement: after a crash, some are published twice.
        if last == due.after:
            await self.maps.finish(due)
            log.info("rematch_published", detector=due.scope, revision=due.revision)
        else:
            await self.maps.note(replace(due, after=last))
        return len(predictions)
