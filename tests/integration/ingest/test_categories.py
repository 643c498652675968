"""Which labels the stored frames know."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from services.contracts.identity import Category
from services.runtime.stores.categories_mongo import MongoCategories
from services.runtime.stores.frames_mongo import MongoFrameStore
from services.runtime.stores.matches_mongo import MongoMatchStore
from services.runtime.stores.mongo import Database, connect
from tests.samples import annotation, frame_annotated, frame_matched

MATCHED, ANNOTATED = Category("stop sign"), Category("yield")
UNKNOWN = [Category(f"misspelt {number}") for number in range(20)]


@pytest.fixture
async def database(mongodb_url: str) -> AsyncIterator[Database]:
    database = connect(mongodb_url, f"categories-{uuid4().hex[:8]}")
    yield database
    await database.client.drop_database(database.name)
    await database.client.close()


async def test_frames_are_looked_through_once_for_all_labels_that_no_match_has(
    database: Database,
) -> None:
    await MongoMatchStore(database).record([frame_matched("f1", category=MATCHED)])
    truth = frame_annotated(annotation(ANNOTATED), annotation("kiosk"), frame_id="f2")
    await MongoFrameStore(database).record([truth])
    await database.command("profile", 2)

    known = await MongoCategories(database).known([MATCHED, ANNOTATED, *UNKNOWN])

    assert known == {MATCHED, ANNOTATED}
    looks = await database["system.profile"].count_documents({"ns": f"{database.name}.frames"})
    assert looks == 1
