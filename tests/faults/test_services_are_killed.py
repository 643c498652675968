"""The whole pipeline, while each of its processes is killed, and Kafka and MongoDB with them.

Embedder and retriever share one process, because the Qdrant inside it has one owner; the others run
as in production, one process each.
"""

import asyncio
import random
import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest

from services.app.subscriptions import SUBSCRIPTIONS
from services.contracts import identity
from services.contracts.events import NeedleFound, NeedleRetracted, ShortlistPublished
from services.contracts.flow import group_of
from services.contracts.identity import FrameId, NeedleId, PointId
from services.contracts.topics import (
    FRAMES,
    GROUND_TRUTH,
    MATCHES,
    NEEDLES,
    PREDICTIONS,
    REANNOTATION_TOPIC,
)
from services.domain.ports.needles import NeedleRecord
from services.domain.ports.vectors import FRAME_VECTORS as COLLECTION_FRAMES
from services.domain.ports.vectors import REGION_VECTORS as COLLECTION_REGIONS
from services.domain.ports.vectors import collection_of
from services.domain.shortlists.epochs import WINDOW
from services.runtime.clock import SystemClock
from services.runtime.embedded.child import steady_port
from services.runtime.embedded.kafka import EmbeddedKafka
from services.runtime.embedded.mongod import Mongod
from services.runtime.http.tokens import issue
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.dead_letters import read_dead_letters
from services.runtime.kafka.delivery import OutgoingRecord
from services.runtime.kafka.lag import LagReader
from services.runtime.kafka.outbox import KafkaOutbox
from services.runtime.kafka.topic_admin import broker_identity, create_topics
from services.runtime.settings import Settings
from services.runtime.stores.opening import Stores, open_stores
from services.runtime.stores.vectors_open import open_vector_store
from tests.deadline import until
from tests.deploy.checking import TOOLS
from tests.faults.survey import Fact, Publisher, facts, reference_frames
from tests.faults.victims import Victim
from tests.reading import events_on

SEED = 20261121
KILLS_PER_PROCESS = 5
SURVEY_FRAMES = 150
PAUSE_S = 0.05
PROGRESS_DEADLINE_S = 12.0
EPOCH_S = 0.5
POISON = (b"", b"\x00\xff", b"{}", b'{"type": "FrameCaptured"}')
POISONED = (FRAMES, PREDICTIONS, GROUND_TRUTH, MATCHES, NEEDLES)
RUN = ("-m", "services.cli.main", "run")
COMMANDS = {
    "ingest": [*RUN, "ingest"],
    "fp_miner": [*RUN, "fp_miner"],
    "evaluator": [*RUN, "evaluator"],
    "embedder": [str(Path(__file__).parent / "embedding.py")],
}


@dataclass
class Chaos:
    """The parts, the processes that are killed, and what watches them."""

    settings: Settings
    kafka: EmbeddedKafka
    mongod: Mongod
    victims: dict[str, Victim]
    ports: dict[str, int]
    lag: LagReader

    @property
    def broker(self) -> BrokerAddress:
        return BrokerAddress.parse(self.settings.kafka)

    def committed(self, service: str) -> int:
        """How much a service has committed; it only grows while the service gets work done."""
        group = group_of(service)
        positions = self.lag.positions({group: SUBSCRIPTIONS[group]})[group]
        return sum(position.committed for position in positions.values())

    def metrics(self, name: str) -> str:
        """What a process exports; nothing while it starts again after a kill."""
        try:
            return httpx.get(f"http://127.0.0.1:{self.ports[name]}/metrics").text
        except httpx.TransportError:
            return ""

    def evaluated_frames(self) -> int:
        """How many frames are behind the evaluator's figures of all frames."""
        found = re.search(
            r'^gazeloop_evaluated_frames\{.*subset="all"\} (\S+)',
            self.metrics("evaluator"),
            re.MULTILINE,
        )
        return int(float(found[1])) if found else 0

    def all_export(self) -> bool:
        """Whether every process is there again and has used a store."""
        timed = "gazeloop_store_operation_duration_seconds_count{"
        return all(timed in self.metrics(name) for name in COMMANDS)

    def faults_in_metrics(self) -> dict[str, str]:
        """What promtool says of each process's own metrics; nothing where it is not there."""
        promtool, faults = TOOLS / "promtool", {}
        for name in COMMANDS if promtool.exists() else ():
            checked = subprocess.run(
                [str(promtool), "check", "metrics"],
                input=self.metrics(name),
                capture_output=True,
                text=True,
                check=False,
            )
            faults[name] = checked.stdout + checked.stderr
        return {name: text for name, text in faults.items() if text}

    async def kill_all(
        self, rng: random.Random, survey: Sequence[Fact], publisher: Publisher
    ) -> None:
        """Kill every process, in a random order, each time after it has got something done.

        In between, the broker and the metadata store are killed once each. A share of the survey is
        published around each kill, so that all of them meet work.
        """
        deck = [name for name in self.victims for _ in range(KILLS_PER_PROCESS)]
        rng.shuffle(deck)
        for number, name in enumerate(deck):
            share = survey[number :: len(deck)]
            publishing = asyncio.create_task(publisher.publish(share, pause_s=PAUSE_S))
            if number == len(deck) // 3:
                await asyncio.to_thread(self._restart_broker)
            if number == 2 * len(deck) // 3:
                await asyncio.to_thread(self._restart_store)
            await self._until_it_grows(
                (lambda: publisher.acknowledged)
                if name == "ingest"
                else partial(self.committed, name)
            )
            await asyncio.sleep(rng.random())
            await asyncio.to_thread(self.victims[name].kill)
            await publishing

    def _restart_broker(self) -> None:
        self.kafka.kill()
        self.kafka.restart()

    def _restart_store(self) -> None:
        self.mongod.kill()
        self.mongod.restart()

    async def _until_it_grows(self, progress: Callable[[], int]) -> None:
        before = await asyncio.to_thread(progress)
        try:
            await until(lambda: progress() > before, deadline_s=PROGRESS_DEADLINE_S)
        except AssertionError:
            return  # killed before it did anything: also worth a kill


@pytest.fixture
def chaos(tmp_path: Path) -> Iterator[Chaos]:
    ports = {name: steady_port(tmp_path, name) for name in COMMANDS} | {
        "http": steady_port(tmp_path, "http")
    }
    with ExitStack() as parts:
        kafka = parts.enter_context(EmbeddedKafka(tmp_path / "kafka"))
        mongod = parts.enter_context(Mongod(tmp_path / "mongodb"))
        settings = Settings(
            data=tmp_path / "data",
            kafka=kafka.bootstrap,
            mongodb=mongod.url,
            blobs=(tmp_path / "blobs").as_uri(),
            http_port=ports["http"],
            topic_partitions=4,
            batch_size=16,
            epoch_s=EPOCH_S,
            event_version=2,  # version 1 of a shortlist lacks its epoch
            session_timeout_s=2,
            reference_share=0.3,
            split_by="frame",
            rate_limit="100000/minute",
            embedder="gazeloop-small",
            torch_threads=1,
        )
        create_topics(BrokerAddress.parse(settings.kafka), settings)
        victims = {
            name: parts.enter_context(_victim(name, settings, ports[name], tmp_path))
            for name in COMMANDS
        }
        lag = parts.enter_context(LagReader(BrokerAddress.parse(settings.kafka), settings))
        yield Chaos(settings, kafka, mongod, victims, ports, lag)


def _victim(name: str, settings: Settings, port: int, folder: Path) -> Victim:
    given = settings.model_dump(mode="json", exclude_unset=True) | {"metrics_port": port}
    environment = {f"GAZELOOP_{key.upper()}": str(value) for key, value in given.items()}
    return Victim(COMMANDS[name], folder / f"{name}.log", environment)


@pytest.fixture
async def stores(chaos: Chaos) -> AsyncIterator[Stores]:
    identity = await asyncio.to_thread(broker_identity, chaos.broker, chaos.settings)
    async with open_stores(chaos.settings, identity) as stores:
        yield stores


@pytest.mark.usefixtures("collected_sockets")
async def test_killing_every_process_loses_nothing_and_shows_nothing_twice(
    chaos: Chaos, stores: Stores
) -> None:
    survey = facts(SURVEY_FRAMES, SEED)
    publisher = await _publisher(chaos, stores)
    await _publish_poison(chaos)
    await chaos.kill_all(random.Random(SEED), survey, publisher)
    await until(lambda: chaos.lag.caught_up(SUBSCRIPTIONS), deadline_s=120)

    assert publisher.acknowledged == len(survey)
    assert [victim.exits for victim in chaos.victims.values()] == [[]] * len(COMMANDS)
    assert await _lost(survey, stores) == []
    assert await _matches(stores) == Counter({fact.frame_id: 1 for fact in survey})
    needles = [needle async for needle in stores.needles.scan() if needle.active]
    assert _frames_of(needles) == Counter(reference_frames(survey, chaos.settings))
    assert await asyncio.to_thread(_published_needles, chaos) == {n.needle_id for n in needles}
    await _all_shortlists_are_published(chaos, stores)
    assert await asyncio.to_thread(_dead_letters, chaos) == _expected_dead_letters()
    await until(lambda: chaos.evaluated_frames() == SURVEY_FRAMES, deadline_s=20)
    await until(chaos.all_export, deadline_s=60)
    assert await asyncio.to_thread(chaos.faults_in_metrics) == {}

    assert await asyncio.to_thread(chaos.victims["embedder"].terminate) == 0
    assert await _missing_vectors(survey, stores, chaos.settings) == []


async def _publisher(chaos: Chaos, stores: Stores) -> Publisher:
    tokens = []
    for scope in ("vehicle:v1", "annotation"):
        token, record = issue(scope, SystemClock().now())
        await stores.tokens.add(record)
        tokens.append(token)
    return Publisher(f"http://127.0.0.1:{chaos.ports['http']}", *tokens)


async def _publish_poison(chaos: Chaos) -> None:
    outbox = KafkaOutbox("chaos", chaos.broker, chaos.settings)
    await outbox.publish_records(
        [
            OutgoingRecord(topic.name, b"poison", value, str(number))
            for topic in POISONED
            for number, value in enumerate(POISON)
        ]
    )
    await outbox.close()


async def _lost(survey: list[Fact], stores: Stores) -> list[str]:
    """The frames of which a part that was acknowledged is not stored."""
    ids = {FrameId(fact.frame_id) for fact in survey}
    records = await stores.frames.load(ids)
    embedded = await stores.embeddings.load(ids)
    return sorted(
        frame_id
        for frame_id in ids
        if (record := records.get(frame_id)) is None
        or record.captured is None
        or record.ground_truth is None
        or not record.predictions
        or not embedded[frame_id].embedded
    )


async def _matches(stores: Stores) -> Counter[str]:
    return Counter([match.frame_id async for match in stores.matches.scan()])


def _frames_of(needles: list[NeedleRecord]) -> Counter[str]:
    return Counter(n.needle.frame_id for n in needles if isinstance(n.needle, NeedleFound))


def _published_needles(chaos: Chaos) -> set[NeedleId]:
    """The needles that a reader of the topic takes for active."""
    latest: dict[NeedleId, NeedleFound | NeedleRetracted] = {}
    for _, event in events_on(chaos.broker, NEEDLES.name):
        assert isinstance(event, NeedleFound | NeedleRetracted)
        if event.needle_id not in latest or event.revision >= latest[event.needle_id].revision:
            latest[event.needle_id] = event
    return {needle_id for needle_id, event in latest.items() if isinstance(event, NeedleFound)}


def _published_shortlists(chaos: Chaos) -> dict[NeedleId, ShortlistPublished]:
    """What a reader of the topic shows to annotators."""
    latest: dict[NeedleId, ShortlistPublished] = {}
    for _, event in events_on(chaos.broker, REANNOTATION_TOPIC.name):
        assert isinstance(event, ShortlistPublished)
        if event.needle_id not in latest or event.revision >= latest[event.needle_id].revision:
            latest[event.needle_id] = event
    return latest


async def _all_shortlists_are_published(chaos: Chaos, stores: Stores) -> None:
    """Wait until an epoch has listed frames, and all that is stored is published."""
    async with asyncio.timeout(PROGRESS_DEADLINE_S + 2 * WINDOW * EPOCH_S):
        while True:
            needles = [needle async for needle in stores.needles.scan() if needle.active]
            stored = _stored_shortlists(needles)
            published = await asyncio.to_thread(_published_shortlists, chaos)
            epochs = await stores.epochs.latest()
            settled = epochs and all(epoch.settled for epoch in epochs.values())
            if settled and stored and stored == published:
                return
            await asyncio.sleep(PAUSE_S)


def _stored_shortlists(needles: list[NeedleRecord]) -> dict[NeedleId, ShortlistPublished]:
    stored = {needle.needle_id: needle.shortlist for needle in needles if needle.shortlist}
    for shortlist in stored.values():
        frames = [candidate.frame_id for candidate in shortlist.candidates]
        assert len(set(frames)) == len(frames)
    return stored


def _dead_letters(chaos: Chaos) -> Counter[tuple[str, str | None, bytes]]:
    return Counter(
        (letter.service, letter.original_topic, letter.original_value)
        for letter in read_dead_letters(chaos.broker, chaos.settings)
    )


def _expected_dead_letters() -> Counter[tuple[str, str | None, bytes]]:
    return Counter(
        (group.removeprefix("gazeloop."), topic.name, value)
        for group, topics in SUBSCRIPTIONS.items()
        for topic in POISONED
        if topic.name in topics
        for value in POISON
    )


async def _missing_vectors(survey: list[Fact], stores: Stores, settings: Settings) -> list[PointId]:
    """The vectors that were announced and are not there."""
    records = await stores.embeddings.load({FrameId(fact.frame_id) for fact in survey})
    announced: dict[str, set[PointId]] = defaultdict(set)
    for event in (embedded for record in records.values() for embedded in record.embedded.values()):
        announced[collection_of(COLLECTION_FRAMES, event.model)].add(event.frame_point)
        announced[collection_of(COLLECTION_REGIONS, event.model)] |= {
            identity.region_point_id(event.model, region)
            for regions in event.regions.values()
            for region in regions
        }
    assert sum(map(len, announced.values())) >= 3 * SURVEY_FRAMES
    vectors = open_vector_store(settings)
    try:
        return [
            point
            for collection, points in announced.items()
            for point in points - (await vectors.load(collection, points)).keys()
        ]
    finally:
        await vectors.close()
