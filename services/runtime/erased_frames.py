"""Keeps erased frames out of a service: drops their events, and erases what arrived earlier."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import structlog

from services.contracts.erasures import FrameErased, MatchesErased
from services.contracts.errors import VALUE_ERRORS, Invalid
from services.contracts.events import Event, FrameCaptured, Image
from services.contracts.identity import FrameHash, FrameId, frame_hash
from services.domain.erasure import frames_of, without
from services.domain.ports.erasure import FrameTraces, TombstoneStore
from services.runtime.observability import metrics
from services.runtime.step import Outbox, Step

log = structlog.get_logger(__name__)

Forget = Callable[[AbstractSet[FrameHash]], Awaitable[None]]


@dataclass(frozen=True)
class ErasedFramesLeftOut:
    """A step on the events of frames that are not erased.

    A frame may be erased while the step works on its event. So tombstones are read before and
    after: whichever comes second, the tombstone or what the step writes, sees the other.

    Parameters
    ----------
    service : its name, for tombstones and metrics
    traces : what the service stores about frames
    forget : drops erased frames from the service's memory
    drop_images : deletes the images of dropped frames, which may be in no store
    forwards : whether it publishes MatchesErased once the frame's matches are deleted
    """

    service: str
    step: Step
    tombstones: TombstoneStore
    outbox: Outbox
    traces: Sequence[FrameTraces] = ()
    forget: Forget | None = None
    drop_images: Callable[[Collection[Image]], Awaitable[None]] | None = None
    forwards: bool = False

    async def run(self, events: Sequence[Event]) -> None:
        requests = [event for event in events if isinstance(event, FrameErased | MatchesErased)]
        others = [e for e in events if not isinstance(e, FrameErased | MatchesErased)]
        named = {frame_id for event in others for frame_id in frames_of(event)}
        erased = await self.tombstones.erased(named)
        hashes = {event.frame_hash for event in requests}
        if hashes and self.forget is not None:
            await self.forget(hashes)
        await self._drop_images(others, erased)
        late = await self._run(self._left(others, erased), named - erased)
        await self._erase(erased | late)
        await self._erase((await self.tombstones.unconfirmed(hashes)).values() if hashes else ())
        if self.forwards:
            await self._forward(requests, late)
        if hashes:
            await self.tombstones.confirm(hashes, self.service)

    async def _run(self, events: Sequence[Event], named: AbstractSet[FrameId]) -> set[FrameId]:
        """Run the step; returns the frames that were erased meanwhile."""
        try:
            if events:
                await self.step.run(events)
        except (Invalid, *VALUE_ERRORS):
            # What is missing may have just been erased; a dead letter would hold the frame again.
            late = await self.tombstones.erased(named)
            if not late:
                raise
            return late | await self._run(self._left(events, late), named - late)
        return await self.tombstones.erased(named)

    def _left(self, events: Sequence[Event], erased: AbstractSet[FrameId]) -> list[Event]:
        left = [part for event in events if (part := without(event, erased)) is not None]
        if dropped := len(events) - len(left):
            metrics.EVENTS_OF_ERASED_FRAMES.labels(self.service).inc(dropped)
            log.info("events_dropped", service=self.service, reason="erased_frame", events=dropped)
        return left

    async def _drop_images(self, events: Sequence[Event], erased: AbstractSet[FrameId]) -> None:
        captured = [event for event in events if isinstance(event, FrameCaptured)]
        images = [event.image for event in captured if event.frame_id in erased]
        if images and self.drop_images is not None:
            await self.drop_images(images)

    async def _erase(self, frame_ids: Collection[FrameId]) -> None:
        if frame_ids:
            for traces in self.traces:
                await traces.erase(frame_ids)

    async def _forward(
        self, requests: Sequence[FrameErased | MatchesErased], late: AbstractSet[FrameId]
    ) -> None:
        facts = {event.frame_hash: (event.reason, event.requested_by) for event in requests}
        facts |= {frame_hash(frame_id): ("late", self.service) for frame_id in late}
        await self.outbox.publish(
            [
                MatchesErased(frame_hash=frame_id, reason=reason, requested_by=requested_by)
                for frame_id, (reason, requested_by) in facts.items()
            ]
        )
