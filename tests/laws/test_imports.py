"""What every store of imports does, in memory and in MongoDB."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.contracts.identity import FrameId, ImportId
from services.domain.ports.imports import (
    ImportItem,
    ImportKind,
    ImportRun,
    ImportStore,
    ImportSummary,
    Part,
    Undo,
)
from services.runtime.stores.imports_mongo import MongoImports
from tests import samples
from tests.fakes.imports import InMemoryImports

AT = datetime(2026, 5, 4, tzinfo=UTC)
ONE = ImportRun(ImportId("aaa"), ImportKind.DATA_SET, "street", "ada", AT)
TWO = ImportRun(ImportId("aaab"), ImportKind.BRIDGE, "ods", "ben", AT + timedelta(hours=1))
F1, F2 = FrameId("f1"), FrameId("f2")
FRAME = ImportItem(Part.FRAME, F1, 1)
TRUTH = ImportItem(Part.GROUND_TRUTH, F1, 2, None, samples.frame_annotated(samples.annotation()))
MADE = ImportItem(
    Part.PREDICTIONS, F1, 2, samples.DETECTOR, samples.predictions_made(samples.detection())
)
UNDO = Undo(ONE.import_id, "ada", AT)


@pytest.fixture(params=["in_memory", "mongod"])
def imports(request: pytest.FixtureRequest) -> ImportStore:
    if request.param == "in_memory":
        return InMemoryImports()
    return MongoImports(request.getfixturevalue("empty_database"))


async def test_a_run_has_the_items_that_were_noted_first(imports: ImportStore) -> None:
    for _ in range(2):
        await imports.begin(ONE)
        await imports.note(ONE.import_id, [FRAME, TRUTH, MADE])
    await imports.note(ONE.import_id, [replace(MADE, previous=None)])
    await imports.begin(TWO)
    await imports.note(TWO.import_id, [replace(FRAME, frame_id=F2)])
    first, last = await imports.items_after(ONE.import_id, "", 2)
    rest, end = await imports.items_after(ONE.import_id, last, 9)
    assert [*first, *rest] == [FRAME, TRUTH, MADE]
    assert await imports.items_after(ONE.import_id, end, 9) == ([], end)
    assert await imports.run(ONE.import_id) == ONE
    assert await imports.run(ImportId("no")) is None
    assert await imports.all() == [
        ImportSummary(TWO, {Part.FRAME: 1}),
        ImportSummary(ONE, {Part.FRAME: 1, Part.GROUND_TRUTH: 1, Part.PREDICTIONS: 1}),
    ]


async def test_a_part_that_a_run_publishes_again_replaces_what_its_first_revision_did(
    imports: ImportStore,
) -> None:
    later = samples.frame_annotated(samples.annotation(), revision=3)
    await imports.note(ONE.import_id, [TRUTH])
    for _ in range(2):
        await imports.note(ONE.import_id, [replace(TRUTH, revision=3, previous=later)])
    noted, _ = await imports.items_after(ONE.import_id, "", 9)
    assert noted == [replace(TRUTH, revision=3)]
    # Others have published revision 4 in between.
    others = later.model_copy(update={"revision": 4})
    fifth = replace(TRUTH, revision=5, previous=others)
    await imports.note(ONE.import_id, [fifth])
    await imports.note(ONE.import_id, [TRUTH])
    assert (await imports.items_after(ONE.import_id, "", 9))[0] == [fifth]
    unknown = replace(TRUTH, revision=7, previous=None)
    await imports.note(ONE.import_id, [unknown])
    assert (await imports.items_after(ONE.import_id, "", 9))[0] == [unknown]


async def test_what_replaced_an_undone_revision_replaces_what_that_one_did(
    imports: ImportStore,
) -> None:
    third = replace(TRUTH, revision=3, previous=samples.frame_annotated(revision=2))
    made = replace(MADE, revision=3, previous=samples.predictions_made(revision=2))
    await imports.note(ONE.import_id, [FRAME, TRUTH, replace(MADE, previous=None)])
    await imports.note(TWO.import_id, [FRAME, third, made])
    undone, _ = await imports.items_after(ONE.import_id, "", 9)
    for _ in range(2):
        await imports.pass_over(undone)
    assert (await imports.items_after(ONE.import_id, "", 9))[0] == undone
    noted, _ = await imports.items_after(TWO.import_id, "", 9)
    assert noted == [FRAME, replace(third, previous=TRUTH.previous), replace(made, previous=None)]
    await imports.pass_over([])


async def test_the_latest_undo_of_a_target_is_found(imports: ImportStore) -> None:
    assert await imports.undo_of(UNDO.target) is None
    await imports.request(replace(UNDO, keeps=True))
    assert await imports.undo_of(UNDO.target) == replace(UNDO, keeps=True)
    await imports.finish(replace(UNDO, keeps=True))
    again = replace(UNDO, by="ben")
    await imports.request(again)
    assert await imports.undo_of(UNDO.target) == again


async def test_an_undo_keeps_its_place_until_it_is_finished(imports: ImportStore) -> None:
    await imports.begin(ONE)
    await imports.request(UNDO)
    await imports.advance(replace(UNDO, after="x"))
    await imports.request(replace(UNDO, at=AT + timedelta(hours=2)))
    assert await imports.unfinished() == [replace(UNDO, after="x")]
    await imports.finish(UNDO)
    assert await imports.unfinished() == []
    assert [summary.undone_at for summary in await imports.all()] == [AT]
    again = replace(UNDO, by="ben", at=AT + timedelta(hours=3))
    await imports.request(again)
    assert await imports.unfinished() == [again]


async def test_the_latest_mark_of_a_frame_counts(imports: ImportStore) -> None:
    await imports.mark_undone([F1, F2], "first")
    await imports.mark_undone([F1], "second")
    assert await imports.undone([F1, F2, FrameId("f3")]) == {F1: "second", F2: "first"}
    await imports.mark_undone([], "third")
