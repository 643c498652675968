import pytest

from services.domain.metrics.subsets import Subset
from services.domain.ports.curves import CurveStore
from services.runtime.stores.curves_mongo import MongoCurveStore
from services.runtime.stores.mongo import Database


@pytest.fixture
def curves(empty_database: Database) -> CurveStore:
    return MongoCurveStore(empty_database)


async def test_the_latest_curves_of_each_detector_and_subset_are_found(curves: CurveStore) -> None:
    assert await curves.find("ods@1", Subset.S) is None

    for content in (b"{}", b'{"scores": []}'):
        await curves.put("ods@1", Subset.S, content)
    await curves.put("ods@1", Subset.REST, b"1")
    await curves.put("ods@2", Subset.S, b"2")

    assert await curves.find("ods@1", Subset.S) == b'{"scores": []}'
    assert await curves.find("ods@1", Subset.REST) == b"1"


async def test_detectors_with_curves_are_listed_once_each(curves: CurveStore) -> None:
    assert await curves.detectors() == []

    for detector in ("ods@2", "b|c@1"):
        for subset in Subset:
            await curves.put(detector, subset, b"{}")

    assert await curves.detectors() == ["b|c@1", "ods@2"]


async def test_the_slices_of_a_detector_are_replaced_together(curves: CurveStore) -> None:
    assert (await curves.slices("ods@1"), await curves.find_slice("ods@1", "a=b")) == ([], None)

    await curves.show_slices("ods@1", {"weather=rain|x": b"1", "a=b": b"2"})
    await curves.show_slices("ods@2", {"a=b": b"3"})
    await curves.show_slices("ods@1", {"night=yes": b"4", "weather=rain|x": b"5"})

    assert await curves.slices("ods@1") == ["night=yes", "weather=rain|x"]
    assert await curves.find_slice("ods@1", "weather=rain|x") == b"5"
    assert await curves.find_slice("ods@1", "a=b") is None
    assert await curves.find_slice("ods@2", "a=b") == b"3"
