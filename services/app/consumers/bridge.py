"""Build the bridge, which reads a detector's topic."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.app.consumers.building import BuiltService, Parts
from services.app.undoing.journals import daily_journal
from services.contracts.flow import BRIDGE
from services.domain.ports.imports import ImportKind
from services.ground_truth.publishing import RevisionPublisher
from services.ingest.bridge.configuration import BridgeConfiguration, bridge_of
from services.ingest.bridge.messages import MessageDecoder
from services.ingest.bridge.pairing import Pairing, PairingById, PairingByTime
from services.ingest.bridge.service import PublishDetections
from services.ingest.templates import Template
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.stores.captures_mongo import MongoCaptures


@asynccontextmanager
async def build(parts: Parts) -> AsyncIterator[BuiltService]:
    """Build it.

    Raises
    ------
    InvalidSettings
        It is wrongly configured.
    StoreUnavailable
        MongoDB does not answer.
    """
    settings = parts.settings
    configuration = bridge_of(settings)
    pairing = await _pairing(configuration, parts)
    topic = configuration.topic
    journal = daily_journal(parts.stores, ImportKind.BRIDGE, topic.name, parts.clock, BRIDGE)
    async with parts.connected(BRIDGE) as client:
        step = PublishDetections(
            configuration,
            pairing,
            publisher=RevisionPublisher(parts.stores.ledger, client.outbox, BRIDGE, journal),
            frames=parts.stores.frames,
            settings=settings,
            clock=parts.clock,
        )
        decoder = MessageDecoder(settings.max_detections_per_frame)
        broker = BrokerAddress.of_bridge(settings)
        yield BuiltService([client.consumer([topic], step, decoder=decoder, broker=broker)])


async def _pairing(configuration: BridgeConfiguration, parts: Parts) -> Pairing:
    by = configuration.paired_by
    if isinstance(by, Template):
        return PairingById(by)
    captures = MongoCaptures(parts.stores.database)
    await captures.prepare()
    return PairingByTime(by.vehicle, by.time, parts.settings.bridge_tolerance_s, captures)
