from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from uuid import uuid4

import pytest

from services.contracts.identity import Category
from services.domain.ports.categories import Categories
from services.runtime.stores.categories_mongo import MongoCategories
from services.runtime.stores.frames_mongo import MongoFrameStore
from services.runtime.stores.matches_mongo import MongoMatchStore
from services.runtime.stores.mongo import connect
from tests.fakes.categories import InMemoryCategories
from tests.samples import annotation, frame_annotated, frame_matched

STOP, YIELD, KIOSK = Category("stop sign"), Category("yield"), Category("kiosk")
Make = Callable[[Sequence[Category], Sequence[Category]], Awaitable[Categories]]


@pytest.fixture(params=["in_memory", "mongod"])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    """Returns the store over data with these categories on matched and on annotated frames."""
    if request.param == "in_memory":

        async def fake(matched: Sequence[Category], annotated: Sequence[Category]) -> Categories:
            return InMemoryCategories(matched, annotated)

        yield fake
        return
    database = connect(request.getfixturevalue("mongodb_url"), f"laws-{uuid4().hex[:8]}")

    async def real(matched: Sequence[Category], annotated: Sequence[Category]) -> Categories:
        for number, name in enumerate(matched):
            match = frame_matched(f"m{number}", category=name)
            await MongoMatchStore(database).record([match])
        truth = frame_annotated(*map(annotation, annotated), frame_id="annotated")
        await MongoFrameStore(database).record([truth])
        return MongoCategories(database)

    yield real
    await database.client.drop_database(database.name)
    await database.client.close()


async def test_a_category_is_known_from_matched_or_annotated_frames(make: Make) -> None:
    categories = await make([STOP], [YIELD])

    assert await categories.known([STOP, YIELD, KIOSK]) == {STOP, YIELD}
    assert await categories.known([KIOSK]) == set()
    assert await categories.known([]) == set()


async def test_all_are_those_of_matched_frames_in_order(make: Make) -> None:
    categories = await make([YIELD, STOP, STOP], [KIOSK])

    assert await categories.all() == [STOP, YIELD]


async def test_without_data_no_category_is_known(make: Make) -> None:
    categories = await make([], [])

    assert await categories.all() == []
    assert await categories.known([STOP]) == set()
