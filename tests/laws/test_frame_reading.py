"""What annotation and the commands read of frames: places, times, ids."""

from datetime import timedelta

import pytest

from services.annotation.stores.captured_frames_mongo import MongoCapturedFrames
from services.annotation.stores.frame_places_mongo import MongoFramePlaces
from services.annotation.stores.frame_times_mongo import MongoFrameTimes
from services.contracts.events import Position
from services.contracts.identity import DriveId, FrameId
from services.domain.withdrawal import withdrawn
from services.runtime.stores.frame_ids_mongo import LeftOut, MongoFrameIds
from services.runtime.stores.frames_mongo import MongoFrameStore
from services.runtime.stores.indexes import make_indexes
from services.runtime.stores.matches_mongo import MongoMatchStore
from services.runtime.stores.mongo import Database
from services.runtime.stores.needles_mongo import MongoNeedleStore
from tests.mongo_profile import profiled
from tests.samples import (
    CAPTURED_AT,
    annotation,
    frame_annotated,
    frame_captured,
    frame_matched,
    needle_found,
    predictions_made,
    shortlist_published,
)

FIRST = FrameId("f1")


@pytest.fixture
def frames(empty_database: Database) -> MongoFrameStore:
    return MongoFrameStore(empty_database)


async def test_only_frames_with_a_position_have_a_place(
    frames: MongoFrameStore, empty_database: Database
) -> None:
    places = MongoFramePlaces(empty_database)
    for number in range(3):
        position = Position(lat=52.0 + number, lon=13.0)
        captured = frame_captured(f"f{number}").model_copy(update={"position": position})
        await frames.record([captured])
    await frames.record([frame_captured("nowhere"), frame_annotated(frame_id="unseen")])

    assert sorted(await places.sample(9)) == [(52.0, 13.0), (53.0, 13.0), (54.0, 13.0)]
    assert len(await places.sample(2)) == 2
    ids = [FIRST, FrameId("nowhere"), FrameId("unknown")]
    assert await places.of(ids) == {FIRST: (53.0, 13.0)}


async def test_frames_without_a_position_are_not_read_for_a_sample(
    frames: MongoFrameStore, empty_database: Database
) -> None:
    await make_indexes(empty_database, [MongoFrameStore, MongoFramePlaces])
    await frames.record([frame_captured(f"f{number}") for number in range(20)])
    placed = frame_captured("placed").model_copy(update={"position": Position(lat=52.0, lon=13.0)})
    await frames.record([placed])
    async with profiled(empty_database, "frames") as queries:
        assert await MongoFramePlaces(empty_database).sample(9) == [(52.0, 13.0)]
    assert [(query["planSummary"], query["docsExamined"]) for query in queries] == [
        ("IXSCAN { captured_stored: 1 }", 1)
    ]


async def test_what_a_picture_needs_of_a_frame_is_how_it_was_captured(
    frames: MongoFrameStore, empty_database: Database
) -> None:
    captured = frame_captured("f1")
    await frames.record([captured, predictions_made(frame_id="f1"), frame_annotated(frame_id="f1")])
    await frames.record([frame_annotated(frame_id="unseen")])
    reader = MongoCapturedFrames(empty_database)

    found, unseen = await reader.of(FIRST), await reader.of(FrameId("unseen"))

    assert found is not None
    assert (found.captured, found.predictions, found.ground_truth) == (captured, {}, None)
    assert unseen is not None
    assert unseen.captured is None
    assert await reader.of(FrameId("unknown")) is None


async def test_a_drive_is_a_path_in_the_order_of_capture(
    frames: MongoFrameStore, empty_database: Database
) -> None:
    places = MongoFramePlaces(empty_database)
    for number, (drive, minute) in enumerate((("d1", 2), ("d1", 1), ("d2", 3), ("d3", 0))):
        given = {
            "position": Position(lat=52.0 + number, lon=13.0),
            "drive_id": DriveId(drive),
            "captured_at": CAPTURED_AT + timedelta(minutes=minute),
        }
        await frames.record([frame_captured(f"f{number}").model_copy(update=given)])

    first, second = DriveId("d1"), DriveId("d2")
    assert await places.paths([first, second], 9) == {
        first: [(53.0, 13.0), (52.0, 13.0)],
        second: [(54.0, 13.0)],
    }
    assert await places.paths([first, second], 1) == {first: [(53.0, 13.0)]}


async def test_a_frames_parts_have_the_times_of_their_writing(
    frames: MongoFrameStore, empty_database: Database
) -> None:
    times = MongoFrameTimes(empty_database)
    assert await times.of(FIRST) == {}
    await frames.record([frame_captured(), frame_annotated(), predictions_made()])
    await MongoMatchStore(empty_database).record([frame_matched()])
    needles = MongoNeedleStore(empty_database)
    await needles.record([needle_found()])
    await needles.write_shortlists([shortlist_published(needle_found(), "h1")])

    own, shortlisted = await times.of(FIRST), await times.of(FrameId("h1"))
    assert {"captured", "ground_truth", "matched", "needles"} <= own.keys()
    assert sum(name.startswith("predictions") for name in own) == 1
    assert own.keys().isdisjoint({"shortlisted"})
    assert shortlisted.keys() == {"shortlisted"}


async def test_revisions_of_ground_truth_are_the_latest_first(
    frames: MongoFrameStore, empty_database: Database
) -> None:
    for revision in (1, 3, 2):
        truth = frame_annotated(*[annotation()] * revision, revision=revision)
        await frames.record([truth.model_copy(update={"annotated_by": "Ana"})])

    found = await MongoFrameTimes(empty_database).revisions(FIRST)
    assert [one.revision for one in found] == sorted((one.revision for one in found), reverse=True)
    latest = found[0]
    assert (latest.revision, latest.source, latest.by, latest.objects) == (3, "import", "Ana", 3)
    assert await MongoFrameTimes(empty_database).revisions(FrameId("none")) == []


async def test_ids_are_listed_by_what_is_known_of_the_frames(
    frames: MongoFrameStore, empty_database: Database
) -> None:
    ids = MongoFrameIds(empty_database)
    await frames.record([frame_captured("b"), frame_captured("a"), frame_annotated(frame_id="a")])
    await frames.record([frame_annotated(frame_id="unseen")])
    await frames.record([frame_captured("c"), withdrawn(frame_annotated(frame_id="c"))])

    assert await ids.captured() == ["a", "b", "c"]
    assert await ids.annotated() == ["a"]


async def test_partial_frames_and_copies_are_left_out_with_the_reason(
    frames: MongoFrameStore, empty_database: Database
) -> None:
    original = frame_captured("a")
    await frames.record([original])
    await frames.record([original.model_copy(update={"frame_id": "copy"})])
    await frames.record([frame_captured("b"), frame_annotated(frame_id="b", complete=False)])
    await frames.record([frame_captured("c"), predictions_made(frame_id="c", complete=False)])
    # Withdrawn ground truth is not partial: nothing of it was refused.
    await frames.record([withdrawn(frame_annotated(frame_id="c"))])
    await frames.record([predictions_made(frame_id="c", version="2")])

    ids = MongoFrameIds(empty_database)
    left_out = [
        LeftOut(FrameId("b"), True, (), None),
        LeftOut(FrameId("c"), False, (predictions_made().detector_id,), None),
        LeftOut(FrameId("copy"), False, (), FrameId("a")),
    ]
    assert await ids.left_out(9) == left_out
    assert await ids.left_out(2) == left_out[:2]
