"""Traces follow a frame from its ingestion to the shortlists that contain it.

A trace starts with an HTTP request, or with a frame of a data set that is published. Services only
continue traces, by the records' `traceparent` header (W3C Trace Context); a record without one
costs nothing. An event that a batch publishes continues the trace of the input event about the same
subject. A trace ends where a service consumes a shortlist, whose effects concern other frames.

Names of spans and attributes follow OpenTelemetry's conventions for messaging.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple, Protocol

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.contracts.events import Event
from services.contracts.flow import group_of
from services.contracts.needles import ShortlistPublished
from services.contracts.subjects import Subject, frame_of, subjects_of
from services.contracts.topics import topic_of

Headers = tuple[tuple[str, bytes], ...]
PARENT = "traceparent"
_PROPAGATOR = TraceContextTextMapPropagator()
_MAX_LINKS = 16  # a shortlist may have more candidates than a viewer can show


class Traceable(Protocol):
    """A record that a service consumes."""

    @property
    def topic(self) -> str:
        """The topic's name."""
        ...

    @property
    def partition(self) -> int:
        """The partition's number."""
        ...

    @property
    def offset(self) -> int:
        """The offset in the partition."""
        ...

    @property
    def key(self) -> bytes:
        """The raw key."""
        ...

    @property
    def headers(self) -> Headers:
        """The raw headers."""
        ...


class RecordPosition(NamedTuple):
    """The unique position of a record."""

    topic: str
    partition: int
    offset: int

    @classmethod
    def of(cls, record: Traceable) -> "RecordPosition":
        """The position of a record."""
        return cls(record.topic, record.partition, record.offset)


Spans = Mapping[RecordPosition, Span]
"""The spans of a batch's records; records without a trace have none."""

_causes: ContextVar[Mapping[Subject, list[Span]] | None] = ContextVar("causes", default=None)
"""The spans of the current batch, by the subjects of its events; None outside of a batch."""


class ServiceTraces:
    """The traces of one service.

    Parameters
    ----------
    tracer : None if traces are off
    """

    def __init__(self, service: str, tracer: Tracer | None) -> None:
        self._service = service
        self._tracer = tracer

    @contextmanager
    def batch(self, records: Sequence[Traceable]) -> Iterator[Spans]:
        """One span per record that carries a trace; they end with the context."""
        tracer = self._tracer
        if tracer is None:
            yield {}
            return
        spans = {
            RecordPosition.of(record): self._taken(tracer, record, parent, len(records))
            for record in records
            if (parent := dict(record.headers).get(PARENT))
        }
        try:
            yield spans
        finally:
            for span in spans.values():
                span.end()

    @contextmanager
    def within(self, events: Sequence[tuple[Event, Span | None]]) -> Iterator[None]:
        """Let events published in this context continue the traces of these events."""
        if self._tracer is None:
            yield
            return
        causes: dict[Subject, list[Span]] = {}
        # Latest first: an event that needs several inputs follows from the last one.
        for event, span in reversed(events):
            if span is not None and not isinstance(event, ShortlistPublished):
                for subject in subjects_of(event):
                    causes.setdefault(subject, []).append(span)
        first = next((span for _, span in events if span is not None), None)
        token = _causes.set(causes)
        try:
            with trace.use_span(
                first or trace.INVALID_SPAN, record_exception=False, set_status_on_exception=False
            ):
                yield
        finally:
            _causes.reset(token)

    @contextmanager
    def sending(self, events: Sequence[Event]) -> Iterator[list[Headers]]:
        """The trace headers of these events; their spans end with the context, at acknowledgement.

        Outside of a batch and of a request, each frame starts a trace.
        """
        if self._tracer is None:
            yield [()] * len(events)
            return
        roots: dict[str, Span] = {}
        if _causes.get() is None and not trace.get_current_span().get_span_context().is_valid:
            roots = self._roots(self._tracer, events)
        spans = [self._sent(self._tracer, event, roots) for event in events]
        try:
            yield [_headers(span) for span in spans]
        except Exception as exc:
            for span in spans:
                _fail(span, type(exc).__name__)
            raise
        finally:
            for span in (*spans, *roots.values()):
                if span is not None:
                    span.end()

    def _taken(self, tracer: Tracer, record: Traceable, parent: bytes, count: int) -> Span:
        headers = {PARENT: parent.decode(errors="replace")}
        return tracer.start_span(
            f"process {record.topic}",
            context=_PROPAGATOR.extract(headers),
            kind=SpanKind.CONSUMER,
            attributes={
                "messaging.system": "kafka",
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.destination.name": record.topic,
                "messaging.destination.partition.id": str(record.partition),
                "messaging.kafka.offset": record.offset,
                "messaging.kafka.message.key": record.key.decode(errors="replace"),
                "messaging.consumer.group.name": group_of(self._service),
                "messaging.batch.message_count": count,
            },
        )

    def _roots(self, tracer: Tracer, events: Sequence[Event]) -> dict[str, Span]:
        frames = {frame_id for event in events if (frame_id := frame_of(event)) is not None}
        return {
            frame_id: tracer.start_span(
                "publish frame", context=Context(), attributes={"gazeloop.frame.id": frame_id}
            )
            for frame_id in frames
        }

    def _sent(self, tracer: Tracer, event: Event, roots: Mapping[str, Span]) -> Span | None:
        parent, others = _cause_of(event, roots)
        if parent is None or not parent.get_span_context().trace_flags.sampled:
            return None
        topic = topic_of(event).name
        return tracer.start_span(
            f"send {topic}",
            context=trace.set_span_in_context(parent, Context()),
            kind=SpanKind.PRODUCER,
            links=[Link(other.get_span_context()) for other in others],
            attributes={
                "messaging.system": "kafka",
                "messaging.operation.name": "send",
                "messaging.operation.type": "send",
                "messaging.destination.name": topic,
                "messaging.message.id": event.event_id,
                "messaging.kafka.message.key": event.key(),
                "gazeloop.frame.id": frame_of(event) or "",
            },
        )


OFF = ServiceTraces("", None)
"""Disabled traces."""


def describe(span: Span | None, event: Event) -> None:
    """Set a span's attributes to identify the event."""
    if span is not None:
        span.set_attribute("messaging.message.id", event.event_id)
        span.set_attribute("gazeloop.frame.id", frame_of(event) or "")


def give_up(span: Span | None, reason: str) -> None:
    """Mark a span's event as dead-lettered."""
    _fail(span, reason)


def note(name: str, **attributes: str | float) -> None:
    """Add an event to the current span, if there is one."""
    span = trace.get_current_span()
    if span.is_recording():
        span.add_event(name, attributes)


def ids_of(span: Span | None) -> dict[str, str]:
    """Log fields with the ids of the trace and the span; empty without a sampled span."""
    context = span.get_span_context() if span is not None else trace.INVALID_SPAN_CONTEXT
    if not context.trace_flags.sampled:
        return {}
    return {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
    }


def ids_in_hand() -> dict[str, str]:
    """Log fields with the ids of the current trace and span."""
    return ids_of(trace.get_current_span())


def carried() -> dict[str, str]:
    """HTTP headers for an outgoing request, so that its server can continue the current trace."""
    span = trace.get_current_span()
    if not span.get_span_context().trace_flags.sampled:
        return {}
    return {name: value.decode() for name, value in _headers(span)}


def _cause_of(event: Event, roots: Mapping[str, Span]) -> tuple[Span | None, list[Span]]:
    """The span that an event follows from, and spans of other traces that contributed to it."""
    causes = _causes.get()
    if causes is None:
        if roots:
            return roots.get(frame_of(event) or ""), []
        return trace.get_current_span(), []
    found = [span for subject in subjects_of(event) for span in causes.get(subject, ())]
    if not found:
        return None, []
    others = {item.get_span_context().trace_id: item for item in reversed(found)}
    others.pop(found[0].get_span_context().trace_id)
    return found[0], list(others.values())[:_MAX_LINKS]


def _headers(span: Span | None) -> Headers:
    if span is None:
        return ()
    headers: dict[str, str] = {}
    _PROPAGATOR.inject(headers, trace.set_span_in_context(span, Context()))
    return tuple((name, value.encode()) for name, value in headers.items())


def _fail(span: Span | None, error_type: str) -> None:
    if span is not None:
        span.set_attribute("error.type", error_type)
        span.set_status(StatusCode.ERROR)
