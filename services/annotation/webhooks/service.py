"""webhooks: send every shortlist, signed, to one receiver until it acknowledges.

Each receiver has its own consuming service and consumer group, so a slow or unreachable one delays
no other: its undelivered shortlists stay on the topic.
"""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import NamedTuple

import httpx

from services.annotation.webhooks.receivers import Receiver
from services.annotation.webhooks.signing import headers
from services.contracts.codec import written
from services.contracts.errors import ReceiverUnavailable, Undelivered
from services.contracts.events import Event
from services.contracts.identity import EventId
from services.runtime.clock import Clock
from services.runtime.observability import metrics
from services.runtime.observability.traces import carried
from services.runtime.settings import Settings

_SHOWN = 200  # characters of a response that a dead letter keeps


class _Failure(NamedTuple):
    reason: str
    detail: str


class DeliverShortlists:
    """Sends events to a receiver one by one; the runner waits between attempts.

    An event that fails for `webhook_give_up_s` becomes a dead letter, and the next event gets the
    same time. So even a long outage costs few events; all others wait for its end.

    Parameters
    ----------
    client : must not follow redirects
    """

    def __init__(
        self, receiver: Receiver, client: httpx.AsyncClient, settings: Settings, clock: Clock
    ) -> None:
        self._receiver = receiver
        self._client = client
        self._timeout_s = settings.webhook_timeout_s
        self._version = settings.event_version
        self._give_up_s = settings.webhook_give_up_s
        self._clock = clock
        self._failing: tuple[EventId, float] | None = None

    async def run(self, events: Sequence[Event]) -> None:
        for event in events:
            await self._deliver(event)

    async def _deliver(self, event: Event) -> None:
        failure = await self._failure(event)
        if failure is None:
            self._failing = None
            self._count("delivered")
            return
        failure_text = f"{self._receiver.name}: {failure.detail}"
        passed_s = self._failing_for_s(event)
        if passed_s < self._give_up_s:
            self._count("failed")
            raise ReceiverUnavailable(failure_text)
        self._failing = None
        self._count("given_up")
        raise Undelivered(f"{failure_text}, and this for {passed_s:.0f} s", reason=failure.reason)

    def _failing_for_s(self, event: Event) -> float:
        now_s = self._clock.monotonic()
        if self._failing is None or self._failing[0] != event.event_id:
            self._failing = event.event_id, now_s
        return now_s - self._failing[1]

    async def _failure(self, event: Event) -> _Failure | None:
        """Try once; return the failure, or None if the receiver has accepted the event."""
        receiver, ((_, body),) = self._receiver, written(event, self._version)
        signed = headers(event.event_id, int(self._clock.now().timestamp()), body, receiver.secrets)
        all_headers = (
            signed | {"content-type": "application/json", "user-agent": "gazeloop"} | carried()
        )
        try:
            async with (
                asyncio.timeout(self._timeout_s),  # httpx's own timeout restarts with every byte
                self._client.stream(
                    "POST", receiver.url, content=body, headers=all_headers
                ) as answer,
            ):
                return await _judged(answer)
        except TimeoutError:
            return _Failure("receiver_slow", f"no answer within {self._timeout_s:g} s")
        except httpx.HTTPError as exc:
            return _Failure("receiver_unreachable", f"{type(exc).__name__}: {exc}")

    def _count(self, outcome: str) -> None:
        metrics.WEBHOOK_DELIVERIES.labels(self._receiver.name, outcome).inc()


async def _judged(answer: httpx.Response) -> _Failure | None:
    if answer.is_success:
        return None
    status = f"HTTP {answer.status_code}"
    if answer.is_redirect:
        # Following a redirect would send the signed shortlist to any host that it names.
        where = answer.headers.get("location", "")
        return _Failure("receiver_redirects", f"{status} to {where!r:.{_SHOWN}}, not followed")
    if answer.status_code == HTTPStatus.GONE:
        status += " (it wants no more; take it out of GAZELOOP_WEBHOOKS)"
    excerpt = ""
    async for chunk in answer.aiter_text(_SHOWN):
        excerpt = chunk
        break
    return _Failure("receiver_refuses", f"{status}: {excerpt!r}" if excerpt else status)
