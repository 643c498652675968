from dataclasses import dataclass
from datetime import timedelta

import pytest

from services.annotation.ports.needle_filters import NeedleFilter, Sort, Stage
from services.annotation.ports.needle_lists import ListPosition, NeedleLists, ReviewWork
from services.annotation.ports.needle_modes import FailureModes
from services.annotation.ports.reviews import Projection
from services.annotation.stores.needle_lists_mongo import MongoNeedleLists
from services.annotation.stores.needle_modes_mongo import MongoModes
from services.annotation.stores.reviews_mongo import MongoReviewStore
from services.contracts.identity import FrameId
from services.contracts.needles import NeedleFound
from services.domain.ports.family_marks import Mark
from services.domain.ports.needles import ReviewProgress
from services.runtime.stores.family_marks_mongo import MongoFamilyMarks
from services.runtime.stores.frames_mongo import MongoFrameStore
from services.runtime.stores.mongo import Database, Document
from services.runtime.stores.needles_mongo import MongoNeedleStore
from tests.mongo_profile import profiled
from tests.samples import CAPTURED_AT as NOW
from tests.samples import frame_captured, needle_found, needle_retracted, shortlist_published

SCORES = {"a": 0.9, "b": 0.5, "c": 0.7, "d": 0.5}


def needle(name: str) -> NeedleFound:
    """Scores as above; b is the first that was captured, then c, a and d."""
    minute = "bcad".index(name)
    changes = {"score": SCORES[name], "captured_at": NOW + timedelta(minutes=minute)}
    return needle_found(name).model_copy(update=changes)


NEEDLES = {name: needle(name) for name in SCORES}
TIED = sorted("bd", key=lambda name: NEEDLES[name].needle_id, reverse=True)


@dataclass(frozen=True)
class Stored:
    """The lists, and the stores that write what they show."""

    lists: NeedleLists
    modes: FailureModes
    needles: MongoNeedleStore
    reviews: MongoReviewStore
    marks: MongoFamilyMarks

    async def names(
        self, wanted: NeedleFilter, sort: Sort = Sort.SCORE, *, skip: int = 0, limit: int = 100
    ) -> list[str]:
        rows = await self.lists.page(wanted, sort, skip=skip, limit=limit)
        return [row.needle.frame_id for row in rows]

    async def review(self, name: str, progress: ReviewProgress, shortlist: int = 1) -> None:
        projection = Projection(1, progress, 1, 1, shortlist, "Ana", NOW)
        await self.reviews.project(NEEDLES[name].needle_id, projection)


@pytest.fixture
async def stored(empty_database: Database) -> Stored:
    lists = MongoNeedleLists(empty_database)
    await lists.prepare()
    needles = MongoNeedleStore(empty_database)
    await needles.record([*NEEDLES.values()])
    rain = {"weather": "rain"}
    frames = [frame_captured(name).model_copy(update={"tags": rain}) for name in "a"]
    await MongoFrameStore(empty_database).record([*frames, *map(frame_captured, "bcd")])
    gone = needle_found("gone")
    await needles.record([gone, needle_retracted(gone, 2)])
    reviews, marks = MongoReviewStore(empty_database), MongoFamilyMarks(empty_database)
    return Stored(lists, MongoModes(empty_database), needles, reviews, marks)


async def test_a_needle_without_a_text_for_its_group_leaves_the_others_counted(
    stored: Stored, empty_database: Database
) -> None:
    needles = empty_database["needles"]
    await needles.update_one({"frame_id": "a"}, {"$set": {"needle.category": 7}})
    await needles.update_many({}, {"$unset": {"group": ""}})

    await stored.lists.mark_older()
    await stored.review("a", ReviewProgress.DONE)

    assert sum(group.count for group in await stored.lists.groups()) == len(NEEDLES) - 1


async def test_active_needles_are_sorted_by_score_and_time(stored: Stored) -> None:
    every = NeedleFilter()

    assert await stored.names(every) == ["a", "c", *TIED]
    assert await stored.names(every, Sort.NEWEST) == ["d", "a", "c", "b"]
    assert await stored.names(every, Sort.OLDEST) == ["b", "c", "a", "d"]
    assert await stored.lists.count(every) == 4


async def test_pages_follow_each_other_without_a_gap(stored: Stored) -> None:
    whole = await stored.names(NeedleFilter())

    paged = [(await stored.names(NeedleFilter(), skip=n, limit=1))[0] for n in range(4)]
    assert paged == whole
    after = await stored.lists.page(NeedleFilter(), Sort.SCORE, limit=1, after=NEEDLES[TIED[0]])
    assert [row.needle.frame_id for row in after] == [TIED[1]]


@pytest.mark.parametrize("sort", Sort)
async def test_a_needles_place_has_its_neighbours(stored: Stored, sort: Sort) -> None:
    order = await stored.names(NeedleFilter(), sort)
    ids = [None, *(NEEDLES[name].needle_id for name in order), None]

    for at, name in enumerate(order):
        place = await stored.lists.place(NeedleFilter(), sort, NEEDLES[name])
        assert place == ListPosition(ids[at], ids[at + 2], at, 4)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (NeedleFilter(category="yield"), 0),
        (NeedleFilter(category="stop sign", detector="ods@1", drive="d1"), 4),
        (NeedleFilter(detector="ods@2"), 0),
        (NeedleFilter(drive="d2"), 0),
        (NeedleFilter(family="none"), 0),
        (NeedleFilter(tag="vehicle=v1"), 4),
        (NeedleFilter(tag="weather=rain", category="stop sign"), 1),
        (NeedleFilter(tag="weather"), 0),
    ],
)
async def test_filters_select(stored: Stored, wanted: NeedleFilter, expected: int) -> None:
    assert await stored.lists.count(wanted) == expected
    assert len(await stored.names(wanted)) == expected
    assert sum(group.count for group in await stored.lists.groups(wanted)) == expected


async def test_every_needle_has_one_stage(stored: Stored) -> None:
    await stored.needles.write_shortlists(
        [shortlist_published(NEEDLES[name], "h1", revision=2) for name in "abc"]
    )
    await stored.review("a", ReviewProgress.DONE, shortlist=2)
    await stored.review("b", ReviewProgress.DONE, shortlist=1)
    await stored.review("c", ReviewProgress.STARTED, shortlist=2)

    by_stage = {stage: await stored.names(NeedleFilter(stage=stage)) for stage in Stage}
    assert by_stage == {
        Stage.LISTED: ["a", "c", "b"],
        Stage.TODO: ["c", "b"],
        Stage.OPEN: [],
        Stage.STARTED: ["c"],
        Stage.DONE: ["a"],
        Stage.EXTENDED: ["b"],
        Stage.UNLISTED: ["d"],
    }
    queue = await stored.lists.queue()
    assert queue.stages == {Stage.OPEN: 0, Stage.STARTED: 1, Stage.DONE: 1, Stage.EXTENDED: 1}
    assert queue.waits_since is None
    assert queue.oldest_wait_s == 0.0
    rows = await stored.lists.page(NeedleFilter(), Sort.SCORE, limit=9)
    assert {row.needle.frame_id: row.stage for row in rows} == {
        name: stage for stage in (*queue.stages, Stage.UNLISTED) for name in by_stage[stage]
    }


async def test_the_work_of_a_group_counts_shortlists_frames_and_verdicts(stored: Stored) -> None:
    await stored.needles.write_shortlists(
        [shortlist_published(NEEDLES["a"], "h1", "h2"), shortlist_published(NEEDLES["b"], "h3")]
    )
    started = Projection(1, ReviewProgress.STARTED, 1, 0, 1, "Ana", NOW, unsure=1)
    await stored.reviews.project(NEEDLES["a"].needle_id, started)
    # Of the two candidates that were decided, the shortlist has kept one.
    shorter = Projection(1, ReviewProgress.DONE, 2, 2, 1, "Ana", NOW)
    await stored.reviews.project(NEEDLES["b"].needle_id, shorter)

    work = sum((group.work for group in await stored.lists.groups()), ReviewWork())

    assert work == ReviewWork(shortlists=2, to_review=1, frames=3, decided=2, accepted=1, unsure=1)
    assert (work.done, work.rejected) == (1, 0)


async def test_a_needle_names_its_family_and_how_many_are_in_it(stored: Stored) -> None:
    in_family = {NEEDLES[name].needle_id: Mark("family-1") for name in "ab"}
    await stored.marks.show(in_family, NOW)

    rows = await stored.lists.page(NeedleFilter(), Sort.SCORE, limit=9)

    assert {row.needle.frame_id: (row.family, row.relatives) for row in rows} == {
        "a": ("family-1", 1),
        "b": ("family-1", 1),
        "c": (None, 0),
        "d": (None, 0),
    }


async def test_an_open_needle_with_candidates_waits(stored: Stored) -> None:
    await stored.needles.write_shortlists([shortlist_published(NEEDLES["a"], "h1")])

    queue = await stored.lists.queue()
    assert queue.waits_since is not None
    assert 0 <= queue.oldest_wait_s < 600


async def test_needles_are_found_by_their_frame_and_by_shortlisted_frames(stored: Stored) -> None:
    await stored.needles.write_shortlists([shortlist_published(NEEDLES["a"], "h1", "h2")])

    (own,) = await stored.lists.of_frame(FrameId("a"))
    (naming,) = await stored.lists.naming(FrameId("h2"))
    assert own == naming
    assert (own.needle, own.candidates, own.review, own.extended) == (NEEDLES["a"], 2, None, False)
    assert await stored.lists.naming(FrameId("h3")) == []
    assert await stored.lists.of_frame(FrameId("gone")) == []


async def test_active_needles_are_counted_by_mode_family_and_progress(stored: Stored) -> None:
    await stored.marks.show({NEEDLES["a"].needle_id: Mark("family-1")}, NOW)
    await stored.review("b", ReviewProgress.DONE)

    groups = await stored.lists.groups()
    found = {(group.family, group.progress): group.count for group in groups}
    assert found == {
        ("family-1", ReviewProgress.OPEN): 1,
        (None, ReviewProgress.DONE): 1,
        (None, ReviewProgress.OPEN): 2,
    }


async def test_a_failure_mode_shows_its_exemplar_span_and_size(stored: Stored) -> None:
    in_family = {NEEDLES[name].needle_id: Mark("family-1", exemplar=name == "b") for name in "abc"}
    in_family[NEEDLES["c"].needle_id] = Mark("family-1", suspicion=0.5)
    await stored.marks.show(in_family, NOW)

    family, rest = await stored.modes.modes()
    assert (family.family, family.size, family.suspects) == ("family-1", 3, 1)
    assert family.exemplar == NEEDLES["b"]
    assert (family.first_seen, family.last_seen) == (NOW, NOW + timedelta(minutes=2))
    assert sum(family.trend) == 3
    assert (rest.family, rest.size, rest.exemplar) == (None, 1, NEEDLES["d"])


async def test_a_failure_mode_has_a_trend_and_no_impossible_times(
    stored: Stored, empty_database: Database
) -> None:
    at = {"a": NOW, "b": NOW + timedelta(minutes=80), "c": NOW + timedelta(hours=4, microseconds=1)}
    for name, moment in at.items():
        changes = {"captured_at": moment, "revision": 2}
        await stored.needles.record([NEEDLES[name].model_copy(update=changes)])
    await empty_database["needles"].update_one(
        {"_id": NEEDLES["d"].needle_id}, {"$set": {"needle.captured_at": "0001-01-01T00:00:00Z"}}
    )

    (mode,) = await stored.modes.modes()
    assert (mode.size, mode.first_seen, mode.last_seen) == (4, at["a"], at["c"])
    assert mode.trend == (1, 0, 0, 0, 0, 1, *[0] * 9, 1)


async def test_the_times_of_a_large_failure_mode_need_not_fit_into_one_document(
    stored: Stored, empty_database: Database
) -> None:
    # As many bytes as 431,000 times have: MongoDB's documents hold 16 MB.
    await MongoModes(empty_database).prepare()
    worse = {"score": 0.1}  # the exemplar is another one
    needles = [needle_found(f"large{number}").model_copy(update=worse) for number in range(17)]
    await stored.needles.record(needles)
    large = {"$set": {"needle.captured_at": "0001" + " " * 2**20}}
    ids = {"_id": {"$in": [needle.needle_id for needle in needles]}}
    await empty_database["needles"].update_many(ids, large)

    async with profiled(empty_database, "needles") as queries:
        (mode,) = await stored.modes.modes()
    assert mode.size == len(NEEDLES) + len(needles)
    assert sum(mode.trend) == len(NEEDLES)
    counted = [query for query in queries if "aggregate" in query["command"]]
    assert [query["docsExamined"] for query in counted] == [0]  # the index has every field


async def test_a_list_of_tagged_needles_is_paged_counted_and_walked(
    stored: Stored, empty_database: Database
) -> None:
    rain = {"weather": "rain"}
    names = [f"wet{number}" for number in range(4)]
    frames = [frame_captured(name).model_copy(update={"tags": rain}) for name in names]
    await MongoFrameStore(empty_database).record(frames)
    scores = {"wet0": 0.8, "wet1": 0.6, "wet2": 0.6, "wet3": 0.1}
    needles = {
        name: needle_found(name).model_copy(update={"score": score})
        for name, score in scores.items()
    }
    await stored.needles.record([*needles.values()])
    tied = sorted(("wet1", "wet2"), key=lambda name: needles[name].needle_id, reverse=True)
    order = ["a", "wet0", *tied, "wet3"]
    ids = [(needles | NEEDLES)[name].needle_id for name in order]
    wanted = NeedleFilter(tag="weather=rain")

    assert await stored.names(wanted) == order
    assert await stored.names(wanted, skip=1, limit=2) == order[1:3]
    assert await stored.lists.ids(wanted, Sort.SCORE, limit=2, after=needles[tied[0]]) == ids[3:]
    assert await stored.lists.count(wanted) == 5
    assert sum(group.count for group in await stored.lists.groups(wanted)) == 5
    places = [
        await stored.lists.place(wanted, Sort.SCORE, (needles | NEEDLES)[name]) for name in order
    ]
    neighbours = [None, *ids, None]
    assert places == [
        ListPosition(neighbours[number], neighbours[number + 2], number, 5) for number in range(5)
    ]
    outside = await stored.lists.place(wanted, Sort.SCORE, NEEDLES["c"])
    assert outside == ListPosition(ids[1], ids[2], 2, 5)


async def test_needles_are_selected_by_tags_of_more_frames_than_a_document_can_name(
    stored: Stored, empty_database: Database
) -> None:
    # As many bytes as the ids of 400,000 frames have: MongoDB's documents hold 16 MB.
    await stored.needles.record([needle_found(f"many{number}") for number in range(2100)])
    longer: Document = {"$set": {"frame_id": {"$concat": ["$frame_id", "x" * 8000]}}}
    many = {"frame_id": {"$regex": "^many"}}
    await empty_database["needles"].update_many(many, [longer])

    assert await stored.lists.count(NeedleFilter(tag="weather=rain")) == 1
    assert await stored.names(NeedleFilter(tag="weather=rain")) == ["a"]
