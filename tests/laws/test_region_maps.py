import pytest

from services.contracts.identity import Category, DetectorId, FrameId, ModelId, RegionId
from services.domain.ports.region_maps import MappedRegion, MapSize, RegionMap
from services.runtime.stores.frame_traces import of_retriever
from services.runtime.stores.mongo import Database
from services.runtime.stores.region_maps_mongo import MongoRegionMaps

MODEL = ModelId("m")


@pytest.fixture
def maps(empty_database: Database) -> MongoRegionMaps:
    return MongoRegionMaps(empty_database)


def region(number: int) -> MappedRegion:
    return MappedRegion(
        number / 8,
        -1.5,
        RegionId(f"r{number}"),
        FrameId(f"f{number}"),
        DetectorId("d@1"),
        Category("stop sign"),
        0.5,
        [1.0, 2.0, 3.0, 4.0],
        "haystack",
        "v1",
        "n" if number % 2 else "",
    )


async def test_the_latest_map_is_found_whole(maps: MongoRegionMaps) -> None:
    assert (await maps.find(), await maps.size()) == (None, None)
    digests = set()
    for count in (4100, 3):
        drawn = RegionMap(MODEL, [region(number) for number in range(count)])
        await maps.put(drawn)
        assert await maps.find() == drawn
        size = await maps.size()
        assert size is not None
        assert size == MapSize(MODEL, count, size.digest)
        digests.add(size.digest)
    assert len(digests) == 2


async def test_erased_frames_are_not_on_the_map(
    maps: MongoRegionMaps, empty_database: Database
) -> None:
    await maps.put(RegionMap(MODEL, [region(number) for number in range(2001)]))

    for traces in of_retriever(empty_database):
        await traces.erase([FrameId("f7")])

    left = await maps.find()
    assert left is not None
    assert [item.frame_id for item in left.regions] == ["f2000"]
