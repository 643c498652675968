"""Partitions that are added to the topics of a running stack are read without a restart.

Topics have different numbers of partitions, before and after.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.app.assembly import running
from services.app.parts import App
from services.contracts.events import Event, FrameAnnotated, FrameCaptured, PredictionsMade
from services.contracts.topics import MATCHES, TOPICS
from services.runtime.clock import SystemClock
from services.runtime.kafka.assignment import Assignment
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.consumer import ConsumingService
from services.runtime.kafka.topic_admin import alter_topics
from services.runtime.settings import Settings
from tests import samples
from tests.deadline import until

pytestmark = pytest.mark.usefixtures("collected_sockets")

_BEFORE, _AFTER = 4, 9
_DEADLINE_S = 240
_CATEGORIES = [f"category {number}" for number in range(40)]
_SETTINGS = Settings(
    topic_partitions=_BEFORE,
    topic_partitions_of="gaze.predictions=3",
    metadata_max_age_s=1,
    http_port=0,
    metrics_port=0,
    batch_wait_s=0.05,
)


def _add_partitions(app: App) -> None:
    more = {"topic_partitions": _AFTER, "topic_partitions_of": "gaze.predictions=7"}
    altered = alter_topics(BrokerAddress.of(app.settings), app.settings.model_copy(update=more))
    assert len(altered.altered) == len(TOPICS)


async def _publish(app: App, prefix: str) -> set[str]:
    """Frames with one detection, each of a category of its own."""
    events: list[FrameCaptured | PredictionsMade | FrameAnnotated] = []
    names = [f"{prefix}-{number}" for number in range(len(_CATEGORIES))]
    for name, category in zip(names, _CATEGORIES, strict=True):
        events += [
            samples.frame_captured(name),
            samples.predictions_made(samples.detection(category), frame_id=name),
            samples.frame_annotated(samples.annotation(category), frame_id=name),
        ]
    await app.outbox.publish(events)
    return set(names)


async def _until_matched(app: App, names: set[str]) -> None:
    async with asyncio.timeout(_DEADLINE_S):
        while {match.frame_id async for match in app.stores.matches.scan()} != names:  # noqa: ASYNC110  # MongoDB tells nobody
            await asyncio.sleep(0.1)


class _Listening:
    """A step that keeps what it was told of its partitions."""

    def __init__(self) -> None:
        self.assignments: list[Assignment] = []

    async def run(self, events: Sequence[Event]) -> None:
        pass

    async def assigned(self, assignment: Assignment) -> None:
        self.assignments.append(assignment)

    def reminded(self) -> bool:
        """Whether it was told twice of as many partitions as there are in the end."""
        after = [
            assignment
            for assignment in self.assignments
            if assignment.totals == {MATCHES.name: _AFTER}
        ]
        return len(after) > 1 and after[-1] == after[-2]


@asynccontextmanager
async def _listener_on(app: App) -> AsyncIterator[_Listening]:
    listening = _Listening()
    service = ConsumingService(
        "tester",
        [MATCHES],
        listening,
        outbox=app.outbox,
        broker=BrokerAddress.of(app.settings),
        settings=app.settings,
        clock=SystemClock(),
        listener=listening,
    )
    await service.start()
    try:
        yield listening
    finally:
        await service.stop()


async def test_frames_in_new_partitions_are_matched_without_a_restart(tmp_path: Path) -> None:
    settings = _SETTINGS.model_copy(update={"data": tmp_path})
    async with (
        running(settings, ["fp_miner", "evaluator"]) as app,
        _listener_on(app) as listening,
    ):
        before = await _publish(app, "before")
        await _until_matched(app, before)
        await asyncio.to_thread(_add_partitions, app)
        after = await _publish(app, "after")
        await _until_matched(app, before | after)
        later = await _publish(app, "later")
        await _until_matched(app, before | after | later)
        await until(listening.reminded, deadline_s=_DEADLINE_S)
