from collections.abc import Sequence
from typing import NoReturn

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from services.contracts.codec import encode
from services.contracts.errors import InvalidRecord, StoreUnavailable
from services.contracts.events import Event, FrameEmbedded
from services.contracts.topics import topic_of
from services.runtime.exits import ExitCode
from services.runtime.kafka.records import Record
from services.runtime.kafka.runner import Runner
from services.runtime.observability.trace_export import Traces
from services.runtime.observability.traces import OFF, Headers, ServiceTraces
from services.runtime.settings import Settings
from tests import samples
from tests.fakes.clock import FakeClock
from tests.fakes.outbox import InMemoryOutbox

FRAME = samples.frame_captured("f1")
OTHER = samples.frame_captured("f2")
NEEDLE = samples.needle_found("f1")


def embedded(frame_id: str) -> FrameEmbedded:
    return samples.frame_embedded(samples.predictions_made(frame_id=frame_id))


class Collector:
    """Spans as they end, and the headers of what is sent."""

    def __init__(self, share: float = 1.0) -> None:
        self._kept = InMemorySpanExporter()
        self._traces = Traces(SimpleSpanProcessor(self._kept), share)

    def of(self, service: str) -> ServiceTraces:
        return self._traces.of(service)

    def spans(self) -> dict[str, ReadableSpan]:
        """Finished spans by name; the last of each."""
        return {span.name: span for span in self._kept.get_finished_spans()}


def sent(traces: ServiceTraces, *events: Event) -> list[Headers]:
    with traces.sending(events) as headers:
        return headers


def record(event: Event, headers: Headers = (), offset: int = 0) -> Record:
    key = event.key().encode()
    return Record(topic_of(event).name, 3, offset, key, encode(event), None, headers)


class Publishing:
    """Does what a step does: publishes for what it is given, and fails as it is told to."""

    def __init__(self, traces: ServiceTraces, *events: Event) -> None:
        self.headers: list[Headers] = []
        self.failures: list[Exception] = []
        self._traces = traces
        self._events = events

    async def run(self, _: Sequence[Event]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.headers = sent(self._traces, *self._events)


def fail(code: ExitCode) -> NoReturn:
    raise AssertionError(f"the process would end with {code}")


async def processed(traces: ServiceTraces, records: Sequence[Record], *, out: Publishing) -> None:
    clock = FakeClock()
    runner = Runner(
        "tester",
        out,
        InMemoryOutbox(),
        Settings(),
        clock,
        traces=traces,
        exit_process=fail,
        sleep=clock.sleep,
    )
    await runner.process(records)


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def identity_of(span: ReadableSpan) -> tuple[int, int]:
    context = span.get_span_context()
    assert context is not None
    return context.trace_id, context.span_id


def test_traces_that_are_off_send_no_header() -> None:
    assert sent(OFF, FRAME, OTHER) == [(), ()]


def test_outside_of_a_request_each_frame_starts_a_trace_for_all_that_is_said_of_it() -> None:
    collector = Collector()
    truth = samples.frame_annotated(frame_id="f1")
    headers = sent(collector.of("ingest"), FRAME, OTHER, truth)
    traces = [dict(header)["traceparent"].split(b"-")[1] for header in headers]
    assert traces[0] == traces[2] != traces[1]


def test_a_share_of_the_frames_is_traced_and_the_rest_carries_nothing() -> None:
    collector = Collector(share=0.25)
    frames = [samples.frame_captured(f"f{number}") for number in range(400)]
    with_header = sum(bool(frame) for frame in sent(collector.of("ingest"), *frames))
    assert 50 < with_header < 150


def test_within_a_request_what_is_sent_belongs_to_it() -> None:
    collector = Collector()
    tracer = collector._traces.provider("ingest").get_tracer("http")
    with tracer.start_as_current_span("POST /v1/frames", kind=SpanKind.SERVER) as request:
        sent(collector.of("ingest"), FRAME)
    assert parent_of(collector.spans()["send gaze.frames"]) == request.get_span_context().span_id


async def test_what_a_batch_publishes_goes_on_in_the_trace_of_its_cause() -> None:
    collector = Collector()
    traces = collector.of("tester")
    first, second = sent(traces, FRAME, OTHER)
    out = Publishing(traces, embedded("f2"))
    await processed(traces, [record(FRAME, first), record(OTHER, second, 1)], out=out)
    (header,) = out.headers
    assert dict(header)["traceparent"].split(b"-")[1] == dict(second)["traceparent"].split(b"-")[1]
    spans = collector.spans()
    taken = next(
        span
        for span in collector._kept.get_finished_spans()
        if span.name == "process gaze.frames"
        and (span.attributes or {})["gazeloop.frame.id"] == "f2"
    )
    assert parent_of(spans["send gaze.embedded"]) == identity_of(taken)[1]


async def test_a_shortlist_follows_its_needle_and_points_at_what_its_candidates_owe() -> None:
    collector = Collector()
    traces = collector.of("tester")
    shortlist = samples.shortlist_published(NEEDLE, "f8", "f9")
    found = embedded("f9")
    (of_needle,), (of_frame,) = sent(traces, NEEDLE), sent(traces, found)
    out = Publishing(traces, shortlist)
    await processed(traces, [record(found, of_frame), record(NEEDLE, of_needle, 1)], out=out)
    spans = collector.spans()
    published = spans["send gaze.reannotation"]
    assert parent_of(published) == identity_of(spans["process gaze.needles"])[1]
    (link,) = published.links
    assert link.context.span_id == identity_of(spans["process gaze.embedded"])[1]


async def test_what_waits_for_several_facts_follows_from_the_last_and_points_at_the_others() -> (
    None
):
    collector = Collector()
    traces = collector.of("tester")
    truth = samples.frame_annotated(frame_id="f1")
    (of_frame,), (of_truth,) = sent(traces, FRAME), sent(traces, truth)
    out = Publishing(traces, samples.frame_matched("f1"))
    await processed(traces, [record(FRAME, of_frame), record(truth, of_truth, 1)], out=out)
    spans = collector.spans()
    published = spans["send gaze.matches"]
    assert parent_of(published) == identity_of(spans["process gaze.ground-truth"])[1]
    (link,) = published.links
    assert link.context.span_id == identity_of(spans["process gaze.frames"])[1]


async def test_a_trace_ends_where_a_shortlist_is_taken_up() -> None:
    collector = Collector()
    traces = collector.of("tester")
    shortlist = samples.shortlist_published(NEEDLE, "f9")
    (header,) = sent(traces, shortlist)
    out = Publishing(traces, samples.frame_matched("f9"))
    await processed(traces, [record(shortlist, header)], out=out)
    assert out.headers == [()]
    assert "process gaze.reannotation" in collector.spans()


async def test_records_without_a_trace_start_none() -> None:
    collector = Collector()
    traces = collector.of("tester")
    out = Publishing(traces, embedded("f1"))
    await processed(traces, [record(FRAME)], out=out)
    assert out.headers == [()]
    assert collector.spans() == {}


@pytest.mark.parametrize("header", [b"", b"\xff\xfe", b"00-nonsense", b"00-" + b"0" * 60])
async def test_a_header_that_is_none_harms_nobody(header: bytes) -> None:
    traces = Collector().of("tester")
    out = Publishing(traces, embedded("f1"))
    await processed(traces, [record(FRAME, (("traceparent", header),))], out=out)
    assert len(out.headers) == 1


async def test_a_span_says_what_was_taken_and_what_went_wrong() -> None:
    collector = Collector()
    traces = collector.of("tester")
    (header,) = sent(traces, FRAME)
    out = Publishing(traces)
    out.failures = [StoreUnavailable("away"), InvalidRecord("bad")]
    await processed(traces, [record(FRAME, header)], out=out)
    span = collector.spans()["process gaze.frames"]
    assert span.kind is SpanKind.CONSUMER
    assert span.status.status_code is StatusCode.ERROR
    assert [event.name for event in span.events] == ["retried"]
    assert dict(span.attributes or {}) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "gaze.frames",
        "messaging.destination.partition.id": "3",
        "messaging.kafka.offset": 0,
        "messaging.kafka.message.key": "f1",
        "messaging.consumer.group.name": "gazeloop.tester",
        "messaging.batch.message_count": 1,
        "messaging.message.id": FRAME.event_id,
        "gazeloop.frame.id": "f1",
        "error.type": "invalid_record",
    }
    assert span.resource.attributes["service.name"] == "gazeloop-tester"


def test_what_could_not_be_sent_is_marked() -> None:
    collector = Collector()
    with pytest.raises(RuntimeError), collector.of("ingest").sending([FRAME]):
        raise RuntimeError("away")
    span = collector.spans()["send gaze.frames"]
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "RuntimeError"
    assert not trace.get_current_span().get_span_context().is_valid
