"""Erase a frame of a mined data folder while all services run, and look for its traces."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import bson
import httpx

from services.app.assembly import running
from services.app.erasure.dead_letters import mention_of
from services.app.parts import App
from services.contracts.bounds import FIRST_TIME
from services.contracts.flow import SERVICES
from services.contracts.identity import FrameId, frame_hash
from services.contracts.topics import TOPICS
from services.runtime.clock import SystemClock
from services.runtime.http.tokens import create
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.topic_reading import values
from services.runtime.observability import detector_metrics, metrics
from services.runtime.settings import Settings
from services.runtime.settings_reading import load_settings
from services.runtime.stores.tombstones_mongo import MongoTombstones
from tests.deadline import until
from tests.e2e.command_line import exit_code_of, killed_after

SURVEYED = ("survey", "kafka", "mongodb", "qdrant")
"""The data set itself, and the parts' own files, in which what is deleted lies until they need the
room (docs/privacy.md)."""


@dataclass(frozen=True)
class Traces:
    """Where a frame is named, and what was counted of it."""

    stored: list[str]
    files: list[str]
    vectors: int
    listed: int
    shown: float


@dataclass(frozen=True)
class Erased:
    frame_id: FrameId
    drive_id: str
    before: Traces
    answer: dict[str, object]
    after: Traces
    repeated: Traces
    dropped: float
    hashed: bool
    audited: list[tuple[str, str, str]]


@asynccontextmanager
async def stack(data: Path) -> AsyncIterator[App]:
    ports = {"http_port": 0, "metrics_port": 0}
    async with running(
        load_settings(data=data, embedder="gazeloop-small", **ports), SERVICES
    ) as app:
        yield app


async def erased(data: Path) -> Erased:
    """Erase the frame of a needle that has a shortlist, by HTTP; then send its events again."""
    async with stack(data) as app:
        await app.caught_up()
        await _all_shown(app)
        frame_id = await _frame_with_a_shortlist(app)
        before = await traces_of(app, frame_id)
        frame = (await app.stores.frames.load([frame_id]))[frame_id]
        answer = await _post(app, {"frame_ids": [frame_id], "reason": "request 17"})
        await _confirmed(app, before.shown)
        after = await traces_of(app, frame_id)
        assert frame.captured is not None
        assert frame.ground_truth is not None
        again = [frame.captured, frame.ground_truth, *frame.predictions.values()]
        await app.outbox.publish(again)
        await app.caught_up()
        return Erased(
            frame_id,
            frame.captured.drive_id or "",
            before,
            answer,
            after,
            await traces_of(app, frame_id),
            _dropped(),
            frame_hash(frame_id) in await _hashes(app),
            [
                (record.act, record.by, record.on)
                async for record in app.stores.audit.since(FIRST_TIME)
            ],
        )


@dataclass(frozen=True)
class ErasedByForce:
    """What is left of a drive whose erasure was killed.

    Attributes
    ----------
    killed, finished : exit codes of the command that was killed, and of the one that was not
    left : of each frame, where it is named, and what is stored of it
    topics : topics whose log still names a frame
    """

    killed: int
    finished: int
    left: dict[FrameId, Traces]
    awaited: Mapping[str, int]
    topics: set[str]


async def erased_despite_a_kill(data: Path) -> ErasedByForce:
    """Erase a drive by a command that is killed, beside running services.

    tests/integration/erasure/test_killed.py kills one at every step, without services.
    """
    async with stack(data) as app:
        await app.caught_up()
        frame = await _frame_with_a_shortlist(app)
        captured = (await app.stores.frames.load([frame]))[frame].captured
        assert captured is not None
        assert captured.drive_id is not None
        frames = await app.stores.frame_ids.of_drive(captured.drive_id)
        before = {one: await traces_of(app, one) for one in frames}
        assert all(traces.stored for traces in before.values())
        command = ("erase", "--drive", captured.drive_id)
        killed = await killed_after(MongoTombstones.add, data, *command)
        finished = await exit_code_of(data, *command)
        await app.caught_up()
        return ErasedByForce(
            killed,
            finished,
            {one: await traces_of(app, one) for one in frames},
            await app.stores.tombstones.awaited(),
            await asyncio.to_thread(_topics_naming, app.settings, frames),
        )


def _topics_naming(settings: Settings, frames: Sequence[FrameId]) -> set[str]:
    mention = mention_of(frames)
    broker = BrokerAddress.of(settings)
    return {
        topic.name
        for topic in TOPICS
        if any(mention.search(value) for value in values(broker, settings, topic))
    }


async def _frame_with_a_shortlist(app: App) -> FrameId:
    """The frame of a needle with a shortlist, on which there are most needles."""
    named: Counter[FrameId] = Counter()
    async for record in app.stores.needles.scan():
        if record.active and record.needle and record.shortlist and record.shortlist.candidates:
            named[record.needle.frame_id] += 1
    return named.most_common(1)[0][0]


async def _post(app: App, body: dict[str, object]) -> dict[str, object]:
    token = await create(app.stores.tokens, "operator:ada", SystemClock().now())
    async with httpx.AsyncClient(timeout=300) as client:
        response = await client.post(
            f"{app.addresses['ingest']}/erasures",
            json=body,
            headers={"Authorization": f"Bearer {token}"},
        )
    assert response.status_code == 200, response.text
    answer: dict[str, object] = response.json()
    return answer


async def _all_shown(app: App) -> None:
    """Wait for the gauges: an evaluator with nothing to consume may still read its matches."""
    matched = await app.stores.database["matches"].distinct("frame_id")
    await until(lambda: _shown() == len(matched))


async def _confirmed(app: App, shown: float) -> None:
    """Wait for the services that store something, and for the gauges, which have a pace."""
    async with asyncio.timeout(300):
        while True:
            await app.caught_up()
            if not await app.stores.tombstones.awaited() and _shown() != shown:
                return
            await asyncio.sleep(0.05)


def _shown() -> float:
    return sum(
        sample.value
        for metric in detector_metrics.EVALUATED_FRAMES.collect()
        for sample in metric.samples
        if sample.labels.get("subset") == "all"
    )


async def traces_of(app: App, frame_id: FrameId) -> Traces:
    """Every document and file that names the frame, and what is computed from it."""
    database, mark = app.stores.database, frame_id.encode()
    stored = [
        name
        for name in await database.list_collection_names()
        async for document in database[name].find()
        if mark in bson.encode(document)
    ]
    files = await asyncio.to_thread(_files_naming, app.settings, mark)
    embedded = await app.stores.embeddings.load([frame_id])
    listed = await app.stores.needles.naming([frame_id])
    return Traces(sorted(stored), files, len(embedded), len(listed), _shown())


def _files_naming(settings: Settings, mark: bytes) -> list[str]:
    return sorted(
        str(path.relative_to(settings.data))
        for path in settings.data.rglob("*")
        if path.is_file()
        and path.relative_to(settings.data).parts[0] not in SURVEYED
        and mark in path.read_bytes()
    )


async def _hashes(app: App) -> set[str]:
    found = await app.stores.database["tombstones"].find().to_list()
    return {document["_id"] for document in found}


def _dropped() -> float:
    return sum(
        sample.value
        for metric in metrics.EVENTS_OF_ERASED_FRAMES.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    )
