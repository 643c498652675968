"""What is wrong with a deployment, part by part, each with what to do about it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC
from enum import StrEnum
from pathlib import Path

from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError

from services.cli.remedies import remedy_of
from services.contracts.errors import GazeloopError
from services.contracts.topics import TOPICS
from services.runtime.broker import BrokerAddress, translate
from services.runtime.clock import Clock
from services.runtime.embedded import stack
from services.runtime.settings import Settings
from services.runtime.stores.blobs_fsspec import open_blobs
from services.runtime.stores.mongo import connect_as_set, translated
from services.runtime.stores.vectors import REGIONS, model_of
from services.runtime.stores.vectors_open import open_vector_store
from services.runtime.topic_admin import connect_admin, topic_differences

_DAY_MS = 86_400_000
_LEAST_RETENTION_MS = 3 * _DAY_MS  # a long weekend without a service, and nothing is lost
_MOST_SKEW_S = 2.0  # ages and freshness are differences of two machines' clocks
_OLDEST_MONGODB = (5, 0)  # the oldest that updates by pipeline with all that we use
_INDEXED = ("matches", "needles", "shortlists")
_PROBE = b"gazeloop doctor was here\n"


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    part : kafka, mongodb, vectors, blobs or embedder
    remedy : what to do, where something is to be done
    """

    level: Level
    part: str
    what: str
    remedy: str = ""


Check = Callable[[], Awaitable[list[Finding]]]


async def examine(settings: Settings, clock: Clock, *, model: bool = True) -> list[Finding]:
    """Look at every part that the settings name, or that runs on the data folder.

    Parameters
    ----------
    model : whether to load the embedder's weights too, which takes seconds
    """
    there = await asyncio.to_thread(stack.running, settings)
    resolved = there.applied_to(settings) if there is not None else settings
    if not (resolved.kafka and resolved.mongodb):
        remedy = "set GAZELOOP_KAFKA and GAZELOOP_MONGODB, or run `gazeloop up`"
        return [Finding(Level.ERROR, "settings", "no Kafka or no MongoDB is named", remedy)]
    checks: dict[str, Check] = {
        "kafka": lambda: asyncio.to_thread(_kafka, resolved),
        "mongodb": lambda: _mongodb(resolved, clock),
        "blobs": lambda: asyncio.to_thread(_blobs, resolved),
    }
    # Qdrant Edge has one owner, which is the running process.
    if resolved.qdrant:
        checks["vectors"] = lambda: _vectors(resolved, model=model)
    return [each for part, check in checks.items() for each in await _looked_at(part, check)]


async def _looked_at(part: str, check: Check) -> list[Finding]:
    try:
        return await check()
    except GazeloopError as exc:
        return [Finding(Level.ERROR, part, str(exc), remedy_of(exc))]


def _kafka(settings: Settings) -> list[Finding]:
    broker = BrokerAddress.of(settings)
    if broker.in_memory:
        remedy = "use Apache Kafka where something is to be kept"
        return [Finding(Level.WARNING, "kafka", "the broker is in memory", remedy)]
    with closing(connect_admin(broker, settings)) as admin:
        try:
            nodes = len(admin.describe_cluster()["brokers"])
            described = admin.describe_topics([topic.name for topic in TOPICS])
            missing = [each["name"] for each in described if each["error_code"]]
            existing = [topic for topic in TOPICS if topic.name not in missing]
            found = [Finding(Level.OK, "kafka", f"{broker} answers, {nodes} brokers")]
            if missing:
                what = f"missing, or hidden from this user: {', '.join(missing)}"
                remedy = "`gazeloop topics create`, or grant what `gazeloop topics acls` prints"
                found.append(Finding(Level.ERROR, "kafka", what, remedy))
            for sentence in topic_differences(admin, settings, existing):
                remedy = "`kafka-configs.sh --alter`, or the setting that says otherwise"
                found.append(Finding(Level.WARNING, "kafka", sentence, remedy))
            names = [topic.name for topic in existing]
            resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
            configured = admin.describe_configs(resources, config_filter="all")["topic"]
        except KafkaError as exc:
            raise translate(exc, broker) from exc
    return [*found, *_risks(configured, nodes)]


def _risks(
    configured: Mapping[str, Mapping[str, Mapping[str, str]]], nodes: int
) -> Iterator[Finding]:
    """Topics from which a broken broker or a long week-end would take something."""
    hidden = sorted(name for name, values in configured.items() if not values)
    if hidden:
        what = f"this user may not see how topics are configured: {', '.join(hidden)}"
        remedy = "look as the cluster's owner, or grant it DescribeConfigs on them"
        yield Finding(Level.WARNING, "kafka", what, remedy)
    for name, values in configured.items():
        if not values:
            continue
        in_sync = int(values["min.insync.replicas"]["value"])
        if nodes > 1 and in_sync < 2:  # noqa: PLR2004  # with one, an acknowledgement is one copy
            remedy = "`kafka-configs.sh --alter --add-config min.insync.replicas=2`"
            yield Finding(Level.WARNING, "kafka", f"{name} has min.insync.replicas=1", remedy)
        kept_ms = int(values["retention.ms"]["value"])
        compacted = "compact" in values["cleanup.policy"]["value"]
        if not compacted and 0 <= kept_ms < _LEAST_RETENTION_MS:
            what = f"{name} keeps events for {kept_ms / _DAY_MS:.1f} days"
            remedy = "a service that is away for longer loses them: raise retention.ms"
            yield Finding(Level.WARNING, "kafka", what, remedy)


async def _mongodb(settings: Settings, clock: Clock) -> list[Finding]:
    database = connect_as_set(settings)
    try:
        with translated():
            hello = await database.command("hello")
            now = clock.now()
            version = (await database.command("buildInfo"))["versionArray"]
            probe = database["doctor"]
            await probe.update_one({"_id": "probe"}, {"$set": {"at": now}}, upsert=True)
            await probe.delete_one({"_id": "probe"})
            indexes = {name: await database[name].index_information() for name in _INDEXED}
    finally:
        await database.client.close()
    found = [Finding(Level.OK, "mongodb", f"{settings.mongodb_database} can be written")]
    if tuple(version[:2]) < _OLDEST_MONGODB:
        what = f"MongoDB {'.'.join(map(str, version[:3]))} is too old"
        found.append(Finding(Level.ERROR, "mongodb", what, "use 5.0 or newer"))
    if "setName" not in hello:
        remedy = "use a replica set of three where something is to be kept"
        found.append(Finding(Level.WARNING, "mongodb", "it is a lone server", remedy))
    skew = abs((hello["localTime"].replace(tzinfo=UTC) - now).total_seconds())
    if skew > _MOST_SKEW_S:
        what = f"its clock and ours are {skew:.0f} s apart"
        found.append(Finding(Level.WARNING, "mongodb", what, "run NTP on both machines"))
    bare = sorted(name for name, indexed in indexes.items() if len(indexed) < 2)  # noqa: PLR2004
    if bare:
        remedy = "start any service: each makes its indexes; after a restore, again"
        what = f"no index beside the id: {', '.join(bare)}"
        found.append(Finding(Level.WARNING, "mongodb", what, remedy))
    return found


async def _vectors(settings: Settings, *, model: bool) -> list[Finding]:
    store = open_vector_store(settings)
    try:
        live = model_of(REGIONS, (await store.aliases()).get(REGIONS))
    finally:
        await store.close()
    found = [Finding(Level.OK, "vectors", f"{settings.qdrant} answers; live model: {live}")]
    if not model:
        return found
    from services.embedder.torch_embedder import TorchEmbedder  # noqa: PLC0415  # torch: seconds

    ours = (await asyncio.to_thread(TorchEmbedder.of, settings)).model_id
    if live is not None and live != ours:
        what = f"searches use {live}, and the settings say {ours}"
        remedy = "embed everything with the new model and move the alias, or set the old one again"
        found.append(Finding(Level.WARNING, "embedder", what, remedy))
    return found


def _blobs(settings: Settings) -> list[Finding]:
    blobs = open_blobs(settings.blob_url)
    blobs.get(blobs.put(_PROBE))
    found = [Finding(Level.OK, "blobs", f"{settings.blob_url} can be written and read")]
    if settings.kafka and not settings.blobs and not Path(settings.data).exists():
        remedy = "set GAZELOOP_BLOBS to what all services can reach"
        found.append(Finding(Level.WARNING, "blobs", "images are kept on this machine", remedy))
    return found
