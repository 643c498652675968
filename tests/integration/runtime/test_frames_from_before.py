"""A data folder whose frames were stored before pictures were compared, and events said more."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from services.contracts.events import FrameAnnotated, NeedleFound, NeedleRetracted, PredictionsMade
from services.contracts.identity import FrameId
from services.domain.ports.frames import content_of
from services.fp_miner.service import MineNeedles
from services.runtime.settings import Settings
from services.runtime.stores.frames_mongo import MongoFrameStore
from services.runtime.stores.matches_mongo import MongoMatchStore
from services.runtime.stores.mongo import Database, connect
from services.runtime.stores.shortlists_mongo import MongoShortlistStore
from tests import samples
from tests.fakes.clock import FakeClock
from tests.fakes.outbox import InMemoryOutbox

SETTINGS = Settings(reference_share=0.99)
DIGESTS = {FrameAnnotated: "a08fb309faa2edcd", PredictionsMade: "dc3a9e2efcd2e86e"}
"""How the sample events' digests began before they could say that they are not complete."""


@pytest.fixture
async def database(mongodb_url: str) -> AsyncIterator[Database]:
    database = connect(mongodb_url, f"before-{uuid4().hex[:8]}")
    yield database
    await database.client.drop_database(database.name)
    await database.client.close()


async def test_frames_from_before_are_compared_when_something_new_is_said_of_them(
    database: Database,
) -> None:
    frames, outbox = MongoFrameStore(database), InMemoryOutbox()
    step = MineNeedles(
        frames=frames,
        matches=MongoMatchStore(database),
        shortlists=MongoShortlistStore(database),
        outbox=outbox,
        settings=SETTINGS,
        clock=FakeClock(),
    )
    image = samples.frame_captured("f1").image
    first = samples.frame_annotated(frame_id="f1")
    for name, truths in (("f1", [first]), ("f2", [])):
        captured = samples.frame_captured(name).model_copy(update={"image": image})
        made = samples.predictions_made(samples.detection(), frame_id=name)
        await step.run([captured, made, *truths])
        # As it was stored before.
        part = f"predictions.{made.detector_id}.event.complete"
        dropped = {"original": "", part: "", "ground_truth.event.complete": ""}
        await database["frames"].update_many({}, {"$unset": dropped})
        await database["pictures"].delete_many({})

    await step.run([samples.frame_annotated(frame_id="f2")])
    await step.run([first])

    needles = [e for e in outbox.published if isinstance(e, NeedleFound | NeedleRetracted)]
    assert [(type(needle), needle.frame_id) for needle in needles] == [
        (NeedleFound, "f1"),
        (NeedleFound, "f2"),
        (NeedleRetracted, "f1"),
    ]
    assert needles[2].revision > needles[0].revision
    found = await frames.load([FrameId("f1"), FrameId("f2")])
    assert [found[FrameId(name)].original for name in ("f1", "f2")] == ["f2", "f2"]


@pytest.mark.parametrize("fact", [samples.frame_annotated(), samples.predictions_made()])
def test_what_was_published_before_is_known_by_the_same_digest(
    fact: FrameAnnotated | PredictionsMade,
) -> None:
    assert content_of(fact)[:16] == DIGESTS[type(fact)]
    assert content_of(fact.model_copy(update={"complete": False}))[:16] != DIGESTS[type(fact)]
