"""Exports spans to a collector over OTLP, under each service's own name."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from services.contracts.errors import InvalidSettings
from services.runtime.observability.traces import OFF, ServiceTraces
from services.runtime.settings import Settings

_TIMEOUT_S = 5.0  # limits how long an unreachable collector delays the end of a service


class Traces:
    """The traces of all services in this process.

    Parameters
    ----------
    processor : receives finished spans; None if traces are off
    share : share of frames and requests that start a trace
    """

    def __init__(self, processor: SpanProcessor | None, share: float) -> None:
        self._processor = processor
        self._sampler = ParentBased(TraceIdRatioBased(share))

    def of(self, service: str) -> ServiceTraces:
        """The traces of one service."""
        if self._processor is None:
            return OFF
        return ServiceTraces(service, self.provider(service).get_tracer("gazeloop"))

    def provider(self, service: str) -> trace.TracerProvider:
        """The tracer provider of a service, for libraries that create spans."""
        if self._processor is None:
            return trace.NoOpTracerProvider()
        name = f"gazeloop-{service.replace('_', '-')}"
        resource = Resource.create({"service.name": name, "service.namespace": "gazeloop"})
        provider = TracerProvider(self._sampler, resource, shutdown_on_exit=False)
        provider.add_span_processor(self._processor)
        return provider


@contextmanager
def exporting(settings: Settings) -> Iterator[Traces]:
    """Export traces to the collector in the settings while the context is open.

    Without that setting, traces are off. If the collector is down, spans are lost and nothing else.

    Raises
    ------
    InvalidSettings
        The setting is not a URL.
    """
    if not settings.traces:
        yield Traces(None, settings.trace_share)
        return
    address = urlsplit(settings.traces)
    if address.scheme not in {"http", "https"} or not address.hostname:
        detail = f"GAZELOOP_TRACES={settings.traces} is not like http://collector:4318/v1/traces"
        raise InvalidSettings(detail)
    processor = BatchSpanProcessor(OTLPSpanExporter(settings.traces, timeout=_TIMEOUT_S))
    try:
        yield Traces(processor, settings.trace_share)
    finally:
        processor.shutdown()  # type: ignore[no-untyped-call]  # the SDK does not type it
