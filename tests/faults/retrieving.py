"""A retriever in a process of its own, to be killed: it shares broker and metadata with others.

Usage: retrieving.py SEED. Frames, matches and vectors are those of the story of this seed.
"""

import asyncio
import sys

from services.app.repeating import repeated
from services.contracts.flow import READS
from services.retriever.service import PublishShortlists
from services.retriever.sources import RetrieverStores
from services.runtime.clock import SystemClock
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.consumer import ConsumingService
from services.runtime.kafka.librdkafka_producer import connect_librdkafka
from services.runtime.kafka.outbox import KafkaOutbox
from services.runtime.kafka.topic_admin import broker_identity
from services.runtime.observability.logs import configure_logs
from services.runtime.serving import serving, until_signalled
from services.runtime.settings_reading import load_settings
from services.runtime.stores.opening import open_stores
from tests.faults.retrieval_story import drawn_story


async def main(seed: str) -> None:
    settings, clock = load_settings(metrics_port=0), SystemClock()
    broker, story = BrokerAddress.of(settings), await drawn_story(int(seed))
    identity = await asyncio.to_thread(broker_identity, broker, settings)
    async with open_stores(settings, identity) as stores:
        outbox = KafkaOutbox("retriever", broker, settings, connect=connect_librdkafka)
        step = PublishShortlists(
            RetrieverStores(
                frames=story.world.frames,
                matches=story.world.matches,
                vectors=story.world.vectors,
                needles=stores.needles,
                epochs=stores.epochs,
                models=stores.failure_models,
                openings=stores.openings,
                known_places=stores.known_places,
                budgets=stores.budgets,
            ),
            outbox=outbox,
            settings=settings,
            clock=clock,
        )
        service = ConsumingService(
            "retriever",
            READS["retriever"],
            step,
            outbox=outbox,
            broker=broker,
            settings=settings,
            clock=clock,
        )
        settling = repeated(
            "settle_shortlists", step.settle_when_due, clock, every_s=settings.epoch_s / 4
        )
        async with settling, serving([service], settings):
            await until_signalled()


if __name__ == "__main__":
    configure_logs()
    asyncio.run(main(*sys.argv[1:]))
