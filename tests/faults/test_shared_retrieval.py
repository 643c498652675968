"""Two retrievers on Kafka and MongoDB, killed in turn: what they list follows from their epochs."""

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.contracts.codec import decode, encode
from services.contracts.events import Event
from services.contracts.flow import READS, group_of
from services.contracts.identity import NeedleId
from services.contracts.needles import ShortlistPublished
from services.contracts.topics import REANNOTATION_TOPIC
from services.domain.ports.vectors import Where
from services.domain.shortlists.epochs import Epoch
from services.runtime.consumed import consuming
from services.runtime.embedded.kafka import EmbeddedKafka
from services.runtime.embedded.mongod import Mongod
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.lag import LagReader
from services.runtime.kafka.outbox import KafkaOutbox
from services.runtime.kafka.records import Parsed, Record
from services.runtime.kafka.topic_admin import create_topics
from services.runtime.settings import Settings
from services.runtime.stores.opening import Stores
from tests import samples
from tests.deadline import until
from tests.fakes.vectors import InMemoryVectors
from tests.faults.retrieval_story import SETTINGS, drawn_story
from tests.faults.victims import Victim
from tests.reading import events_on, records_on

SEED, PROCESSES, CHUNKS = 3, 2, 5
GROUP = {group_of("retriever"): [topic.name for topic in READS["retriever"]]}
Place = tuple[str, int]
"""A topic and partition, and an offset."""


@dataclass
class Deployment:
    """A broker, a metadata store, and retrievers that are not started yet."""

    settings: Settings
    broker: BrokerAddress
    lag: LagReader
    folder: Path
    parts: ExitStack

    def start(self) -> Victim:
        """One more retriever."""
        given = self.settings.model_dump(mode="json", exclude_unset=True)
        environment = {f"GAZELOOP_{key.upper()}": str(value) for key, value in given.items()}
        script = str(Path(__file__).parent / "retrieving.py")
        victim = Victim([script, str(SEED)], self.folder / "retriever.log", environment)
        return self.parts.enter_context(victim)

    async def caught_up(self) -> None:
        """Wait until all is consumed."""
        await until(lambda: self.lag.caught_up(GROUP), deadline_s=300)


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    with ExitStack() as parts:
        kafka = parts.enter_context(EmbeddedKafka(tmp_path / "kafka"))
        mongod = parts.enter_context(Mongod(tmp_path / "mongodb"))
        settings = Settings(
            data=tmp_path / "data",
            kafka=kafka.bootstrap,
            mongodb=mongod.url,
            topic_partitions=4,
            event_version=2,
            session_timeout_s=2,
            **SETTINGS,  # type: ignore[arg-type]  # pydantic checks
        )
        broker = BrokerAddress.parse(settings.kafka)
        create_topics(broker, settings)
        lag = parts.enter_context(LagReader(broker, settings))
        yield Deployment(settings, broker, lag, tmp_path, parts)


@pytest.mark.usefixtures("collected_sockets")
async def test_killed_retrievers_that_share_the_work_list_what_one_does_in_the_same_epochs(
    deployment: Deployment, stores: Stores
) -> None:
    story, rng = await drawn_story(SEED), random.Random(SEED)
    outbox = KafkaOutbox("test", deployment.broker, deployment.settings)
    await outbox.publish(story.needles)
    victims = [deployment.start() for _ in range(PROCESSES)]
    await deployment.caught_up()
    for number in range(CHUNKS):
        await outbox.publish(story.others[number::CHUNKS])
        await asyncio.sleep(rng.random())
        await asyncio.to_thread(victims[number % PROCESSES].kill)
    await outbox.close()
    await deployment.caught_up()
    await _settled(stores)
    for victim in victims:
        assert victim.exits == []
        assert await asyncio.to_thread(victim.terminate) == 0

    recorded = await stores.epochs.of(samples.DETECTOR)
    listed = await asyncio.to_thread(_published, deployment.broker)
    assert listed
    assert (
        await _replayed(recorded, await asyncio.to_thread(_consumed, deployment.broker)) == listed
    )


async def _settled(stores: Stores) -> None:
    """Wait for the epoch without events, and for its shortlists to be published."""
    async with asyncio.timeout(300):
        while True:
            epochs = (await stores.epochs.latest()).values()
            records = [record async for record in stores.needles.scan()]
            if all(epoch.settled for epoch in epochs) and all(
                record.shortlist is None or record.shortlist.revision <= record.published_revision
                for record in records
            ):
                return
            await asyncio.sleep(0.1)


def _published(broker: BrokerAddress) -> dict[tuple[NeedleId, int], bytes]:
    """Each revision of each shortlist; one that came twice was the same both times."""
    events = [event for _, event in events_on(broker, REANNOTATION_TOPIC.name)]
    return _contents(event for event in events)


def _contents(events: "Iterator[Event] | Sequence[Event]") -> dict[tuple[NeedleId, int], bytes]:
    found: dict[tuple[NeedleId, int], bytes] = {}
    for event in events:
        assert isinstance(event, ShortlistPublished)
        content = encode(event)
        assert found.setdefault((event.needle_id, event.revision), content) == content
    return found


def _consumed(broker: BrokerAddress) -> dict[Place, Parsed]:
    """All events that retrievers consume, by their place."""
    return {
        (f"{record.topic}/{record.partition}", record.offset): Parsed(
            Record(record.topic, record.partition, record.offset, b"", b"", None, ()),
            None,
            decode(record.topic, record.value),
        )
        for topic in READS["retriever"]
        for record in records_on(broker, topic.name)
    }


class CountedVectors(InMemoryVectors):
    """Vectors of which a haystack's size is given, because an epoch records how large it was."""

    haystack = 0

    async def count(self, collection: str, where: Where) -> int:
        del collection, where
        return self.haystack


async def _replayed(
    recorded: Sequence[Epoch], events: Mapping[Place, Parsed]
) -> dict[tuple[NeedleId, int], bytes]:
    """What is listed where a process of its own closes each recorded epoch, from the beginning."""
    world, vectors = (await drawn_story(SEED)).world, CountedVectors()
    vars(vectors).update(vars(world.vectors))
    world.vectors, before = vectors, dict[str, int]()
    for epoch in recorded:
        vectors.haystack = epoch.sizes[-1].haystack
        batch = [
            parsed
            for (name, offset), parsed in sorted(events.items())
            if before.get(name, 0) <= offset < epoch.offsets.get(name, 0)
        ]
        step = world.retriever()
        if batch:
            with consuming(batch):
                await step.run([parsed.event for parsed in batch])
        else:
            assert await step.settle()
        assert (await world.epochs.of(samples.DETECTOR))[-1] == epoch
        before = dict(epoch.offsets)
    return _contents(world.outbox.published)
