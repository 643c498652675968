"""How long a receiver is tried, what counts as accepted, and what a dead letter says."""

from collections.abc import Callable

import httpx
import pytest
from prometheus_client import REGISTRY

from services.annotation.webhooks.receivers import Receiver
from services.annotation.webhooks.service import DeliverShortlists
from services.contracts.codec import written
from services.contracts.errors import ReceiverUnavailable, Undelivered
from services.contracts.needles import ShortlistPublished
from services.runtime.settings import Settings
from tests.fakes.clock import FakeClock
from tests.samples import needle_found, shortlist_published

FIRST = shortlist_published(needle_found("f1"), "h1")
SECOND = shortlist_published(needle_found("f2"), "h2")
GIVE_UP_S = 60.0


class Delivery:
    """The step on a receiver whose answers a test decides."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response]) -> None:
        self.clock = FakeClock()
        self.requests: list[httpx.Request] = []
        self.answer = answer
        receiver = Receiver("unit", "https://receiver.example/hook", (bytes(32),))
        client = httpx.AsyncClient(transport=httpx.MockTransport(self._handle))
        settings = Settings(webhook_give_up_s=GIVE_UP_S, webhook_timeout_s=10)
        self.step = DeliverShortlists(receiver, client, settings, self.clock)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answer(request)

    async def fails(self, event: ShortlistPublished, *, after_s: float = 0.0) -> None:
        self.clock.advance(after_s)
        with pytest.raises(ReceiverUnavailable):
            await self.step.run([event])

    async def is_given_up(self, event: ShortlistPublished, *, after_s: float) -> Undelivered:
        self.clock.advance(after_s)
        with pytest.raises(Undelivered) as caught:
            await self.step.run([event])
        return caught.value


def status(code: int, text: str = "", **headers: str) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(code, text=text, headers=headers)


def counts() -> dict[str, float]:
    name, outcomes = "gazeloop_webhook_deliveries_total", ("delivered", "failed", "given_up")
    labels = [{"receiver": "unit", "outcome": outcome} for outcome in outcomes]
    return {label["outcome"]: REGISTRY.get_sample_value(name, label) or 0.0 for label in labels}


async def test_events_are_sent_in_order_under_their_own_ids() -> None:
    delivery = Delivery(status(204))

    await delivery.step.run([FIRST, SECOND])

    sent = [(request.headers["webhook-id"], request.content) for request in delivery.requests]
    assert sent == [
        (event.event_id, value) for one in (FIRST, SECOND) for event, value in written(one, 1)
    ]
    (now, _) = (request.headers["webhook-timestamp"] for request in delivery.requests)
    assert now == str(int(delivery.clock.now().timestamp()))


@pytest.mark.parametrize("code", [200, 202, 204, 299])
async def test_any_success_is_an_acceptance(code: int) -> None:
    await Delivery(status(code)).step.run([FIRST])


@pytest.mark.parametrize("code", [300, 400, 410, 500])
async def test_anything_else_is_a_failure(code: int) -> None:
    await Delivery(status(code)).fails(FIRST)


async def test_an_event_is_given_up_once_it_has_failed_for_long_enough() -> None:
    delivery = Delivery(status(500))

    await delivery.fails(FIRST)
    await delivery.fails(FIRST, after_s=GIVE_UP_S - 1)
    error = await delivery.is_given_up(FIRST, after_s=1)

    assert error.reason == "receiver_refuses"
    assert str(error) == "unit: HTTP 500, and this for 60 s"


async def test_the_next_event_gets_the_same_time() -> None:
    delivery = Delivery(status(500))
    await delivery.fails(FIRST)
    await delivery.is_given_up(FIRST, after_s=GIVE_UP_S)

    await delivery.fails(SECOND)
    await delivery.fails(SECOND, after_s=GIVE_UP_S - 1)
    await delivery.is_given_up(SECOND, after_s=1)


async def test_an_event_that_was_given_up_and_is_replayed_gets_its_time_again() -> None:
    delivery = Delivery(status(500))
    await delivery.fails(FIRST)
    await delivery.is_given_up(FIRST, after_s=GIVE_UP_S)

    await delivery.fails(FIRST)


async def test_another_event_has_a_failing_time_of_its_own() -> None:
    """After a rebalance, the event that failed may be another replica's."""
    delivery = Delivery(status(500))
    await delivery.fails(FIRST)

    await delivery.fails(SECOND, after_s=GIVE_UP_S)


async def test_a_success_ends_the_failing_time() -> None:
    delivery = Delivery(status(500))
    await delivery.fails(FIRST)
    delivery.answer = status(204)
    await delivery.step.run([FIRST])
    delivery.answer = status(500)

    await delivery.fails(FIRST, after_s=GIVE_UP_S)


async def test_what_follows_a_failure_is_not_sent_before_it() -> None:
    delivery = Delivery(status(500))
    with pytest.raises(ReceiverUnavailable):
        await delivery.step.run([FIRST, SECOND])

    assert [request.headers["webhook-id"] for request in delivery.requests] == [FIRST.event_id]


def broken(_: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


def slow(_: httpx.Request) -> httpx.Response:
    raise TimeoutError


@pytest.mark.parametrize(
    ("answer", "reason", "detail"),
    [
        (status(500), "receiver_refuses", "HTTP 500,"),
        (status(422, "not now"), "receiver_refuses", "HTTP 422: 'not now'"),
        (status(410), "receiver_refuses", "take it out of GAZELOOP_WEBHOOKS"),
        (status(302, location="https://evil.example/"), "receiver_redirects", "not followed"),
        (broken, "receiver_unreachable", "ConnectError: refused"),
        (slow, "receiver_slow", "no answer within 10 s"),
    ],
)
async def test_a_dead_letter_names_the_reason(
    answer: Callable[[httpx.Request], httpx.Response], reason: str, detail: str
) -> None:
    delivery = Delivery(answer)
    await delivery.fails(FIRST)
    error = await delivery.is_given_up(FIRST, after_s=GIVE_UP_S)

    assert error.reason == reason
    assert detail in str(error)
    assert {request.url.host for request in delivery.requests} == {"receiver.example"}


async def test_only_the_beginning_of_a_long_answer_is_kept() -> None:
    delivery = Delivery(status(500, "x" * 100_000))
    await delivery.fails(FIRST)

    assert "x" * 200 + "'" in (kept := str(await delivery.is_given_up(FIRST, after_s=GIVE_UP_S)))
    assert "x" * 201 not in kept


async def test_deliveries_are_counted_by_outcome() -> None:
    before = counts()
    delivery = Delivery(status(500))
    await delivery.fails(FIRST)
    await delivery.fails(FIRST)
    await delivery.is_given_up(FIRST, after_s=GIVE_UP_S)
    delivery.answer = status(204)
    await delivery.step.run([SECOND])

    after = counts()
    assert {outcome: after[outcome] - before[outcome] for outcome in after} == {
        "delivered": 1,
        "failed": 2,
        "given_up": 1,
    }
