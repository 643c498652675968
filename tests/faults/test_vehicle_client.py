"""A vehicle and ingest, each killed again and again: every frame arrives, in order.

`GAZELOOP_CLIENT_FRAMES` is how many it sends.
"""

import asyncio
import os
import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from services.contracts.events import FrameCaptured
from services.contracts.topics import FRAMES
from services.runtime.clock import SystemClock
from services.runtime.embedded.kafka import EmbeddedKafka
from services.runtime.embedded.mongod import Mongod
from services.runtime.embedded.ports import steady_port
from services.runtime.http.tokens import issue
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.topic_admin import create_topics
from services.runtime.settings import Settings
from services.runtime.stores.mongo import connect_as_set
from services.runtime.stores.tokens_mongo import MongoTokenStore
from tests.deadline import until
from tests.faults.victims import Victim
from tests.reading import count_on, events_on

SENT = int(os.environ.get("GAZELOOP_CLIENT_FRAMES", "200"))
KILLS = 2
SEED = 20261129
DEADLINE_S = 300.0 + SENT / 2


@dataclass
class Road:
    """A broker, a store and ingest."""

    settings: Settings
    ingest: Victim
    url: str

    def arrived(self) -> list[str]:
        """The frames' ids on the topic, without repetitions, in the order of their arrival."""
        events = events_on(BrokerAddress.parse(self.settings.kafka), FRAMES.name)
        frames = (event.frame_id for _, event in events if isinstance(event, FrameCaptured))
        return list(dict.fromkeys(frames))

    def has(self, count: int) -> bool:
        """Whether so many records have arrived, repetitions included."""
        return count_on(BrokerAddress.parse(self.settings.kafka), FRAMES.name) >= count


@pytest.fixture
def road(tmp_path: Path) -> Iterator[Road]:
    with ExitStack() as parts:
        kafka = parts.enter_context(EmbeddedKafka(tmp_path / "kafka"))
        mongod = parts.enter_context(Mongod(tmp_path / "mongodb"))
        settings = Settings(
            data=tmp_path / "data",
            kafka=kafka.bootstrap,
            mongodb=mongod.url,
            blobs=(tmp_path / "blobs").as_uri(),
            http_port=steady_port(tmp_path, "http"),
            metrics_port=steady_port(tmp_path, "metrics"),
            topic_partitions=1,
            rate_limit="100000/minute",
        )
        create_topics(BrokerAddress.parse(kafka.bootstrap), settings)
        given = settings.model_dump(mode="json", exclude_unset=True)
        environment = {f"GAZELOOP_{name.upper()}": str(value) for name, value in given.items()}
        command = ["-m", "services.cli.main", "run", "ingest"]
        ingest = parts.enter_context(Victim(command, tmp_path / "ingest.log", environment))
        yield Road(settings, ingest, f"http://127.0.0.1:{settings.http_port}")


@pytest.mark.timeout(300 + (KILLS + 1) * int(DEADLINE_S))
@pytest.mark.usefixtures("collected_sockets")
async def test_no_frame_of_a_vehicle_is_lost(road: Road, tmp_path: Path) -> None:
    token, record = issue("vehicle:v1", SystemClock().now())
    database = connect_as_set(road.settings)
    await MongoTokenStore(database).add(record)
    await database.client.close()
    chance = random.Random(SEED)
    sender = str(Path(__file__).parent / "sender.py")
    command = [sender, road.url, token, str(tmp_path / "spool"), str(SENT)]
    with Victim(command, tmp_path / "vehicle.log") as vehicle:
        for share in range(1, KILLS + 1):
            some = SENT * share // (KILLS + 2)
            await until(partial(road.has, some), deadline_s=DEADLINE_S)
            for victim in chance.sample([vehicle, road.ingest], 2):
                await asyncio.to_thread(victim.kill)
        assert await asyncio.to_thread(vehicle.wait, DEADLINE_S) == 0
    assert road.arrived() == [f"v1:{number}" for number in range(SENT)]
    assert not list((tmp_path / "spool" / "refused").glob("*"))
