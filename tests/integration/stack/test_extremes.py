"""No value on a topic or in a store ends a service, now or at the next start."""

import asyncio
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from services.app.assembly import running
from services.app.parts import App
from services.app.read_vectors import open_vectors_to_read
from services.app.reporting import read_reports
from services.app.unreadable_letters import REASON, UnreadableReporter
from services.cli.dead_letter_reading import dead_letter_count
from services.contracts.codec import encode
from services.contracts.dead_letters import DeadLettered
from services.contracts.events import (
    Event,
    FrameAnnotated,
    FrameCaptured,
    FrameEmbedded,
    PredictionsMade,
)
from services.contracts.flow import CONSUMERS, READS, REVIEW, group_of
from services.contracts.identity import LetterId
from services.contracts.matches import FrameMatched
from services.contracts.needles import NeedleFound, NeedleRetracted, ShortlistPublished
from services.contracts.topics import BY_NAME, DEAD_LETTERS, TOPICS
from services.domain.ports.vectors import REGION_VECTORS
from services.runtime.clock import SystemClock
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.delivery import OutgoingRecord
from services.runtime.kafka.lag import LagReader
from services.runtime.settings import Settings
from services.runtime.stores.mongo import connect_as_set, pair_id
from services.runtime.stores.unreadable import UNREADABLE
from tests import samples
from tests.deadline import until
from tests.integration.stack.extremes import documents
from tests.reading import events_on

pytestmark = pytest.mark.usefixtures("collected_sockets")

_EXAMPLES = 30
"""Of each of eight events."""
_DEADLINE_S = 240
_SETTINGS = Settings(
    topic_partitions=2,
    http_port=0,
    metrics_port=0,
    batch_wait_s=0.05,
    epoch_s=0.1,
    reference_share=0.5,
    split_by="frame",
)
_SERVICES = ("ingest", *CONSUMERS, REVIEW)
_FRAMES = [f"f{number}" for number in range(40)]
_SOUND = [f"sound-{number}" for number in range(8)]
_FIXED: dict[type[Event], dict[str, Sequence[Any]]] = {
    FrameCaptured: {"frame_id": _FRAMES},
    PredictionsMade: {"frame_id": _FRAMES, "detector": ["ods"], "version": ["1"]},
    FrameAnnotated: {"frame_id": _FRAMES},
    FrameEmbedded: {"frame_id": _FRAMES},
    FrameMatched: {"frame_id": _FRAMES, "split": ["reference", "haystack"]},
    NeedleFound: {"frame_id": _FRAMES, "needle_id": ["n1", "n2", "n3"]},
    NeedleRetracted: {"frame_id": _FRAMES, "needle_id": ["n1", "n2", "n3"]},
    ShortlistPublished: {"needle_id": ["n1", "n2", "n3"]},
}


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How services of this process have ended it: they do not."""
    codes: list[int] = []

    def leave(code: int) -> None:
        codes.append(code)
        raise RuntimeError(f"a service ended with {code}")

    monkeypatch.setattr(os, "_exit", leave)
    return codes


def _drawn(event: type[Event]) -> list[bytes]:
    """The same documents every time."""
    found: list[bytes] = []

    @settings(
        max_examples=_EXAMPLES,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(documents(event, _FIXED[event]))
    def draw(value: bytes) -> None:
        found.append(value)

    draw()
    return found


def _extremes() -> list[OutgoingRecord]:
    topics = {event: topic.name for topic in TOPICS for event in topic.events}
    return [
        OutgoingRecord(topics[event], b"key", value, str(number))
        for event in _FIXED
        for number, value in enumerate(_drawn(event))
    ]


async def _caught_up(app: App, exits: list[int], services: Sequence[str] = CONSUMERS) -> None:
    subscriptions = {group_of(name): [topic.name for topic in READS[name]] for name in services}
    with LagReader(BrokerAddress.of(app.settings), app.settings) as lag:
        await until(lambda: bool(exits) or lag.caught_up(subscriptions), deadline_s=_DEADLINE_S)
    assert exits == []


def _captured(name: str) -> FrameCaptured:
    """A frame with a picture of its own: of copies, only the first may have needles."""
    frame = samples.frame_captured(name)
    own = {"sha256": hashlib.sha256(name.encode()).hexdigest()}
    return frame.model_copy(update={"image": frame.image.model_copy(update=own)})


def _sound_events() -> list[Event]:
    """Frames with a false positive, of which some are of the reference split."""
    return [
        event
        for name in _SOUND
        for event in (
            _captured(name),
            samples.predictions_made(samples.detection(), frame_id=name),
            samples.frame_annotated(frame_id=name),
        )
    ]


def _bytes_of(event: Event, **changed: object) -> bytes:
    return json.dumps({**json.loads(encode(event)), **changed}).encode()


async def _store_what_was_valid_once(settings_: Settings) -> set[str]:
    """Documents as former versions may have left them; where they are."""
    database = connect_as_set(settings_)
    late, early = "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"
    captured, truth = _captured("f"), samples.frame_annotated()
    for collection, field, value in (
        ("frames", "captured", _bytes_of(captured, captured_at=late)),
        ("frames", "truth", _bytes_of(truth, revision=2**62)),
        ("matches", "captured_us", 2**62),
        ("matches", "groups.scores", b"high"),
        ("needles", "needle.captured_at", early),
        ("needles", "needle.score", {}),
    ):
        own = "_id" if collection == "frames" else "frame_id"
        (sound,) = await database[collection].find({own: {"$in": _SOUND}}).limit(1).to_list()
        sound["_id"] = f"{collection}-{field}"
        part = sound
        *path, last = field.split(".")
        for name in path:
            part = part[name]
        part[last] = value
        if collection == "matches":
            sound["frame_id"] = sound["_id"]
            sound["_id"] = pair_id(sound["frame_id"], samples.DETECTOR)
        await database[collection].insert_one(sound)
    await database["corrections"].insert_one({"_id": "half", "outcome": "pending", "event": {}})
    await database["held_corrections"].insert_one({"_id": "half", "outcome": "waiting"})
    await database.client.close()
    return {"frames", "matches", "needles", "corrections", "held_corrections"}


def _unreadable(app: App) -> dict[str, set[LetterId]]:
    """The dead letters of each stored document; a letter published twice is one."""
    found: dict[str, set[LetterId]] = {}
    for _, event in events_on(BrokerAddress.of(app.settings), DEAD_LETTERS.name):
        if isinstance(event, DeadLettered) and event.reason == REASON:
            found.setdefault(str(event.location), set()).add(event.letter_id)
    return found


async def test_extremes_of_every_field_end_no_service_now_or_later(
    tmp_path: Path, exits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings_ = _SETTINGS.model_copy(update={"data": tmp_path})
    records = await asyncio.to_thread(_extremes)
    assert {record.topic for record in records} == BY_NAME.keys() - {DEAD_LETTERS.name}
    async with running(settings_, _SERVICES) as app:
        await app.outbox.publish(_sound_events())
        await app.outbox.publish_records(records)
        await _caught_up(app, exits)
        await app.settle()
        read_elsewhere = open_vectors_to_read(settings_)
        assert REGION_VECTORS in await read_elsewhere.aliases()
        await read_elsewhere.close()
        spoiled = await _store_what_was_valid_once(app.settings)
        assert await dead_letter_count(app) > 0
    monkeypatch.setattr(UNREADABLE, "_seen", set())
    async with running(settings_, _SERVICES) as app:
        again = [samples.frame_annotated(frame_id=name, revision=7) for name in _FRAMES]
        await app.outbox.publish(again)
        await _caught_up(app, exits)
        await app.settle()
        reports = await read_reports(app, await dead_letter_count(app))
        assert all(report.json_text() for report in reports)
        assert samples.DETECTOR in {report.detector for report in reports}
        await until(lambda: _collections(_unreadable(app)) >= spoiled, deadline_s=_DEADLINE_S)
        await UnreadableReporter(app.stores.unreadable, app.outbox, SystemClock()).report()
        first = await asyncio.to_thread(_unreadable, app)
    monkeypatch.setattr(UNREADABLE, "_seen", set())
    async with running(settings_, ["evaluator", "retriever"]) as app:
        await app.settle()
        assert await read_reports(app, 0)
        await UnreadableReporter(app.stores.unreadable, app.outbox, SystemClock()).report()
        assert await asyncio.to_thread(_unreadable, app) == first
    assert {len(letters) for letters in first.values()} == {1}
    assert exits == []


def _collections(places: Iterable[str]) -> set[str]:
    return {place.removeprefix("mongodb:").partition("/")[0] for place in places}
