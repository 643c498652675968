import pytest
from prometheus_client import REGISTRY, Histogram
from prometheus_client.metrics import MetricWrapperBase

from services.contracts.codec import encode
from services.contracts.errors import MissingImage
from services.contracts.topics import FRAMES, topic_of
from services.runtime.kafka.records import Record
from services.runtime.kafka.runner import Runner
from services.runtime.observability import detector_metrics, metrics
from services.runtime.observability.bounded_labels import BoundedLabel
from services.runtime.settings import Settings
from services.runtime.step import Step
from services.runtime.stores.timed import TimedBlobs, TimedVectors
from tests.fakes.blobs import InMemoryBlobs
from tests.fakes.clock import FakeClock
from tests.fakes.outbox import InMemoryOutbox
from tests.fakes.vectors import InMemoryVectors
from tests.samples import frame_captured

DECLARED = {
    name: var
    for name, var in (vars(metrics) | vars(detector_metrics)).items()
    if isinstance(var, MetricWrapperBase)
}
UNITS = ("seconds", "bytes", "events", "frames", "regions", "records", "total")
ENUMERATED = {
    "budget",
    "collection",
    "draw",
    "kind",
    "state",
    "verdict",
    "service",
    "stage",
    "topic",
    "partition",
    "reason",
    "way",
    "work",
    "route",
    "status",
    "model",
    "split",
    "error_type",
    "subset",
    "store",
    "operation",
    "window",
    "bound",
    "change",
    "figure",
    "measure",
    "outcome",
    "why",
    "receiver",  # as many as the settings name
}
BOUNDED = {
    "category",
    "detector",
    "family",
    "other",
    "slice",  # the 30 that are ranked worst
    "vehicle",
}


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize("name", DECLARED)
def test_a_metric_says_what_it_is_and_carries_our_prefix(name: str) -> None:
    metric = DECLARED[name]
    described = next(iter(metric.describe()))
    assert described.name.startswith("gazeloop_")
    assert described.documentation.rstrip().endswith(".")


@pytest.mark.parametrize("name", DECLARED)
def test_no_label_of_a_metric_grows_without_end(name: str) -> None:
    assert set(DECLARED[name]._labelnames) <= ENUMERATED | BOUNDED


@pytest.mark.parametrize("name", [n for n, m in DECLARED.items() if isinstance(m, Histogram)])
def test_a_histogram_names_its_unit(name: str) -> None:
    described = next(iter(DECLARED[name].describe()))
    assert described.name.endswith(UNITS)


def test_a_counter_is_exported_with_the_suffix_total() -> None:
    metrics.EVENTS_DUPLICATED.labels("any").inc(0)
    exported = {sample.name for family in REGISTRY.collect() for sample in family.samples}
    assert "gazeloop_events_duplicated_total" in exported
    assert not [name for name in exported if name.endswith("_created")]


def test_the_values_beyond_a_labels_limit_share_one_name() -> None:
    bounded = BoundedLabel(2)
    assert [bounded(name) for name in ("a", "b", "c", "a", "d")] == [
        "a",
        "b",
        "other",
        "a",
        "other",
    ]


class Nothing:
    async def run(self, events: object) -> None:
        """Do nothing."""


async def test_the_age_of_an_event_is_counted_from_the_brokers_clock() -> None:
    clock = FakeClock()
    step: Step = Nothing()
    runner = Runner("aged", step, InMemoryOutbox(), Settings(), clock)
    frame = frame_captured()
    taken_at = clock.now().timestamp()
    clock.advance(3)
    record = Record(topic_of(frame).name, 0, 0, b"k", encode(frame), taken_at)
    await runner.process([record])
    labels = {"service": "aged", "topic": FRAMES.name}
    assert value("gazeloop_event_age_seconds_sum", **labels) == pytest.approx(3)
    assert value("gazeloop_event_age_seconds_count", **labels) == 1


async def test_an_event_that_a_faster_clock_stamped_has_no_negative_age() -> None:
    clock = FakeClock()
    runner = Runner("early", Nothing(), InMemoryOutbox(), Settings(), clock)
    frame = frame_captured()
    taken_at = clock.now().timestamp() + 60
    await runner.process(
        [Record(FRAMES.name, 0, 0, b"k", encode(frame), taken_at)],
    )
    labels = {"service": "early", "topic": FRAMES.name}
    assert value("gazeloop_event_age_seconds_sum", **labels) == 0


def test_a_failing_blob_store_is_counted_and_its_error_goes_on() -> None:
    labels = {"store": "blobs", "operation": "get"}
    failures = value("gazeloop_store_failures_total", **labels)
    asked = value("gazeloop_store_operation_duration_seconds_count", **labels)
    blobs = TimedBlobs(InMemoryBlobs())
    with pytest.raises(MissingImage):
        blobs.get("nowhere")
    assert value("gazeloop_store_failures_total", **labels) == failures + 1
    assert value("gazeloop_store_operation_duration_seconds_count", **labels) == asked + 1


async def test_a_vector_store_answers_through_the_stopwatch_as_without() -> None:
    labels = {"store": "vectors", "operation": "load"}
    asked = value("gazeloop_store_operation_duration_seconds_count", **labels)
    vectors = TimedVectors(InMemoryVectors())
    assert await vectors.load("nothing", []) == {}
    assert value("gazeloop_store_operation_duration_seconds_count", **labels) == asked + 1
