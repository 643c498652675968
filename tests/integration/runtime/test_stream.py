"""Records that were delivered and not acknowledged are delivered again after a seek."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from faust.types import StreamT

from services.contracts.topics import FRAMES
from services.runtime.exits import exit_now
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.librdkafka_producer import connect_librdkafka
from services.runtime.kafka.outbox import KafkaOutbox
from services.runtime.kafka.stream import BatchLimits, StreamApp, batches
from services.runtime.settings import Settings
from tests import samples
from tests.deadline import until


@asynccontextmanager
async def _running(
    broker: BrokerAddress, delivered: Counter[bytes | None]
) -> AsyncIterator[StreamApp]:
    """An app that counts what is delivered, and acknowledges none of it."""
    app = StreamApp(
        "gazeloop.stream-tester",
        broker=broker.faust_url,
        loop=asyncio.get_running_loop(),
        set_as_current=False,
        logging_config=None,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        broker_session_timeout=4,  # the in-memory broker waits as long for members
        broker_heartbeat_interval=1,
        consumer_auto_offset_reset="earliest",
        stream_wait_empty=False,
        max_buffer_bytes=1_000_000,
        exit_process=exit_now,
    )

    async def consume(stream: StreamT[bytes]) -> None:
        async for events in batches(stream, BatchLimits(10, 1_000_000, within_s=0.01)):
            delivered.update(event.message.value for event in events)

    source = app.topic(FRAMES.name, key_serializer="raw", value_serializer="raw")
    app.agent(source, concurrency=1)(consume)
    app.finalize()
    await app.start()
    try:
        yield app
    finally:
        app.ending = True
        await app.stop()


def _unread(delivered: Counter[bytes | None]) -> Counter[bytes]:
    """Those of this test."""
    return Counter({value: n for value, n in delivered.items() if value and b"unread-" in value})


async def test_a_group_that_committed_nothing_reads_again_from_the_beginning(
    broker: BrokerAddress,
) -> None:
    delivered: Counter[bytes | None] = Counter()
    outbox = KafkaOutbox("stream-tester", broker, Settings(), connect=connect_librdkafka)
    await outbox.publish([samples.frame_captured(f"unread-{number}") for number in range(9)])
    await outbox.close()
    async with _running(broker, delivered) as app:
        await until(lambda: len(_unread(delivered)) == 9)
        once = _unread(delivered)
        # As Faust does when records arrive while partitions move: it drops them, and seeks.
        await app.consumer.perform_seek()
        app.consumer.resume_flow()
        await until(lambda: all(_unread(delivered)[value] > times for value, times in once.items()))
