"""The Label Studio service: record shortlists durably, and synchronise tasks in the background."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import structlog

from services.annotation.label_studio.links import RENEWED
from services.annotation.label_studio.pulling import Puller
from services.annotation.label_studio.pushing import Pusher
from services.annotation.ports.annotation_tasks import AnnotationTasks
from services.contracts.errors import VALUE_ERRORS, Fatal, GazeloopError, Invalid
from services.contracts.events import Event, FrameAnnotated
from services.contracts.identity import FrameId
from services.contracts.needles import ShortlistPublished
from services.runtime.clock import Clock
from services.runtime.observability import metrics

log = structlog.get_logger(__name__)

_LISTEN_S = 1.0
_PATIENCE_S = 60.0


class RecordShortlists:
    """Stores shortlists durably, so that Label Studio may be unreachable for any time."""

    def __init__(self, tasks: AnnotationTasks) -> None:
        self._tasks = tasks

    async def run(self, events: Sequence[Event]) -> None:
        shortlists, annotated = [], set()
        for event in events:
            match event:
                case ShortlistPublished():
                    shortlists.append(event)
                case FrameAnnotated():
                    annotated.add(event.frame_id)
                case _:
                    raise Fatal(f"label_studio does not consume {type(event).__name__}")
        await self._tasks.ask(shortlists)
        await self._tasks.touch(annotated)


@dataclass
class SyncLoop:
    """Pushes due tasks and pulls changed ones; call `sync` repeatedly.

    Parameters
    ----------
    subscribe : registers the webhook with Label Studio
    """

    pusher: Pusher
    puller: Puller
    tasks: AnnotationTasks
    clock: Clock
    poll_s: float
    subscribe: Callable[[], Awaitable[object]]
    _is_subscribed: bool = False
    _polled: float | None = None
    _waiting: set[FrameId] = field(default_factory=set)
    """Frames whose images the last push found hidden; it is tried again after the next poll."""
    _pause_s: float = _LISTEN_S

    async def sync(self) -> float:
        """Do what is due; return the seconds to wait before the next call.

        Errors of Label Studio and of stored values are logged, and retried later.
        """
        try:
            if await self._is_due():
                await self.puller.pull()
                self._polled, self._waiting = self.clock.monotonic(), set()
                await self.tasks.touch_ending_links(self.clock.now() + RENEWED)
            if await self.tasks.due(1, without=self._waiting):
                self._waiting = (await self.pusher.push()).waiting
            await self._ensure_subscribed()
            self._pause_s = _LISTEN_S
        except GazeloopError as exc:
            # An expired token must not end the other services in this process.
            self._pause_s = min(2 * self._pause_s, _PATIENCE_S)
            log.warning("label_studio_later", wait_s=self._pause_s, error=str(exc))
        except VALUE_ERRORS:
            # A single unusable stored value: ending the process would recur at every start.
            self._pause_s = min(2 * self._pause_s, _PATIENCE_S)
            metrics.BACKGROUND_FAILURES.labels("label_studio").inc()
            log.exception("work_failed", work="label_studio", wait_s=self._pause_s)
        return self._pause_s

    async def _ensure_subscribed(self) -> None:
        """Register the webhook once. If Label Studio refuses its URL, polling still works."""
        if self._is_subscribed:
            return
        try:
            await self.subscribe()
        except Invalid as exc:
            log.warning("label_studio_tells_nothing", asked_every_s=self.poll_s, error=str(exc))
        self._is_subscribed = True

    async def _is_due(self) -> bool:
        if self._polled is None or self.clock.monotonic() - self._polled >= self.poll_s:
            return True
        state = await self.tasks.state()
        return state.webhooks > state.webhooks_followed
