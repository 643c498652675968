"""Which records are old, in MongoDB."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from bson import Timestamp

from services.annotation.ports.reviews import Act, Projection, ReviewEvent
from services.annotation.stores.needle_lists_mongo import MongoNeedleLists
from services.annotation.stores.reviews_mongo import MongoReviewStore
from services.contracts.identity import FrameId, ImportId, ModelId, NeedleId, RegionId
from services.domain.ports.imports import ImportItem, ImportKind, ImportRun, Part, Undo
from services.domain.ports.needles import ReviewProgress
from services.domain.ports.retention import OldFrame
from services.domain.withdrawal import withdrawn
from services.runtime.stores.figures_mongo import MongoFigureStore
from services.runtime.stores.frame_ids_mongo import MongoFrameIds
from services.runtime.stores.frames_mongo import MongoFrameStore
from services.runtime.stores.imports_mongo import MongoImports
from services.runtime.stores.mongo import Database
from services.runtime.stores.needles_mongo import MongoNeedleStore
from services.runtime.stores.retention_mongo import MongoRetention
from services.runtime.stores.shortlists_mongo import MongoShortlistStore
from tests import samples
from tests.laws.test_figures import row

LATER = datetime.now(tz=UTC) + timedelta(days=1)
"""Frames are as old as the server's clock says they are stored."""
EARLIER = LATER - timedelta(days=2)


async def test_old_frames_are_those_stored_before_without_ground_truth(
    empty_database: Database,
) -> None:
    frames, retention = MongoFrameStore(empty_database), MongoRetention(empty_database)
    await frames.record([samples.frame_captured(name) for name in ("f1", "f2", "f3", "f4")])
    await frames.record([samples.frame_annotated(frame_id="f2")])
    taken_back = withdrawn(samples.frame_annotated(frame_id="f4"))
    await frames.record([samples.frame_annotated(frame_id="f4")])
    await frames.record([taken_back.model_copy(update={"revision": 2})])
    await MongoShortlistStore(empty_database).record(
        [samples.shortlist_published(samples.needle_found("r"), "f3")]
    )
    drive = samples.frame_captured().drive_id
    f1, f3, f4 = (
        OldFrame(FrameId(name), drive, listed)
        for name, listed in (("f1", False), ("f3", True), ("f4", False))
    )
    first, after = await retention.old_frames(LATER, "", 2)
    second, end = await retention.old_frames(LATER, after, 2)
    assert [*first, *second] == [f1, f3, f4]
    assert await retention.old_frames(LATER, end, 2) == ([], "")
    assert await retention.old_frames(EARLIER, "", 2) == ([], "")
    assert (await retention.count_old_frames(LATER), await retention.count_old_frames(EARLIER)) == (
        3,
        0,
    )


async def test_a_frame_is_not_old_while_its_ground_truth_was_withdrawn_lately(
    empty_database: Database,
) -> None:
    frames, retention = MongoFrameStore(empty_database), MongoRetention(empty_database)
    await frames.record([samples.frame_captured(name) for name in ("f1", "f2")])
    await frames.record([samples.frame_annotated(frame_id="f2")])
    taken_back = withdrawn(samples.frame_annotated(frame_id="f2"))
    await frames.record([taken_back.model_copy(update={"revision": 2})])
    stored = Timestamp(int((EARLIER - timedelta(days=1)).timestamp()), 1)
    await empty_database["frames"].update_many({}, {"$set": {"captured_stored": stored}})

    found, after = await retention.old_frames(EARLIER, "", 9)
    assert [frame.frame_id for frame in found] == ["f1"]
    assert await retention.old_frames(EARLIER, after, 9) == ([], "")
    assert await retention.count_old_frames(EARLIER) == 1
    assert len((await retention.old_frames(LATER, "", 9))[0]) == 2


async def test_old_decisions_about_retracted_needles_are_deleted(empty_database: Database) -> None:
    needles, retention = MongoNeedleStore(empty_database), MongoRetention(empty_database)
    active, retracted, recent = (samples.needle_found(name) for name in ("a", "b", "c"))
    await needles.record([active, retracted, recent])
    await needles.record([samples.needle_retracted(needle, 2) for needle in (retracted, recent)])
    reviews, at = empty_database["reviews"], samples.CAPTURED_AT
    await reviews.insert_many(
        [
            {"needle_id": needle.needle_id, "version": version, "at": at + timedelta(days=days)}
            for needle, version, days in (
                (active, 1, 0),
                (retracted, 1, 0),
                (retracted, 2, 1),
                (recent, 1, 0),
                (recent, 2, 9),
            )
        ]
    )
    assert await retention.drop_decisions(at + timedelta(days=5), 10) == 2
    assert await retention.drop_decisions(at + timedelta(days=5), 10) == 0
    left = {document["needle_id"] for document in await reviews.find().to_list()}
    assert left == {active.needle_id, recent.needle_id}


async def test_a_needle_whose_decisions_were_deleted_is_reviewed_from_the_beginning(
    empty_database: Database,
) -> None:
    needles, reviews = MongoNeedleStore(empty_database), MongoReviewStore(empty_database)
    lists, retention = MongoNeedleLists(empty_database), MongoRetention(empty_database)
    needle = samples.needle_found("again")
    await needles.record([needle])
    await needles.write_shortlists([samples.shortlist_published(needle, "f3")])
    for version in (1, 2, 3):
        await decided(reviews, needle.needle_id, version)
    await needles.record([samples.needle_retracted(needle, 2)])
    assert await retention.drop_decisions(LATER, 10) == 3
    await needles.record([needle.model_copy(update={"revision": 3})])
    (to_review,) = await lists.groups()
    assert (to_review.progress, to_review.work.to_review) == (ReviewProgress.OPEN, 1)
    await decided(reviews, needle.needle_id, 1)
    (row,) = await lists.rows([needle.needle_id])
    assert row.review is not None
    assert (row.review.version, row.review.progress) == (1, ReviewProgress.DONE)
    (done,) = await lists.groups()
    assert (done.work.to_review, done.work.decided) == (0, 1)


async def test_decisions_that_come_while_old_ones_are_deleted_stay(
    empty_database: Database,
) -> None:
    needles, reviews = MongoNeedleStore(empty_database), MongoReviewStore(empty_database)
    needle = samples.needle_found("again")
    await needles.record([needle, samples.needle_retracted(needle, 2)])
    await decided(reviews, needle.needle_id, 1)
    retention = _DecidedMeanwhile(empty_database)
    assert await retention.drop_decisions(LATER, 10) == 1
    assert [event.version for event in await reviews.events(needle.needle_id)] == [2]
    (row,) = await MongoNeedleLists(empty_database).rows([needle.needle_id])
    assert row.review is not None
    assert row.review.version == 2


class _DecidedMeanwhile(MongoRetention):
    """People decide between its reading and its deleting."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._store = MongoReviewStore(database)

    async def _forget_reviews(self, versions: Mapping[NeedleId, int]) -> None:
        for needle_id, version in versions.items():
            await decided(self._store, needle_id, version + 1)
        await super()._forget_reviews(versions)


async def decided(reviews: MongoReviewStore, needle_id: NeedleId, version: int) -> None:
    """Somebody decides a needle's only candidate."""
    at = samples.CAPTURED_AT + timedelta(minutes=version)
    regions = (RegionId("r1"),)
    event = ReviewEvent(needle_id, version, Act.ACCEPT, regions, "ada", "t1", at)
    assert await reviews.append(event)
    shown = Projection(version, ReviewProgress.DONE, 1, 1, 1, "ada", at)
    await reviews.project(needle_id, shown)


async def test_old_figures_are_deleted_but_the_last_row_of_each_detector(
    empty_database: Database,
) -> None:
    figures, retention = MongoFigureStore(empty_database), MongoRetention(empty_database)
    for minute in range(4):
        await figures.add(row(minute, lift=float(minute)))
    await figures.add(row(0, detector="other@1"))
    before = samples.CAPTURED_AT + timedelta(hours=1)
    assert await retention.drop_figures(before, 2) == 2
    assert await retention.drop_figures(before, 2) == 1
    assert await retention.drop_figures(before, 2) == 0
    left = await figures.since(samples.CAPTURED_AT)
    assert sorted((item.detector, item.lift) for item in left) == [("ods@1", 3.0), ("other@1", 2.0)]


async def test_the_latest_archive_counts(empty_database: Database) -> None:
    retention = MongoRetention(empty_database)
    assert await retention.archived_before() is None
    for at in (samples.CAPTURED_AT, samples.CAPTURED_AT - timedelta(days=1)):
        await retention.note_archived(at)
    assert await retention.archived_before() == samples.CAPTURED_AT


async def test_old_images_are_those_of_annotated_frames_without_active_needles(
    empty_database: Database,
) -> None:
    frames, retention = MongoFrameStore(empty_database), MongoRetention(empty_database)
    await frames.prepare()
    names = ("f1", "f2", "f3", "f4", "f5")
    images = {name: name[-1].replace("5", "1") for name in names}  # f5 shows what f1 shows
    for name in names:
        captured = samples.frame_captured(name)
        image = captured.image.model_copy(update={"sha256": images[name] * 64, "uri": name})
        await frames.record([captured.model_copy(update={"image": image})])
    annotated = [samples.frame_annotated(frame_id=name) for name in names if name != "f2"]
    await frames.record(annotated)
    await MongoNeedleStore(empty_database).record([samples.needle_found("f3")])

    due, after = await retention.old_images(LATER, "", 3)
    rest, end = await retention.old_images(LATER, after, 3)
    assert [*due, *rest] == ["f1", "f4", "f5"]
    assert await retention.old_images(LATER, end, 3) == ([], "")
    assert await retention.old_images(EARLIER, "", 3) == ([], "")
    assert await retention.count_old_images(LATER) == 4
    f1, f4, f5 = map(FrameId, ("f1", "f4", "f5"))
    assert await retention.images_only_of([f1, f4]) == ["f4"]
    assert await retention.images_only_of([f1, f4, f5]) == ["f1", "f4", "f5"]
    await retention.note_images_deleted([f1, f4])
    assert await retention.images_only_of([f5]) == ["f5"]
    assert [n for n, r in (await frames.load([f1, f4, f5])).items() if r.image_deleted] == [
        "f1",
        "f4",
    ]
    assert (await retention.old_images(LATER, "", 9))[0] == ["f5"]
    # What the review page drew of deleted images goes too.
    await retention.note_images_deleted([f5])
    every = {number * 64 for number in images.values()}
    assert await MongoFrameIds(empty_database).shown(every) == {"2" * 64, "3" * 64}


async def test_more_images_are_asked_for_than_one_query_holds(empty_database: Database) -> None:
    frames, captured = MongoFrameStore(empty_database), samples.frame_captured()
    await frames.record([captured])
    shown = captured.image.sha256
    every = {f"{number:064x}" for number in range(300_000)} | {shown}
    assert await MongoFrameIds(empty_database).shown(every) == {shown}


async def test_what_old_imports_published_is_no_longer_noted(empty_database: Database) -> None:
    imports, retention = MongoImports(empty_database), MongoRetention(empty_database)
    at = samples.CAPTURED_AT
    for name, days in (("aaa", 0), ("bbb", 0), ("ccc", 9)):
        run = ImportRun(ImportId(name), ImportKind.DATA_SET, name, "ada", at + timedelta(days=days))
        await imports.begin(run)
        items = [ImportItem(Part.FRAME, FrameId(frame), 1) for frame in ("f1", "f2")]
        await imports.note(ImportId(name), items)
    await imports.request(Undo(ImportId("bbb"), "ada", at))
    before = at + timedelta(days=5)
    assert [await retention.drop_imports(before, 1) for _ in range(3)] == [1, 1, 0]
    left = {item.run.import_id: sum(item.counts.values()) for item in await imports.all()}
    assert left == {"bbb": 2, "ccc": 2}
    assert [undo.target for undo in await imports.unfinished()] == ["bbb"]


async def test_a_campaign_stays_ended_when_its_notes_are_dropped(empty_database: Database) -> None:
    imports, retention = MongoImports(empty_database), MongoRetention(empty_database)
    at = samples.CAPTURED_AT
    for name, kind in (("aaa", ImportKind.CAMPAIGN), ("bbb", ImportKind.DATA_SET)):
        undo = Undo(ImportId(name), "ada", at)
        await imports.begin(ImportRun(ImportId(name), kind, name, "ada", at))
        await imports.request(undo)
        await imports.finish(undo)
    await retention.drop_imports(at + timedelta(days=1), 9)
    assert await imports.all() == []
    assert await imports.undo_of(ImportId("aaa")) == Undo(ImportId("aaa"), "ada", at)
    assert await imports.undo_of(ImportId("bbb")) is None


async def test_a_replaced_model_keeps_its_first_time_until_it_is_not_replaced(
    empty_database: Database,
) -> None:
    retention, at = MongoRetention(empty_database), samples.CAPTURED_AT
    a, b, c = map(ModelId, "abc")
    await retention.note_replaced([a, b], at)
    later = at + timedelta(days=1)
    await retention.note_replaced([b, c], later)
    assert await retention.replaced() == {b: at, c: later}
    await retention.note_replaced([], later)
    assert await retention.replaced() == {}
