"""What every store of category maps does, in memory and in MongoDB."""

from collections.abc import Collection
from datetime import UTC, datetime

import pytest

from services.contracts.identity import Category, DetectorId
from services.domain.detection.category_map import CategoryMap, Names
from services.domain.ports.category_maps import CategoryMaps, MapScope, Rematch, UnknownCategory
from services.domain.ports.frames import FrameStore
from services.runtime.stores.category_maps_mongo import MongoCategoryMaps
from services.runtime.stores.frames_mongo import MongoFrameStore
from services.runtime.stores.matches_mongo import MongoMatchStore
from services.runtime.stores.mongo import Database
from tests import samples
from tests.fakes.category_maps import InMemoryCategoryMaps
from tests.fakes.frames import InMemoryFrameStore
from tests.mongo_profile import profiled

AT = datetime(2026, 5, 4, tzinfo=UTC)
ALL, FIRST = MapScope("ods"), MapScope("ods@1")
ONE, TWO, OTHER = DetectorId("ods@1"), DetectorId("ods@2"), DetectorId("odd@1")
STOP, HALT, SIGN = Category("stop.sign"), Category("$halt"), Category("stop sign")


@pytest.fixture(params=["in_memory", "mongod"])
def maps(request: pytest.FixtureRequest) -> CategoryMaps:
    if request.param == "in_memory":
        return InMemoryCategoryMaps()
    return MongoCategoryMaps(request.getfixturevalue("empty_database"))


@pytest.fixture(params=["in_memory", "mongod"])
def frames(request: pytest.FixtureRequest) -> FrameStore:
    if request.param == "in_memory":
        return InMemoryFrameStore()
    return MongoFrameStore(request.getfixturevalue("empty_database"))


async def change(
    maps: CategoryMaps, scope: MapScope, names: Names, dropped: Collection[Category] = ()
) -> bool:
    return await maps.change(scope, names, "ada", AT, dropped)


async def test_changes_add_up_and_a_repeat_changes_nothing(maps: CategoryMaps) -> None:
    assert await change(maps, ALL, {STOP: SIGN})
    assert await change(maps, ALL, {HALT: None})
    assert not await change(maps, ALL, {STOP: SIGN})
    assert not await change(maps, ALL, {}, [Category("never")])
    (stored,) = await maps.all()
    assert (stored.scope, stored.map.names, stored.map.revision) == (
        ALL,
        {STOP: SIGN, HALT: None},
        2,
    )
    assert (stored.changed_by, stored.changed_at) == ("ada", AT)
    assert await change(maps, ALL, {HALT: SIGN}, [STOP])
    assert (await maps.of([ONE]))[ONE].names == {HALT: SIGN}


async def test_a_versions_own_names_come_before_the_detectors(maps: CategoryMaps) -> None:
    await change(maps, ALL, {STOP: SIGN, HALT: SIGN})
    await change(maps, FIRST, {HALT: None})
    found = await maps.of([ONE, TWO, OTHER])
    assert found[ONE].names == {STOP: SIGN, HALT: None}
    assert found[TWO].names == {STOP: SIGN, HALT: SIGN}
    assert (found[ONE].revision, found[TWO].revision) == (2, 1)
    assert OTHER not in found
    assert await maps.of([]) == {}


async def test_nothing_is_dropped_from_a_map_that_is_not_there(maps: CategoryMaps) -> None:
    assert not await change(maps, ALL, {}, [STOP])
    assert await maps.all() == []


async def test_a_rematch_goes_on_where_it_was_and_starts_over_after_a_change(
    maps: CategoryMaps,
) -> None:
    await change(maps, ALL, {STOP: SIGN})
    assert await maps.unmatched() == [Rematch(ALL, 1)]
    await maps.note(Rematch(ALL, 1, "f1 ods@1"))
    assert await maps.unmatched() == [Rematch(ALL, 1, "f1 ods@1")]
    await change(maps, ALL, {HALT: SIGN})
    await maps.note(Rematch(ALL, 1, "f2 ods@1"))
    await maps.finish(Rematch(ALL, 1))
    assert await maps.unmatched() == [Rematch(ALL, 2)]
    await maps.finish(Rematch(ALL, 2))
    assert await maps.unmatched() == []


async def test_predictions_are_due_again_by_the_names_that_are_there(maps: CategoryMaps) -> None:
    await change(maps, ALL, {STOP: SIGN})
    await maps.finish(Rematch(ALL, 1))
    for scope in (ALL, FIRST):
        await maps.rematch(scope, "ada", AT)
    assert await maps.unmatched() == [Rematch(ALL, 2), Rematch(FIRST, 1)]
    assert (await maps.of([ONE]))[ONE] == CategoryMap({STOP: SIGN}, 3)


async def test_predictions_are_paged_by_detector_in_one_order(frames: FrameStore) -> None:
    made = [
        samples.predictions_made(frame_id=frame_id, version=version)
        for frame_id in ("f1", "f2", "f3")
        for version in ("1", "2")
    ]
    other = samples.predictions_made(frame_id="f1").model_copy(update={"detector": "odsy"})
    await frames.record([*made, other])
    first, last = await frames.predictions_after(ALL, "", 4)
    rest, end = await frames.predictions_after(ALL, last, 4)
    assert [*first, *rest] == made
    assert await frames.predictions_after(ALL, end, 4) == ([], end)
    assert (await frames.predictions_after(FIRST, "", 9))[0] == made[::2]


async def test_unknown_are_predicted_categories_that_no_annotation_has_and_no_map_names(
    empty_database: Database,
) -> None:
    frames, matches = MongoFrameStore(empty_database), MongoMatchStore(empty_database)
    maps = MongoCategoryMaps(empty_database)
    await frames.record([samples.frame_annotated(samples.annotation(SIGN))])
    for frame_id, category in (("f1", STOP), ("f2", STOP), ("f3", HALT), ("f4", SIGN)):
        await matches.record([samples.frame_matched(frame_id, category=category)])
    found = [(item.detector, item.category, item.frames) for item in await maps.unknown()]
    assert sorted(found) == [(ONE, HALT, 1), (ONE, STOP, 2)]
    await change(maps, ALL, {STOP: SIGN})
    await change(maps, FIRST, {HALT: HALT})
    assert await maps.unknown() == []


async def test_of_an_unknown_category_only_some_frames_are_counted(
    empty_database: Database,
) -> None:
    matches, maps = MongoMatchStore(empty_database), MongoCategoryMaps(empty_database)
    await matches.prepare()
    first = samples.frame_matched("f1", category=STOP)
    seen = [first.model_copy(update={"frame_id": f"f{number}"}) for number in range(1100)]
    other = first.model_copy(update={"frame_id": "f2", "detector": TWO})
    await matches.record([*seen, other])
    vanished = [
        samples.frame_matched(match.frame_id, category=SIGN, revision=2) for match in seen[:100]
    ]
    await matches.record(vanished)
    await change(maps, ALL, {SIGN: SIGN})
    async with profiled(empty_database, "matches") as queries:
        found = await maps.unknown()
    assert found == [
        UnknownCategory(ONE, STOP, 900, at_least=True),
        UnknownCategory(TWO, STOP, 1),
    ]
    distinct = [query for query in queries if "distinct" in query["command"]]
    assert {query["docsExamined"] for query in distinct} == {0}
    counted = [query["docsExamined"] for query in queries if "aggregate" in query["command"]]
    assert sorted(counted) == [1, 1000]
