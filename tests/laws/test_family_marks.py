from datetime import timedelta

import pytest

from services.contracts.identity import DetectorId, FamilyId, NeedleId
from services.domain.mining.family_changes import Change, FamilyChange
from services.domain.ports.family_marks import FamilyMarks, Mark
from services.runtime.stores.family_marks_mongo import MongoFamilyMarks
from services.runtime.stores.mongo import Database
from services.runtime.stores.needles_mongo import MongoNeedleStore
from tests.samples import CAPTURED_AT as NOW
from tests.samples import needle_found

NEEDLES = [needle_found(f"f{number}") for number in range(4)]
IDS = [needle.needle_id for needle in NEEDLES]
LATER = NOW + timedelta(minutes=1)


@pytest.fixture
async def marks(empty_database: Database) -> FamilyMarks:
    await MongoNeedleStore(empty_database).record(NEEDLES)
    return MongoFamilyMarks(empty_database)


def families(*names: str) -> dict[NeedleId, Mark]:
    """The first needles' families, by their order."""
    return {needle_id: Mark(family=name) for needle_id, name in zip(IDS, names, strict=False)}


async def test_a_mark_is_found_as_it_was_shown(marks: FamilyMarks) -> None:
    mark = Mark("a", exemplar=True, resolved=True, suspicion=0.25)

    assert await marks.show({IDS[0]: mark}, NOW) == 1
    assert await marks.of(IDS[0]) == mark
    assert await marks.of(IDS[1]) == Mark()
    assert await marks.of(NeedleId("unknown")) == Mark()


async def test_only_what_changes_is_written(marks: FamilyMarks) -> None:
    await marks.show(families("a", "a", "b"), NOW)

    assert await marks.show(families("a", "a", "b"), NOW) == 0
    assert await marks.show(families("a", "a", "a", "a"), NOW) == 2


async def test_a_needle_that_is_not_shown_loses_its_mark(marks: FamilyMarks) -> None:
    await marks.show(families("a", "a"), NOW)

    assert await marks.show(families("a"), NOW) == 1
    assert await marks.of(IDS[1]) == Mark()


async def test_merges_and_splits_are_recorded_once_the_latest_first(marks: FamilyMarks) -> None:
    await marks.show(families("a", "a", "b", "b"), NOW)
    await marks.show(families("a", "a", "a", "a"), NOW)
    await marks.show(families("a", "a", "a", "c"), LATER)
    await marks.show(families("a", "a", "a", "c"), LATER)

    merged = FamilyChange(Change.MERGED, FamilyId("b"), FamilyId("a"), 2)
    split = FamilyChange(Change.SPLIT, FamilyId("a"), FamilyId("c"), 1)
    assert await marks.changes(10) == [(LATER, split), (NOW, merged)]
    assert await marks.changes(1) == [(LATER, split)]


async def test_the_families_of_a_detector_are_found_at_once(marks: FamilyMarks) -> None:
    await marks.show({**families("a", "b"), IDS[2]: Mark(suspicion=0.5)}, NOW)

    assert await marks.families(NEEDLES[0].detector) == {IDS[0]: "a", IDS[1]: "b"}
    assert await marks.families(DetectorId("other@1")) == {}
