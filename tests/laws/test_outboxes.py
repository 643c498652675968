import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from itertools import count
from typing import Protocol

import pytest

from services.contracts.erasures import FrameErased, MatchesErased
from services.contracts.errors import InvalidRecord, Transient
from services.contracts.events import Event, FrameAnnotated, FrameCaptured
from services.contracts.topics import topic_of
from services.runtime.kafka.admin_connection import connect_admin
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.delivery import Connect, OutgoingRecord
from services.runtime.kafka.kafka_python_producer import connect_kafka_python
from services.runtime.kafka.librdkafka_producer import connect_librdkafka
from services.runtime.kafka.limits import MAX_EVENT_BYTES
from services.runtime.kafka.outbox import KafkaOutbox
from services.runtime.kafka.partitions import partition_of
from services.runtime.settings import Settings
from services.runtime.step import Outbox
from tests import samples
from tests.fakes.outbox import InMemoryOutbox
from tests.reading import events_on, records_on

_numbers = count()


class Published(Protocol):
    def __call__(self, like: Event) -> list[Event]: ...


class Bench:
    def __init__(self, outbox: Outbox, published: Published) -> None:
        self.outbox = outbox
        self._published = published

    def published(self, like: Event) -> list[Event]:
        """What is out of the like's type and frame."""
        return self._published(like)


def _same_frame(like: Event) -> Callable[[Event], bool]:
    return lambda event: type(event) is type(like) and event.key() == like.key()


PRODUCERS = (connect_kafka_python, connect_librdkafka)
REAL = [(broker, connect) for broker in ("kafka", "memory_broker") for connect in PRODUCERS]


def _named(part: object) -> str:
    """An id that is the same in every process, as two workers must collect the same tests."""
    if isinstance(part, tuple):
        broker, connect = part
        return f"{broker}-{connect.__name__}"
    return str(part)


@pytest.fixture(params=["fake", *REAL], ids=_named)
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    if request.param == "fake":
        fake = InMemoryOutbox()
        yield Bench(fake, lambda like: list(filter(_same_frame(like), fake.published)))
        return
    name, connect = request.param
    broker = request.getfixturevalue(name)
    outbox = KafkaOutbox("laws", broker, Settings(delivery_timeout_s=240), connect=connect)

    def published(like: Event) -> list[Event]:
        found = [event for _, event in events_on(broker, topic_of(like).name)]
        return list(filter(_same_frame(like), found))

    yield Bench(outbox, published)
    await outbox.close()


def frame() -> FrameCaptured:
    return samples.frame_captured(f"outbox-{next(_numbers)}")


def annotated(size: int) -> FrameAnnotated:
    """A ground truth whose JSON has at least this size."""
    one = samples.annotation()
    return samples.frame_annotated(
        *[one] * (size // len(one.model_dump_json(exclude_none=True))),
        frame_id=f"outbox-{next(_numbers)}",
    )


async def test_what_publish_returned_for_is_there(bench: Bench) -> None:
    first, second = frame(), frame()
    await bench.outbox.publish([first, second])
    assert bench.published(first) == [first]
    assert bench.published(second) == [second]


async def test_events_of_one_key_keep_their_order(bench: Bench) -> None:
    name = frame().frame_id
    revisions = [samples.frame_annotated(frame_id=name, revision=n) for n in range(1, 30)]
    await bench.outbox.publish(revisions)
    assert bench.published(revisions[0]) == revisions


async def test_publishing_nothing_is_fine(bench: Bench) -> None:
    await bench.outbox.publish([])


async def test_an_event_beyond_kafkas_default_limit_goes_through(bench: Bench) -> None:
    large = annotated(3 * 1024 * 1024 // 2)  # a partition in memory holds 5 MiB
    await bench.outbox.publish([large])
    assert bench.published(large) == [large]


async def test_an_event_beyond_the_limit_is_invalid_and_takes_none_with_it(bench: Bench) -> None:
    small = frame()
    with pytest.raises(InvalidRecord) as refused:
        await bench.outbox.publish([small, annotated(MAX_EVENT_BYTES + 2)])
    assert refused.value.reason == "event_too_large"
    assert bench.published(small) == []
    await bench.outbox.publish([small])
    assert bench.published(small) == [small]


@pytest.mark.parametrize("connect", PRODUCERS)
async def test_an_event_goes_to_the_partition_that_it_names(
    kafka: BrokerAddress, connect: Connect
) -> None:
    matches = [samples.frame_matched(frame().frame_id, category=f"c{n}") for n in range(20)]
    outbox = KafkaOutbox("laws", kafka, Settings(), connect=connect)
    await outbox.publish(matches)
    await outbox.close()
    where = {event.event_id: number for number, event in events_on(kafka, "gaze.matches")}
    assert [where[match.event_id] for match in matches] == [
        partition_of(match, Settings().topic_partitions) for match in matches
    ]


@pytest.mark.parametrize("connect", PRODUCERS)
async def test_an_erasure_is_with_its_frame_and_in_every_partition_of_its_matches(
    kafka: BrokerAddress, connect: Connect
) -> None:
    name = frame().frame_id
    erased = FrameErased.of(name, reason="request 17", requested_by="ada")
    facts = {"frame_hash": erased.frame_hash, "reason": "request 17", "requested_by": "ada"}
    outbox = KafkaOutbox("laws", kafka, Settings(), connect=connect)
    await outbox.publish([erased, MatchesErased.model_validate(facts)])
    await outbox.close()
    of_frames = [
        number for number, event in events_on(kafka, "gaze.frames") if event.key() == erased.key()
    ]
    assert of_frames == [partition_of(samples.frame_captured(name), Settings().topic_partitions)]
    of_matches = [
        number for number, event in events_on(kafka, "gaze.matches") if event.key() == erased.key()
    ]
    assert sorted(of_matches) == list(range(Settings().topic_partitions))


@pytest.mark.parametrize("connect", PRODUCERS)
async def test_headers_come_with_their_record(kafka: BrokerAddress, connect: Connect) -> None:
    outbox = KafkaOutbox("laws", kafka, Settings(), connect=connect)
    event = frame()
    name = event.frame_id
    headers = (("traceparent", b"00-1"), ("gazeloop-replay", b"r"))
    await outbox.publish_records(OutgoingRecord.of(event, 2, headers=headers))
    await outbox.close()
    (found,) = [
        record for record in records_on(kafka, "gaze.frames") if record.key == name.encode()
    ]
    assert tuple(found.headers) == headers


@pytest.mark.parametrize("connect", PRODUCERS)
async def test_many_publishers_at_once_each_wait_for_their_own(
    kafka: BrokerAddress, connect: Connect
) -> None:
    outbox = KafkaOutbox("laws", kafka, Settings(), connect=connect)
    events = [frame() for _ in range(200)]
    await asyncio.gather(*(outbox.publish([event]) for event in events))
    await outbox.close()
    there = {record.key.decode() for record in records_on(kafka, "gaze.frames")}
    assert {event.frame_id for event in events} <= there


@pytest.mark.parametrize("connect", PRODUCERS)
async def test_a_broker_that_is_away_is_waited_for_no_longer_than_a_delivery_may_take(
    connect: Connect,
) -> None:
    nowhere = BrokerAddress.parse("127.0.0.1:1")
    outbox = KafkaOutbox("laws", nowhere, Settings(delivery_timeout_s=1), connect=connect)
    with pytest.raises(Transient):
        await outbox.publish([frame()])
    await outbox.close()


@pytest.mark.parametrize("connect", PRODUCERS)
async def test_a_topic_that_is_missing_is_not_created(
    kafka: BrokerAddress, connect: Connect
) -> None:
    outbox = KafkaOutbox("laws", kafka, Settings(delivery_timeout_s=2), connect=connect)
    with pytest.raises(Transient):
        await outbox.publish_records([OutgoingRecord("gaze.nowhere", b"k", b"v", "k")])
    await outbox.close()
    with closing(connect_admin(kafka, Settings())) as admin:
        assert "gaze.nowhere" not in admin.list_topics()
