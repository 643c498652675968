"""The cluster that the bridge reads from, where it is not Gazeloop's own."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from services.contracts.events import Event
from services.contracts.flow import BRIDGE
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.dead_letters import RecordOutbox
from services.runtime.kafka.delivery import OutgoingRecord
from services.runtime.kafka.outbox import KafkaOutbox
from services.runtime.settings import Settings


class RoutedOutbox:
    """Publishes records of the bridge's topic to its cluster, and all else to Gazeloop's."""

    def __init__(self, outbox: RecordOutbox, source: RecordOutbox, topic: str) -> None:
        self._own = outbox
        self._source = source
        self._topic = topic

    async def publish(self, events: Sequence[Event]) -> None:
        await self._own.publish(events)

    async def publish_records(self, records: Sequence[OutgoingRecord]) -> None:
        foreign = [record for record in records if record.topic == self._topic]
        if foreign:
            await self._source.publish_records(foreign)
        await self._own.publish_records([item for item in records if item.topic != self._topic])


@asynccontextmanager
async def replaying_outbox(outbox: RecordOutbox, settings: Settings) -> AsyncIterator[RecordOutbox]:
    """The outbox for replays, with a connection to the bridge's cluster if it has its own."""
    if not settings.bridge_kafka:
        yield outbox
        return
    source = KafkaOutbox(BRIDGE, BrokerAddress.of_bridge(settings), settings)
    try:
        yield RoutedOutbox(outbox, source, settings.bridge_topic)
    finally:
        await source.close()
