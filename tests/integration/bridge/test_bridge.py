"""A detector's topic on a cluster of its own, read across a stop: nothing is lost or renumbered."""

import json
from collections.abc import Callable
from contextlib import closing
from typing import NoReturn
from uuid import uuid4

from kafka import KafkaProducer

from services.app.bridge_source import replaying_outbox
from services.app.consumers.bridge import build
from services.app.consumers.building import Parts
from services.app.status import read_status
from services.contracts.dead_letters import DeadLettered
from services.contracts.events import PredictionsMade
from services.contracts.flow import BRIDGE, group_of
from services.contracts.topics import DEAD_LETTERS, PREDICTIONS, Topic
from services.domain.dead_letters import Letter
from services.runtime.clock import SystemClock
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.dead_letters import read_letters, replay
from services.runtime.kafka.outbox import KafkaOutbox
from services.runtime.kafka.topic_admin import create_topics
from services.runtime.observability.trace_export import Traces
from services.runtime.settings import Settings
from services.runtime.stores.opening import Stores, open_stores
from tests.deadline import until
from tests.reading import events_on

MESSAGES = 300
POISON = (
    (b"\x00\x00\x00\x00\x01avro", "unsupported_encoding"),
    (b"\x01\x00\x00\x00\x01{}", "invalid_json"),
    (b"\x9c\x00\xff" * 999, "invalid_json"),
    (b'{"id": 1, "sensorId": "s", "obj', "invalid_json"),
    (b'{"id": NaN, "sensorId": "s", "objects": []}', "unpaired"),
    (b'{"id": {}, "sensorId": "s", "objects": []}', "unpaired"),
    (b"[" + b"0," * 400_000 + b"0]", "too_many_values"),
    (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "invalid_json"),
    (b'{"specversion": "1.0", "type": "t"}', "malformed_record"),
    (b"", "invalid_json"),
)
"""Messages that cannot be read, and why."""


def poison(number: int) -> tuple[bytes, str]:
    """What stands in place of this message."""
    return POISON[number // 10 % len(POISON)]


class Detector:
    """Writes to a topic of its own; every tenth message cannot be read."""

    def __init__(self, kafka: BrokerAddress, source: BrokerAddress, mongodb_url: str) -> None:
        self.kafka = kafka
        self.source = source
        self.name = f"detector-{uuid4().hex[:8]}"
        self.settings = Settings(
            kafka=",".join(kafka.servers),
            mongodb=mongodb_url,
            mongodb_database=self.name,
            batch_size=16,
            topic_partitions=2,
            bridge_kafka=str(source),
            bridge_topic=self.name,
            bridge_format="deepstream",
            bridge_detector="signs@4.2",
            bridge_frame_id=f"{self.name}:{{id}}",
        )
        create_topics(source, self.settings, [Topic(self.name, ())])

    def publish(self, numbers: range) -> None:
        with closing(KafkaProducer(**self.source.client_options)) as producer:
            for number in numbers:
                message = {"id": number, "sensorId": "s", "objects": ["1|1|2|3|4|sign|#|0.5"]}
                good = json.dumps(message).encode()
                value = good if number % 10 else poison(number)[0]
                producer.send(self.name, value, key=str(number).encode())
            producer.flush()

    def made(self) -> list[PredictionsMade]:
        return [
            event
            for _, event in events_on(self.kafka, PREDICTIONS.name)
            if isinstance(event, PredictionsMade) and event.frame_id.startswith(self.name)
        ]

    def dead(self) -> set[tuple[bytes, str]]:
        return {
            (event.original_key, event.reason)
            for _, event in events_on(self.kafka, DEAD_LETTERS.name)
            if isinstance(event, DeadLettered) and event.original_topic == self.name
        }


def no_vectors() -> NoReturn:
    raise AssertionError("the bridge needs no vectors")


async def run_until(condition: Callable[[], bool], detector: Detector, stores: Stores) -> None:
    """Run the bridge until something is so; then it stops, with messages left to read."""
    parts = Parts(stores, detector.settings, SystemClock(), Traces(None, 1.0), no_vectors)
    async with build(parts) as built:
        (service,) = built.consumers
        await service.start()
        try:
            await until(condition)
        finally:
            await service.stop()


async def replay_the_dead(detector: Detector, stores: Stores) -> None:
    """They go back to the topic on its own cluster, and fail there again."""

    def of_detector() -> list[Letter]:
        return [
            letter
            for letter in read_letters(detector.kafka, detector.settings)
            if letter.latest.original_topic == detector.name
        ]

    own = KafkaOutbox("tester", detector.kafka, detector.settings)
    async with replaying_outbox(own, detector.settings) as outbox:
        await replay(of_detector()[:1], outbox, SystemClock().now())
    await own.close()

    def is_back() -> bool:
        return any(letter.latest.replay is not None for letter in of_detector())

    await run_until(is_back, detector, stores)


async def test_every_message_is_published_or_dead_across_a_stop(
    kafka: BrokerAddress, memory_broker: BrokerAddress, mongodb_url: str
) -> None:
    detector = Detector(kafka, memory_broker, mongodb_url)
    detector.publish(range(MESSAGES))
    async with open_stores(detector.settings, "the broker") as stores:
        await run_until(lambda: bool(detector.made()), detector, stores)
        detector.publish(range(MESSAGES, 2 * MESSAGES))
        numbers = range(2 * MESSAGES)
        wanted = {f"{detector.name}:{number}" for number in numbers if number % 10}
        dead = {(str(number).encode(), poison(number)[1]) for number in numbers[::10]}

        def is_all_there() -> bool:
            return {made.frame_id for made in detector.made()} == wanted and detector.dead() == dead

        await run_until(is_all_there, detector, stores)
        assert {made.revision for made in detector.made()} == {1}
        status = await read_status(detector.settings)
        assert status.lag[group_of(BRIDGE), detector.name] == 0
        await replay_the_dead(detector, stores)
        await stores.database.client.drop_database(detector.name)
