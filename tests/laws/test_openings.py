"""What every reader of openings says, in memory and in MongoDB."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from services.annotation.ports.reviews import Claim
from services.annotation.stores.reviews_mongo import MongoReviewStore
from services.contracts.identity import FrameId, NeedleId
from services.domain.ports.openings import Opened, Openings
from services.runtime.stores.mongo import connect
from services.runtime.stores.openings_mongo import MongoOpenings
from tests.fakes.openings import InMemoryOpenings

CLAIMED, STARTED = NeedleId("claimed"), FrameId("started")


@pytest.fixture(params=["in_memory", "mongod"])
async def openings(request: pytest.FixtureRequest) -> AsyncIterator[Openings]:
    """Where an annotator has claimed one needle and has begun the task of one frame."""
    if request.param == "in_memory":
        yield InMemoryOpenings({CLAIMED}, {STARTED})
        return
    database = connect(request.getfixturevalue("mongodb_url"), f"laws-{uuid4().hex[:8]}")
    now = datetime(2026, 5, 4, tzinfo=UTC)
    # Expired long ago: what was opened once stays opened.
    claim = Claim("Ana", "token", now + timedelta(minutes=5))
    await MongoReviewStore(database).claim(CLAIMED, claim, now)
    tasks = [{"_id": STARTED, "status": "started"}, {"_id": "waiting", "status": "waiting"}]
    await database["annotation_tasks"].insert_many(tasks)
    yield MongoOpenings(database)
    await database.client.drop_database(database.name)
    await database.client.close()


async def test_claimed_needles_and_begun_tasks_are_opened(openings: Openings) -> None:
    needles, frames = {CLAIMED, NeedleId("other")}, {STARTED, FrameId("waiting"), FrameId("other")}
    assert await openings.among(needles, frames) == Opened(
        frozenset({CLAIMED}), frozenset({STARTED})
    )


async def test_only_what_is_asked_for_is_named(openings: Openings) -> None:
    assert await openings.among(set(), set()) == Opened()
    assert await openings.among({NeedleId("other")}, set()) == Opened()
    assert await openings.among(set(), {STARTED}) == Opened(frames=frozenset({STARTED}))
