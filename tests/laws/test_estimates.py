"""The store of estimates keeps the latest ones, as they are."""

from services.contracts.identity import DetectorId
from services.domain.metrics.estimated_precision import EstimatedSlice, EstimatedStream, NoInterval
from services.domain.statistics.resampling import Interval
from services.runtime.stores.estimates_mongo import MongoEstimateStore
from services.runtime.stores.mongo import Database

SURE = EstimatedSlice(None, 9, 90, 0.8, Interval(0.8, 0.7, 0.9), None, Interval(0.1, 0.0, 0.3))
UNSURE = EstimatedSlice(("weather", "fog"), 3, 30, None, None, NoInterval.UNLIKE_ANNOTATED, None)


async def test_the_latest_estimates_replace_all_others(empty_database: Database) -> None:
    store = MongoEstimateStore(empty_database)
    assert await store.all() == {}
    one, other = DetectorId("a@1"), DetectorId("b@1")
    found = EstimatedStream(Interval(0.9, 0.85, 0.95), [SURE, UNSURE])
    await store.show({other: found, one: EstimatedStream(None, [])})
    assert await store.all() == {one: EstimatedStream(None, []), other: found}
    await store.show({other: found})
    assert await store.all() == {other: found}
