"""Known places: whoever says so first is kept, and what is said can be taken back."""

from dataclasses import replace

import pytest

from services.contracts.identity import Category, FrameId, NeedleId
from services.domain.ports.known_places import KnownPlace, KnownPlaces
from services.runtime.stores.known_places_mongo import MongoKnownPlaces
from tests import samples
from tests.fakes.known_places import InMemoryKnownPlaces

PLACE = KnownPlace(
    *(NeedleId("n1"), FrameId("f1"), Category("stop sign"), 52.5, 13.4, "ana"),
    samples.CAPTURED_AT,
)


@pytest.fixture(params=["in_memory", "mongod"])
def places(request: pytest.FixtureRequest) -> KnownPlaces:
    if request.param == "in_memory":
        return InMemoryKnownPlaces()
    return MongoKnownPlaces(request.getfixturevalue("empty_database"))


async def test_a_place_is_known_from_when_it_is_marked_until_it_is_unmarked(
    places: KnownPlaces,
) -> None:
    assert await places.of(PLACE.needle_id) is None
    other = replace(PLACE, needle_id=NeedleId("n0"), lat=-33.9)
    for place in (PLACE, other):
        await places.mark(place)
    assert await places.of(PLACE.needle_id) == PLACE
    assert list(await places.all()) == [other, PLACE]
    await places.unmark(PLACE.needle_id)
    await places.unmark(NeedleId("never"))
    assert list(await places.all()) == [other]


async def test_who_said_so_first_is_kept(places: KnownPlaces) -> None:
    await places.mark(PLACE)
    await places.mark(replace(PLACE, by="ben"))
    assert await places.of(PLACE.needle_id) == PLACE
