"""What every finder of captures says, in memory and in MongoDB."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from services.contracts.identity import VehicleId
from services.domain.ports.captures import Capture, Captures
from services.runtime.stores.captures_mongo import MongoCaptures
from services.runtime.stores.frames_mongo import MongoFrameStore
from services.runtime.stores.mongo import connect
from tests import samples
from tests.fakes.captures import InMemoryCaptures

START = datetime(2026, 5, 4, 10, tzinfo=UTC)
FRAMES = [
    samples.frame_captured(f"frame-{number}").model_copy(
        update={
            "captured_at": START + timedelta(milliseconds=100 * number),
            "vehicle_id": VehicleId("v1"),
        }
    )
    for number in range(5)
]


@pytest.fixture(params=["in_memory", "mongod"])
async def captures(request: pytest.FixtureRequest) -> AsyncIterator[Captures]:
    """Five frames of one vehicle, a tenth of a second apart."""
    if request.param == "in_memory":
        yield InMemoryCaptures(*FRAMES)
        return
    database = connect(request.getfixturevalue("mongodb_url"), f"laws-{uuid4().hex[:8]}")
    await MongoFrameStore(database).record(FRAMES)
    found = MongoCaptures(database)
    await found.prepare()
    yield found
    await database.client.drop_database(database.name)
    await database.client.close()


async def test_frames_within_the_tolerance_are_near(captures: Captures) -> None:
    near = await captures.near(VehicleId("v1"), FRAMES[2].captured_at, 0.11)
    assert sorted(near) == [Capture(frame.frame_id, frame.captured_at) for frame in FRAMES[1:4]]


async def test_a_time_between_frames_is_near_to_both(captures: Captures) -> None:
    near = await captures.near(VehicleId("v1"), START + timedelta(milliseconds=150), 0.06)
    assert {capture.frame_id for capture in near} == {"frame-1", "frame-2"}


async def test_nothing_is_near_to_another_vehicle_or_time(captures: Captures) -> None:
    assert not await captures.near(VehicleId("v2"), START, 1)
    assert not await captures.near(VehicleId("v1"), START - timedelta(seconds=2), 1)
