"""The faults of docs/reliability.md: what is done to a deployment while a survey is published."""

import asyncio
import os
import random
import signal
from collections.abc import Callable, Coroutine, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.structs import TopicPartition

from services.app.subscriptions import SUBSCRIPTIONS
from services.contracts.flow import group_of
from services.contracts.topics import FRAMES, GROUND_TRUTH, PREDICTIONS, TOPICS
from services.runtime.kafka.delivery import OutgoingRecord
from services.runtime.kafka.outbox import KafkaOutbox
from services.runtime.kafka.topic_admin import alter_topics
from services.runtime.stores.opening import Stores
from tests.deadline import until
from tests.disks import Disk
from tests.faults.deployment import CONSUMERS, Deployment
from tests.faults.proxies import Proxies, Proxy, Weather
from tests.faults.replica_set import ReplicaSet
from tests.faults.survey import Fact, Publisher, facts
from tests.reading import records_on

INPUTS = (FRAMES, PREDICTIONS, GROUND_TRUTH)
_CHUNK = 10
_PAUSE_S = 0.05


@dataclass
class Stage:
    """A deployment, and the ways to hurt it.

    Attributes
    ----------
    blobs : the way to the bucket
    vectors : the way to the Qdrant server that GAZELOOP_TEST_QDRANT names, if any
    disks : small file systems, by what stands on each; none where nothing can be mounted
    published : what all rows have published
    """

    deployment: Deployment
    mongodb: ReplicaSet
    proxies: Proxies
    blobs: Proxy
    vectors: Proxy | None
    disks: dict[str, Disk]
    published: list[Fact] = field(default_factory=list)


@dataclass
class Scene:
    """One row: a fault while a survey is published."""

    stage: Stage
    stores: Stores
    publisher: Publisher
    survey: list[Fact] = field(default_factory=list)

    @property
    def deployment(self) -> Deployment:
        return self.stage.deployment

    @property
    def frames(self) -> set[str]:
        """The frames that this row has published."""
        return {fact.frame_id for fact in self.survey}

    async def publish(self) -> None:
        """Publish ten further frames."""
        await self.publisher.publish(self.further(), pause_s=_PAUSE_S)

    def further(self) -> list[Fact]:
        """Ten further frames, whose publication is to be promised."""
        first = len(self.stage.published) // 3
        chunk = facts(_CHUNK, first, first=first)
        self.stage.published += chunk
        self.survey += chunk
        return chunk

    async def admin(self, act: Callable[[KafkaAdminClient], object]) -> None:
        """Ask the broker as its administrator."""

        def ask() -> None:
            with closing(KafkaAdminClient(**self.deployment.broker.client_options)) as admin:
                act(admin)

        await asyncio.to_thread(ask)


Fault = Callable[[Scene], Coroutine[None, None, None]]


async def all_stages_killed(scene: Scene) -> None:
    rng = random.Random(1)
    for victim in 2 * list(scene.deployment.victims.values()):
        await asyncio.sleep(rng.uniform(1, 4))
        await asyncio.to_thread(victim.kill)


async def all_stages_suspended_for_65_s(scene: Scene) -> None:
    victims = [scene.deployment.victims[name] for name in CONSUMERS]
    await asyncio.gather(*(asyncio.to_thread(victim.suspend, 65.0) for victim in victims))


async def rebalance_storm(scene: Scene) -> None:
    log = scene.deployment.folder / "fp_miner-further.log"

    def joined(times: int) -> bool:
        return log.read_text().count('"service_started"') >= times

    for number in range(1, 6):
        with scene.deployment.start("fp_miner") as further:
            await until(partial(joined, number))
            assert await asyncio.to_thread(further.terminate) == 0


async def partitions_added(scene: Scene) -> None:
    more = scene.deployment.settings.model_copy(update={"topic_partitions": 6})
    altered = await asyncio.to_thread(alter_topics, scene.deployment.broker, more)
    assert len(altered.altered) >= len(TOPICS)
    await scene.publish()


async def partition_leader_killed(scene: Scene) -> None:
    leaders: list[int] = []

    def ask(admin: KafkaAdminClient) -> None:
        (topic,) = admin.describe_topics([FRAMES.name])
        leaders.append(topic["partitions"][0]["leader_id"])

    await scene.admin(ask)
    await asyncio.to_thread(scene.deployment.kafka.kill, leaders[0])
    await asyncio.sleep(15)
    await asyncio.to_thread(scene.deployment.kafka.restart, leaders[0])


async def _broker_away(scene: Scene, seconds: float) -> None:
    for number in (1, 2, 3):
        await asyncio.to_thread(scene.deployment.kafka.kill, number)
    await asyncio.sleep(seconds)
    await _start_all_nodes(scene)


async def _start_all_nodes(scene: Scene) -> None:
    kafka = scene.deployment.kafka
    # None answers before the others are there to elect a controller.
    await asyncio.gather(*(asyncio.to_thread(kafka.restart, number) for number in (1, 2, 3)))


async def broker_away_for_60_s(scene: Scene) -> None:
    await _broker_away(scene, 60)


async def broker_away_for_5_min(scene: Scene) -> None:
    await _broker_away(scene, 300)


async def broker_node_stalled(scene: Scene) -> None:
    pid = scene.deployment.kafka.pids[0]
    os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(30)
    os.kill(pid, signal.SIGCONT)


async def too_few_replicas_in_sync(scene: Scene) -> None:
    async def want(replicas: int) -> None:
        wanted = {"min.insync.replicas": str(replicas)}
        resources = [
            ConfigResource(ConfigResourceType.TOPIC, topic.name, configs=wanted) for topic in TOPICS
        ]
        await scene.admin(lambda admin: admin.alter_configs(resources, incremental=True))

    await want(3)
    await asyncio.to_thread(scene.deployment.kafka.kill, 3)
    await asyncio.sleep(30)
    await asyncio.to_thread(scene.deployment.kafka.restart, 3)
    await want(2)


async def mongodb_primary_killed(scene: Scene) -> None:
    number = scene.stage.mongodb.primary()
    assert number is not None
    member = scene.stage.mongodb.members[number]
    await asyncio.to_thread(member.kill)
    await until(lambda: scene.stage.mongodb.primary() is not None)
    await asyncio.sleep(5)
    await asyncio.to_thread(member.restart)


async def mongodb_primary_stepped_down(scene: Scene) -> None:
    for _ in range(2):
        await asyncio.to_thread(scene.stage.mongodb.step_down)
        await until(lambda: scene.stage.mongodb.primary() is not None)


async def mongodb_primary_partitioned(scene: Scene) -> None:
    number = scene.stage.mongodb.primary()
    assert number is not None
    scene.stage.mongodb.proxies[number].weather = Weather(stalled=True)
    await asyncio.sleep(30)
    scene.stage.proxies.clear()


async def _under(scene: Scene, weather: Weather, proxies: Sequence[Proxy], seconds: float) -> None:
    for proxy in proxies:
        proxy.weather = weather
    await asyncio.sleep(seconds)
    scene.stage.proxies.clear()


async def store_slower_by_2_s(scene: Scene) -> None:
    await _under(scene, Weather(delay_s=2.0), scene.stage.mongodb.proxies, 40)


async def replies_of_the_store_cut(scene: Scene) -> None:
    await _under(scene, Weather(cut=0.05), scene.stage.mongodb.proxies, 20)


async def connections_to_the_store_stalled(scene: Scene) -> None:
    await _under(scene, Weather(stalled=True), scene.stage.mongodb.proxies, 40)


async def connections_to_the_store_reset(scene: Scene) -> None:
    for _ in range(15):
        scene.stage.proxies.reset(*scene.stage.mongodb.proxies)
        await asyncio.sleep(1)


async def blob_store_slower_by_2_s(scene: Scene) -> None:
    await _under(scene, Weather(delay_s=2.0), [scene.stage.blobs], 30)


async def blob_store_away(scene: Scene) -> None:
    scene.stage.proxies.reset(scene.stage.blobs)
    await _under(scene, Weather(refused=True), [scene.stage.blobs], 30)


async def blob_store_full(scene: Scene) -> None:
    answer = b"HTTP/1.1 507 Insufficient Storage\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    await _under(scene, Weather(answer=answer), [scene.stage.blobs], 20)


async def vectors_slower_by_2_s(scene: Scene) -> None:
    assert scene.stage.vectors
    await _under(scene, Weather(delay_s=2.0), [scene.stage.vectors], 30)


async def vectors_away_for_60_s(scene: Scene) -> None:
    assert scene.stage.vectors
    scene.stage.proxies.reset(scene.stage.vectors)
    await _under(scene, Weather(refused=True), [scene.stage.vectors], 60)


async def connections_to_the_vectors_stalled(scene: Scene) -> None:
    assert scene.stage.vectors
    await _under(scene, Weather(stalled=True), [scene.stage.vectors], 40)


async def _filled(scene: Scene, disk: str, seconds: float) -> None:
    folder = scene.stage.disks[disk].path
    ballast, there = folder / "ballast", os.statvfs(folder)
    size = there.f_bavail * there.f_frsize
    with ballast.open("wb") as file:
        while not _allocated(file.fileno(), size):
            size -= 1 << 20  # who is on the disk goes on writing
    await asyncio.sleep(seconds)
    ballast.unlink()


def _allocated(file: int, size: int) -> bool:
    try:
        os.posix_fallocate(file, 0, size)
    except OSError:
        return False
    return True


async def disk_of_a_broker_node_full(scene: Scene) -> None:
    await _filled(scene, "kafka", 20)
    kafka = scene.deployment.kafka
    await asyncio.to_thread(kafka.kill, 3)  # unless it has ended, as a node does that cannot write
    await asyncio.to_thread(kafka.restart, 3)


async def disk_of_the_mongodb_primary_full(scene: Scene) -> None:
    await _member_with_a_disk_elected(scene)
    await _filled(scene, "mongodb", 20)
    member = scene.stage.mongodb.members[2]
    await asyncio.to_thread(member.kill)
    await asyncio.to_thread(member.restart)


async def _member_with_a_disk_elected(scene: Scene) -> None:
    while scene.stage.mongodb.primary() != 2:
        await asyncio.to_thread(scene.stage.mongodb.step_down)
        await until(lambda: scene.stage.mongodb.primary() is not None)


async def disk_of_the_vectors_full(scene: Scene) -> None:
    await _filled(scene, "vectors", 20)


def _mounted_again(disk: Disk) -> None:
    disk.unmount()
    disk.mount()


async def power_of_a_broker_node_lost(scene: Scene) -> None:
    disk, kafka = scene.stage.disks["kafka"], scene.deployment.kafka
    disk.cut_power()
    await asyncio.to_thread(kafka.kill, 3)
    await asyncio.to_thread(_mounted_again, disk)
    await asyncio.sleep(15)
    await asyncio.to_thread(kafka.restart, 3)


async def power_of_the_mongodb_primary_lost(scene: Scene) -> None:
    await _member_with_a_disk_elected(scene)
    disk, member = scene.stage.disks["mongodb"], scene.stage.mongodb.members[2]
    disk.cut_power()
    await asyncio.to_thread(member.kill)
    await asyncio.to_thread(_mounted_again, disk)
    await asyncio.sleep(5)
    await asyncio.to_thread(member.restart)


async def power_of_the_vectors_lost(scene: Scene) -> None:
    """Three times, since what is not on the disk changes from second to second."""
    disk, embedder = scene.stage.disks["vectors"], scene.deployment.victims["embedder"]
    for _ in range(3):
        await asyncio.sleep(10)
        disk.cut_power()
        await asyncio.to_thread(embedder.kill, partial(_mounted_again, disk))


async def clock_an_hour_ahead(scene: Scene) -> None:
    await _with_clock(scene, 3600)


async def clock_an_hour_behind(scene: Scene) -> None:
    await _with_clock(scene, -3600)


async def _with_clock(scene: Scene, seconds: float) -> None:
    # Services read it with every look at the time: their clocks jump there, and back.
    clock = scene.deployment.folder / "clock"
    clock.write_text(str(seconds))
    await asyncio.sleep(20)
    clock.write_text("0")
    await asyncio.sleep(5)


async def clocks_of_mongodb_an_hour_ahead(scene: Scene) -> None:
    await _with_clocks_of_mongodb(scene, 3600)


async def clocks_of_mongodb_an_hour_behind(scene: Scene) -> None:
    await _with_clocks_of_mongodb(scene, -3600)


async def _with_clocks_of_mongodb(scene: Scene, seconds: int) -> None:
    mongodb = scene.stage.mongodb
    await asyncio.to_thread(partial(mongodb.restart, with_own_clocks=True))
    mongodb.set_clocks(seconds)
    await asyncio.sleep(20)
    mongodb.set_clocks(0)
    await asyncio.sleep(5)
    await asyncio.to_thread(partial(mongodb.restart, with_own_clocks=False))


async def everything_three_times_shuffled(scene: Scene) -> None:
    ids = {fact.frame_id.encode() for fact in scene.survey}
    found: list[OutgoingRecord] = []
    for topic in INPUTS:
        records = await asyncio.to_thread(records_on, scene.deployment.broker, topic.name)
        found += [
            OutgoingRecord(topic.name, record.key, record.value, f"{record.offset}")
            for record in records
            if record.key in ids
        ]
    again = 3 * found
    random.Random(2).shuffle(again)
    await _send(scene, again)


async def _send(scene: Scene, records: Sequence[OutgoingRecord]) -> None:
    outbox = KafkaOutbox("faults", scene.deployment.broker, scene.deployment.settings)
    await outbox.publish_records(records)
    await outbox.close()


async def truth_late(scene: Scene) -> None:
    chunk = scene.further()
    early = [fact for fact in chunk if fact.path != "/v1/ground-truth"]
    await scene.publisher.publish(early, pause_s=0)
    await until(scene.deployment.caught_up, deadline_s=300)
    late = [fact for fact in chunk if fact not in early]
    await scene.publisher.publish(late, pause_s=0)


async def poison_on_all_topics(scene: Scene) -> None:
    poison = (b"", b"\x00\xff", b"{}", b'{"type": "FrameCaptured"}', b"[" * 10_000)
    topics = [topic for topic in TOPICS if topic.name != "gaze.dead-letters"]
    values = [
        OutgoingRecord(topic.name, b"poison", value, "0") for topic in topics for value in poison
    ]
    await _send(scene, values)


async def unreadable_documents(scene: Scene) -> None:
    document = {"captured": b"\x00\xff", "matched": 7, "needle": b"{"}
    for collection in ("frames", "predictions", "matches", "needles", "shortlists", "embeddings"):
        name = f"v1:unreadable-{collection}"
        await scene.stores.database[collection].insert_one({"_id": name, **document})
    for name in CONSUMERS:
        await asyncio.to_thread(scene.deployment.victims[name].kill)


async def _reset(scene: Scene, offset: OffsetSpec) -> None:
    """Stop all consumers, set what their groups have committed, and start them."""
    victims = [scene.deployment.victims[name] for name in CONSUMERS]
    for victim in victims:
        assert await asyncio.to_thread(victim.terminate) == 0
    if offset is OffsetSpec.LATEST:
        await scene.publish()  # what is skipped
    for group, topics in SUBSCRIPTIONS.items():

        def act(
            admin: KafkaAdminClient, group: str = group, topics: Sequence[str] = topics
        ) -> None:
            wanted = {
                TopicPartition(topic["name"], item["partition_index"]): offset
                for topic in admin.describe_topics(list(topics))
                for item in topic["partitions"]
            }
            admin.reset_group_offsets(group, wanted)

        await scene.admin(act)
    for victim in victims:
        victim.start()


async def offsets_reset_to_the_beginning(scene: Scene) -> None:
    await _reset(scene, OffsetSpec.EARLIEST)


async def offsets_reset_to_the_end(scene: Scene) -> None:
    """What is skipped comes once the offsets are reset to the beginning, which costs time only."""
    await _reset(scene, OffsetSpec.LATEST)
    await until(scene.deployment.caught_up, deadline_s=300)
    await _reset(scene, OffsetSpec.EARLIEST)


async def retention_overtook_a_service(scene: Scene) -> None:
    """What was deleted unread is counted by the doctor, and comes again where it is sent again."""
    victim, lag = scene.deployment.victims["fp_miner"], scene.deployment.lag
    assert await asyncio.to_thread(victim.terminate) == 0
    await scene.publish()

    def delete(admin: KafkaAdminClient) -> None:
        (topic,) = admin.describe_topics([PREDICTIONS.name])
        numbers = [item["partition_index"] for item in topic["partitions"]]
        admin.delete_records({TopicPartition(PREDICTIONS.name, number): -1 for number in numbers})

    await scene.admin(delete)
    group = group_of("fp_miner")
    expired = await asyncio.to_thread(lag.expired, {group: [PREDICTIONS.name]})
    assert sum(expired[group].values()) > 0
    victim.start()
    await scene.publisher.publish(list(scene.survey), pause_s=0)


async def two_owners_of_one_folder(scene: Scene) -> None:
    with scene.deployment.start("embedder", GAZELOOP_START_WAIT_S="5") as second:
        assert await asyncio.to_thread(second.wait, 120) != 0


async def everything_killed_at_once(scene: Scene) -> None:
    victims, kafka = scene.deployment.victims.values(), scene.deployment.kafka
    for number in (1, 2, 3):
        kafka.kill(number)
    for member in scene.stage.mongodb.members:
        member.kill()
    for victim in victims:
        victim.kill()
    for member in scene.stage.mongodb.members:
        await asyncio.to_thread(member.restart)
    await _start_all_nodes(scene)


ROWS: Sequence[Fault] = (
    all_stages_killed,
    all_stages_suspended_for_65_s,
    rebalance_storm,
    partition_leader_killed,
    broker_node_stalled,
    broker_away_for_60_s,
    too_few_replicas_in_sync,
    mongodb_primary_killed,
    mongodb_primary_stepped_down,
    mongodb_primary_partitioned,
    store_slower_by_2_s,
    replies_of_the_store_cut,
    connections_to_the_store_stalled,
    connections_to_the_store_reset,
    blob_store_slower_by_2_s,
    blob_store_away,
    blob_store_full,
    vectors_slower_by_2_s,
    vectors_away_for_60_s,
    connections_to_the_vectors_stalled,
    disk_of_a_broker_node_full,
    disk_of_the_mongodb_primary_full,
    disk_of_the_vectors_full,
    power_of_a_broker_node_lost,
    power_of_the_mongodb_primary_lost,
    power_of_the_vectors_lost,
    clock_an_hour_ahead,
    clock_an_hour_behind,
    clocks_of_mongodb_an_hour_ahead,
    clocks_of_mongodb_an_hour_behind,
    everything_three_times_shuffled,
    truth_late,
    poison_on_all_topics,
    unreadable_documents,
    offsets_reset_to_the_beginning,
    offsets_reset_to_the_end,
    retention_overtook_a_service,
    two_owners_of_one_folder,
    everything_killed_at_once,
    partitions_added,
    broker_away_for_5_min,
)
ENDS_PROCESSES: frozenset[Fault] = frozenset({disk_of_the_vectors_full, power_of_the_vectors_lost})
"""Faults after which a supervisor may have to start a process again."""


async def until_published(scene: Scene, fault: Fault) -> None:
    """Do the fault while frames are published, and some before and after it."""
    await scene.publish()
    done = asyncio.create_task(fault(scene))
    while not done.done():
        await scene.publish()
    await done
    await scene.publish()
    await until(scene.deployment.caught_up, deadline_s=400)
