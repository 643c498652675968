"""Shortlists on a real broker, sent to real HTTP servers: well, failing, slow and redirecting."""

import asyncio
import base64
import json
import re
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from uuid import uuid4

import httpx
import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from standardwebhooks import Webhook

from services.app.consumers.webhooks import webhook_consumers
from services.contracts.codec import written
from services.contracts.dead_letters import DeadLettered
from services.contracts.needles import ShortlistPublished
from services.domain.dead_letters import fold_letters
from services.runtime.clock import SystemClock
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.consumer import ConsumingService
from services.runtime.kafka.dead_letters import replay
from services.runtime.kafka.outbox import KafkaOutbox
from services.runtime.observability import metrics
from services.runtime.observability.trace_export import Traces
from services.runtime.settings import Settings
from tests.deadline import until
from tests.fakes.tombstones import InMemoryTombstones
from tests.ports import free_ports
from tests.reading import dead_letters_on
from tests.samples import needle_found, shortlist_published

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
DOCUMENT = (Path(__file__).parents[3] / "docs/webhooks.md").read_text()
(CODE,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
Answer = Callable[[int], tuple[int, dict[str, str]]]
"""Status and headers for the n-th try of an event."""
TAKEN = (204, dict[str, str]())

UNTRACED = Traces(None, 1.0)
PATIENT_S = 120.0
"""For attempts and events that are to succeed or to be refused, however busy the machine is."""


class Receiver:
    """An HTTP server that verifies what it gets by the scheme's own library, and keeps it."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
        self.tries: list[dict[str, object]] = []
        self.traces: list[str] = []
        self.ids: list[str] = []
        self.answers: dict[str, Answer] = {}

    def treat(self, *events: ShortlistPublished, answer: Answer) -> None:
        """Answer these events so; all others, of other tests, are taken."""
        for event in events:
            self.answers[event.event_id] = answer

    def tried(self, event: ShortlistPublished) -> int:
        return sum(body["event_id"] == event.event_id for body in self.tries)

    def has(self, *events: ShortlistPublished) -> bool:
        return {event.event_id for event in events} <= set(self.ids)


@contextmanager
def receiving() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kept.tries.append(Webhook(SECRET).verify(body, dict(self.headers.items())))
            kept.traces.append(self.headers.get("traceparent", ""))
            name = self.headers["webhook-id"]
            answer = kept.answers.get(name)
            tried = sum(document["event_id"] == name for document in kept.tries)
            status, headers = answer(tried) if answer else TAKEN
            if status < 300:
                kept.ids.append(name)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        kept = Receiver(server)
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield kept
        server.shutdown()
        thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


class Bench:
    """Receivers of names that no other test has, on a broker that others use too."""

    def __init__(self, kafka: BrokerAddress, folder: Path) -> None:
        self.kafka, self.folder = kafka, folder
        self.run = uuid4().hex[:8]
        self.outbox = KafkaOutbox("retriever", kafka, Settings())

    def shortlist(self, revision: int = 1) -> ShortlistPublished:
        return shortlist_published(needle_found(f"frame-{uuid4().hex}"), "h1", revision=revision)

    def settings(
        self, receivers: dict[str, str], *, timeout_s: float, give_up_s: float
    ) -> Settings:
        for name in receivers:
            (self.folder / f"{name}-{self.run}").write_text(SECRET)
        return Settings(
            kafka=",".join(self.kafka.servers),
            webhooks=",".join(f"{name}-{self.run}={url}" for name, url in receivers.items()),
            webhook_secrets=self.folder,
            webhook_timeout_s=timeout_s,
            webhook_give_up_s=give_up_s,
            retry_wait_max_s=0.2,
            batch_wait_s=0.05,
        )

    @asynccontextmanager
    async def sending(
        self,
        traces: Traces = UNTRACED,
        timeout_s: float = PATIENT_S,
        give_up_s: float = PATIENT_S,
        **receivers: str,
    ) -> AsyncIterator[list[ConsumingService]]:
        settings = self.settings(receivers, timeout_s=timeout_s, give_up_s=give_up_s)
        async with webhook_consumers(
            InMemoryTombstones(), settings, SystemClock(), traces
        ) as services:
            await asyncio.gather(*(service.start() for service in services))
            try:
                yield services
            finally:
                await asyncio.gather(*(service.stop() for service in services))

    def letters(self, name: str) -> list[DeadLettered]:
        service = f"webhooks.{name}-{self.run}"
        return [letter for letter in dead_letters_on(self.kafka) if letter.service == service]

    def count(self, name: str, outcome: str) -> float:
        labels = (f"{name}-{self.run}", outcome)
        return float(metrics.WEBHOOK_DELIVERIES.labels(*labels)._value.get())


@pytest.fixture
async def bench(kafka: BrokerAddress, tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(kafka, tmp_path)
    yield bench
    await bench.outbox.close()


async def test_every_shortlist_arrives_once_signed_under_its_own_id(
    bench: Bench, receiver: Receiver
) -> None:
    events = [bench.shortlist() for _ in range(20)]
    await bench.outbox.publish(events)
    async with bench.sending(well=receiver.url):
        await until(lambda: receiver.has(*events))

    expected = {event.event_id for event in events}
    assert sorted(id_ for id_ in receiver.ids if id_ in expected) == sorted(expected)
    bodies = {body["event_id"]: body for body in receiver.tries}
    assert bodies[events[0].event_id] == json.loads(written(events[0], 1)[0][1])


async def test_a_receiver_may_go_on_in_the_shortlists_trace(
    bench: Bench, receiver: Receiver
) -> None:
    kept = InMemorySpanExporter()
    traces = Traces(SimpleSpanProcessor(kept), 1.0)
    outbox = KafkaOutbox("retriever", bench.kafka, Settings(), traces=traces.of("retriever"))
    event = bench.shortlist()
    await outbox.publish([event])
    await outbox.close()
    async with bench.sending(traces, traced=receiver.url):
        await until(lambda: receiver.has(event))

    (taken,) = [span for span in kept.get_finished_spans() if span.name.startswith("process")]
    trace = dict(zip(receiver.ids, receiver.traces, strict=True))[event.event_id]
    *ids, flags = trace.split("-")
    assert ids == ["00", f"{taken.context.trace_id:032x}", f"{taken.context.span_id:016x}"]
    assert int(flags, 16) & 1  # sampled


async def test_what_fails_is_tried_again_until_it_is_taken(
    bench: Bench, receiver: Receiver
) -> None:
    async with bench.sending(shaky=receiver.url):
        events = [bench.shortlist() for _ in range(3)]
        receiver.treat(*events, answer=lambda number: (503, {}) if number < 3 else TAKEN)
        await bench.outbox.publish(events)
        await until(lambda: receiver.has(*events))

    assert [receiver.tried(event) for event in events] == [3, 3, 3]
    assert bench.letters("shaky") == []
    assert bench.count("shaky", "failed") == 6


async def test_what_was_taken_is_not_sent_again_with_what_failed(
    bench: Bench, receiver: Receiver
) -> None:
    taken = bench.shortlist()
    failing = taken.model_copy(update={"revision": 2})  # next to it on the same partition
    receiver.treat(failing, answer=lambda number: (503, {}) if number < 3 else TAKEN)
    await bench.outbox.publish([taken, failing])
    async with bench.sending(once=receiver.url):
        await until(lambda: receiver.has(taken, failing))

    assert (receiver.tried(taken), receiver.tried(failing)) == (1, 3)


async def test_one_that_is_away_or_slow_holds_up_nobody_else(
    bench: Bench, receiver: Receiver
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never answers
        hanging = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        async with bench.sending(
            timeout_s=3.0,
            give_up_s=3.0,
            slow=hanging,
            gone="http://127.0.0.1:1/",
            well=receiver.url,
        ):
            await bench.outbox.publish(events := [bench.shortlist() for _ in range(5)])
            await until(lambda: receiver.has(*events))
            await until(lambda: bool(bench.letters("slow") and bench.letters("gone")))

    assert {letter.reason for letter in bench.letters("slow")} == {"receiver_slow"}
    assert {letter.reason for letter in bench.letters("gone")} == {"receiver_unreachable"}


async def test_a_redirect_is_not_followed(bench: Bench, receiver: Receiver) -> None:
    with receiving() as elsewhere:
        event = bench.shortlist()
        receiver.treat(event, answer=lambda _: (307, {"location": elsewhere.url}))
        async with bench.sending(give_up_s=1.0, moved=receiver.url):
            await bench.outbox.publish([event])
            await until(lambda: bool(bench.letters("moved")))
        assert elsewhere.tries == []

    (letter,) = bench.letters("moved")
    assert letter.reason == "receiver_redirects"
    assert elsewhere.url in letter.detail


async def test_what_was_given_up_is_delivered_by_a_replay(bench: Bench, receiver: Receiver) -> None:
    event, next_ = bench.shortlist(), bench.shortlist()
    receiver.treat(event, answer=lambda _: (500, {}))
    async with bench.sending(give_up_s=1.0, ill=receiver.url):
        await bench.outbox.publish([event, next_])
        await until(lambda: bool(bench.letters("ill")) and receiver.has(next_))
        receiver.answers.clear()
        await replay(fold_letters(bench.letters("ill")), bench.outbox, SystemClock().now())
        await until(lambda: receiver.has(event))

    assert bench.letters("ill")[0].reason == "receiver_refuses"
    assert bench.count("ill", "given_up") == 1


async def test_ending_does_not_wait_for_a_receiver_and_loses_nothing(
    bench: Bench, receiver: Receiver
) -> None:
    event = bench.shortlist()
    receiver.treat(event, answer=lambda _: (500, {}))
    await bench.outbox.publish([event])
    settings = bench.settings({"late": receiver.url}, timeout_s=PATIENT_S, give_up_s=PATIENT_S)
    slow = settings.model_copy(update={"retry_wait_max_s": 60.0})
    async with webhook_consumers(InMemoryTombstones(), slow, SystemClock(), UNTRACED) as (service,):
        await service.start()
        await until(lambda: receiver.tried(event) > 3)
        started = time.monotonic()
        await service.stop()
        assert time.monotonic() - started < PATIENT_S / 2

    receiver.answers.clear()
    async with bench.sending(late=receiver.url):
        await until(lambda: receiver.has(event))


def test_the_documents_receiver_has_no_more_than_twenty_lines() -> None:
    assert len([line for line in CODE.splitlines() if line.strip()]) <= 20


async def test_the_documents_receiver_takes_ours_once_and_refuses_what_is_forged(
    bench: Bench, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CODE, str(tmp_path / "secret"), str(port),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    url = f"http://127.0.0.1:{port}/"
    event, other = bench.shortlist(revision=7), bench.shortlist()
    try:
        async with bench.sending(theirs=url):
            await bench.outbox.publish([event, event, other])
            lines: list[list[object]] = []
            async with asyncio.timeout(PATIENT_S):
                while not {event.needle_id, other.needle_id} <= {needle for needle, _ in lines}:
                    lines.append(json.loads(await process.stdout.readline()))
        async with httpx.AsyncClient() as client:
            forged = await client.post(
                url,
                content=b"{}",
                headers={
                    "webhook-id": "x",
                    "webhook-timestamp": str(int(time.time())),
                    "webhook-signature": "v1,AAAA",
                },
            )
            nothing = await client.post(url, content=b"{}")
    finally:
        process.terminate()
        await process.wait()

    assert lines.count([event.needle_id, 7]) == 1
    assert (forged.status_code, nothing.status_code) == (401, 401)
