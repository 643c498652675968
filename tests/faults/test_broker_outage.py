"""Kafka or MongoDB is away for several timeouts, under load: nobody ends, nothing is lost."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from services.contracts.errors import Transient
from services.contracts.flow import group_of
from services.contracts.identity import FrameId
from services.contracts.topics import FRAMES, GROUND_TRUTH, PREDICTIONS
from services.runtime.clock import SystemClock
from services.runtime.embedded.kafka import EmbeddedKafka
from services.runtime.embedded.mongod import Mongod
from services.runtime.embedded.ports import steady_port
from services.runtime.http.tokens import issue
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.lag import LagReader
from services.runtime.kafka.outbox import KafkaOutbox
from services.runtime.kafka.topic_admin import create_topics
from services.runtime.settings import Settings
from services.runtime.stores.frames_mongo import MongoFrameStore
from services.runtime.stores.mongo import connect
from services.runtime.stores.tokens_mongo import MongoTokenStore
from tests import samples
from tests.deadline import until
from tests.faults.victims import Victim
from tests.reading import events_on

pytestmark = pytest.mark.usefixtures("collected_sockets")

TIMEOUT_S = 3.0
"""Delivery timeout of all clients here; an outage lasts several of them, as 30 s and more do."""
PATIENCE_S = 300.0
"""For what is to succeed, however busy the machine is."""
REFUSED = 60
"""So many refused requests, sixteen at a time, take several delivery timeouts."""
AT_ONCE = 16
STALL_LIMIT_S = 10.0
SERVICES = ("ingest", "fp_miner")
DATABASE = "gazeloop"


@dataclass
class Load:
    """Clients that send frames' predictions and ground truth, each again until it is accepted."""

    url: str
    vehicle: str
    annotator: str
    statuses: Counter[int] = field(default_factory=Counter)
    without_retry_after: int = 0
    accepted: set[str] = field(default_factory=set)
    ending: bool = False

    async def run(self, client: int) -> None:
        async with httpx.AsyncClient(base_url=self.url, timeout=PATIENCE_S) as http:
            number = 0
            while not self.ending:
                frame_id = f"v1:{client}-{number}"
                box = {"category": "stop sign", "bbox": [4, 4, 20, 20]}
                prediction: dict[str, object] = {
                    "frame_id": frame_id,
                    "detector": "ods",
                    "version": "1",
                    "detections": [box | {"score": 1}],
                }
                await self._send(http, "/v1/predictions", prediction)
                await self._send(
                    http, "/v1/ground-truth", {"frame_id": frame_id, "annotations": [box]}
                )
                self.accepted.add(frame_id)
                number += 1

    async def _send(self, http: httpx.AsyncClient, path: str, body: dict[str, object]) -> None:
        token = self.annotator if path == "/v1/ground-truth" else self.vehicle
        while True:
            answer = await http.post(path, json=body, headers={"Authorization": f"Bearer {token}"})
            self.statuses[answer.status_code] += 1
            if answer.status_code == 202:
                return
            self.without_retry_after += "retry-after" not in answer.headers
            await asyncio.sleep(0.05)  # as a client does that was told to come back


@dataclass
class Bench:
    kafka: EmbeddedKafka
    mongod: Mongod
    settings: Settings
    ports: dict[str, int]
    victims: dict[str, Victim]
    folder: Path

    @property
    def broker(self) -> BrokerAddress:
        return BrokerAddress.parse(self.kafka.bootstrap)

    def health(self, name: str, path: str = "healthz") -> dict[str, str]:
        """Why a service is not fit for work; nothing where it is."""
        try:
            answer = httpx.get(f"http://127.0.0.1:{self.ports[name]}/{path}")
        except httpx.TransportError:
            return {"process": "does not answer"}
        reasons: dict[str, str] = answer.json()["reasons"]
        assert answer.is_success == (not reasons)
        return reasons

    def retries(self) -> int:
        """How often fp_miner has tried a batch again."""
        return (self.folder / "fp_miner.log").read_text().count('"batch_retried"')

    def exits(self) -> dict[str, list[int]]:
        for victim in self.victims.values():
            victim.tend()
        return {name: victim.exits for name, victim in self.victims.items()}

    def committed(self) -> int:
        """How much fp_miner has done."""
        group = group_of("fp_miner")
        with LagReader(self.broker, self.settings) as lag:
            at = lag.positions({group: [PREDICTIONS.name]})[group].values()
        return sum(position.committed for position in at)

    def caught_up(self) -> bool:
        with LagReader(self.broker, self.settings) as lag:
            read = [FRAMES.name, PREDICTIONS.name, GROUND_TRUTH.name]
            return lag.caught_up({group_of("fp_miner"): read})


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("outage")
    with ExitStack() as parts:
        kafka = parts.enter_context(EmbeddedKafka(folder / "kafka"))
        mongod = parts.enter_context(Mongod(folder / "mongodb"))
        settings = Settings(
            data=folder / "data",
            kafka=kafka.bootstrap,
            mongodb=mongod.url,
            blobs=(folder / "blobs").as_uri(),
            http_port=steady_port(folder, "http"),
            stall_limit_s=STALL_LIMIT_S,
            topic_partitions=2,
            delivery_timeout_s=TIMEOUT_S,
            retry_wait_max_s=1,
            session_timeout_s=2,
            rate_limit="100000/minute",
            reference_share=0.5,
            split_by="frame",
        )
        create_topics(BrokerAddress.parse(kafka.bootstrap), settings)
        given = settings.model_dump(mode="json", exclude_unset=True)
        environment = {f"GAZELOOP_{name.upper()}": str(value) for name, value in given.items()}
        ports = {name: steady_port(folder, name) for name in SERVICES}
        victims = {
            name: parts.enter_context(
                Victim(
                    ["-m", "services.cli.main", "run", name],
                    folder / f"{name}.log",
                    environment | {"GAZELOOP_METRICS_PORT": str(ports[name])},
                )
            )
            for name in SERVICES
        }
        yield Bench(kafka, mongod, settings, ports, victims, folder)


@pytest.fixture
async def load(bench: Bench) -> AsyncIterator[Load]:
    database = connect(bench.settings.mongodb, DATABASE)
    tokens = {}
    for scope in ("vehicle:v1", "annotation"):
        tokens[scope], record = issue(scope, SystemClock().now())
        await MongoTokenStore(database).add(record)
    await database.client.close()
    url = f"http://127.0.0.1:{bench.settings.http_port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/healthz").is_success
        except httpx.TransportError:
            return False

    await until(answers)
    load = Load(url, tokens["vehicle:v1"], tokens["annotation"])
    clients = [asyncio.create_task(load.run(number)) for number in range(AT_ONCE)]
    yield load
    load.ending = True
    await asyncio.gather(*clients)


@pytest.fixture(params=["killed", "stopped"])
def outage(request: pytest.FixtureRequest, bench: Bench) -> tuple[Callable[[], None], ...]:
    """Take the broker away, and bring it back."""
    if request.param == "killed":
        return bench.kafka.kill, bench.kafka.restart
    (pid,) = bench.kafka.pids
    # It holds its connections and answers nothing, as behind a network that drops everything.
    return lambda: os.kill(pid, signal.SIGSTOP), lambda: os.kill(pid, signal.SIGCONT)


async def test_an_outage_of_several_delivery_timeouts_ends_nobody_and_loses_nothing(
    bench: Bench, load: Load, outage: tuple[Callable[[], None], ...]
) -> None:
    away, back = outage
    await until(lambda: len(load.accepted) > 2 * AT_ONCE and bench.committed() > 0)
    await asyncio.to_thread(away)
    try:
        await until(lambda: load.statuses[503] >= REFUSED, deadline_s=PATIENCE_S)
        assert bench.exits() == {"ingest": [], "fp_miner": []}
        await until(lambda: "kafka" in bench.health("ingest"))
        assert [bench.health(name, "livez") for name in SERVICES] == [{}, {}]
        await asyncio.to_thread(bench.victims["fp_miner"].kill)  # starts again, without a broker
        await until(lambda: load.statuses[503] >= 2 * REFUSED, deadline_s=PATIENCE_S)
    finally:
        await asyncio.to_thread(back)
    before = len(load.accepted)
    await until(lambda: len(load.accepted) > before + 2 * AT_ONCE)
    load.ending = True
    await until(bench.caught_up, deadline_s=PATIENCE_S)

    assert set(load.statuses) == {202, 503}
    assert load.without_retry_after == 0
    await until(lambda: [bench.health(name) for name in SERVICES] == [{}, {}])
    assert bench.exits() == {"ingest": [], "fp_miner": []}
    assert await _lost(bench, load.accepted) == set()


async def _lost(bench: Bench, frames: set[str]) -> set[str]:
    """The frames of which something that was accepted is not stored."""
    database = connect(bench.settings.mongodb, DATABASE)
    stored = await MongoFrameStore(database).load({FrameId(name) for name in frames})
    await database.client.close()
    return {
        name
        for name in frames
        if (record := stored.get(FrameId(name))) is None
        or record.ground_truth is None
        or not record.predictions
    }


async def test_a_mongodb_outage_of_several_stall_limits_restarts_nobody(bench: Bench) -> None:
    await until(lambda: [bench.health(name) for name in SERVICES] == [{}, {}])
    before = bench.retries()
    await asyncio.to_thread(bench.mongod.kill)
    patient = bench.settings.model_copy(update={"delivery_timeout_s": PATIENCE_S})
    outbox = KafkaOutbox("outage", bench.broker, patient)
    await outbox.publish([samples.frame_captured(f"unstored-{n}") for n in range(50)])
    await outbox.close()
    began = time.monotonic()
    await until(lambda: bench.retries() > before + 1)

    def two_limits_have_passed() -> bool:
        return time.monotonic() > began + 2.5 * STALL_LIMIT_S

    await until(two_limits_have_passed)
    waiting = "waiting: StoreUnavailable"
    await until(lambda: waiting in bench.health("fp_miner").get("fp_miner", ""))
    await until(lambda: "mongodb" in bench.health("ingest"))
    assert [bench.health(name, "livez") for name in SERVICES] == [{}, {}]
    await asyncio.to_thread(bench.mongod.restart)
    await until(lambda: [bench.health(name) for name in SERVICES] == [{}, {}])
    await until(bench.caught_up)
    assert bench.exits() == {"ingest": [], "fp_miner": []}


async def test_publishers_do_not_queue_behind_each_other_while_the_broker_is_away(
    bench: Bench,
) -> None:
    outbox = KafkaOutbox("outage", bench.broker, bench.settings)
    await _published(outbox, "before")
    (pid,) = bench.kafka.pids
    os.kill(pid, signal.SIGSTOP)
    try:
        for wave in range(3):
            events = [samples.frame_captured(f"wave-{wave}-{n}") for n in range(100)]
            async with asyncio.timeout(10 * TIMEOUT_S):  # eight at a time, it were 39 s
                answers = await asyncio.gather(
                    *(outbox.publish([event]) for event in events), return_exceptions=True
                )
            assert all(isinstance(answer, Transient) for answer in answers)
    finally:
        os.kill(pid, signal.SIGCONT)
    await _published(outbox, "after")
    await outbox.close()
    names = {event.key() for _, event in events_on(bench.broker, FRAMES.name)}
    assert {"before", "after"} <= names


async def _published(outbox: KafkaOutbox, name: str) -> None:
    """Publish a frame, again until it is there."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await outbox.publish([samples.frame_captured(name)])
            except Transient:
                await asyncio.sleep(0.05)
            else:
                return
