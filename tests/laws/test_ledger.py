import asyncio

import pytest

from services.domain.ports.ledger import Entry, RevisionLedger
from services.runtime.stores.ledger_mongo import MongoRevisionLedger
from services.runtime.stores.ledger_older import KEPT, MAX_CONTENTS, OlderContents
from services.runtime.stores.mongo import Database
from tests.fakes.ledger import InMemoryLedger

ORIGINAL = Entry("ground_truth f1", "original")
CORRECTED = Entry("ground_truth f1", "corrected")
OTHER = Entry("ground_truth $f.2", "$original")


@pytest.fixture(params=["in_memory", "mongod"])
def ledger(request: pytest.FixtureRequest) -> RevisionLedger:
    if request.param == "in_memory":
        return InMemoryLedger()
    return MongoRevisionLedger(request.getfixturevalue("empty_database"), "broker-1")


async def test_a_new_content_is_the_next_revision(ledger: RevisionLedger) -> None:
    assert await ledger.assign([ORIGINAL, OTHER]) == [1, 1]
    assert await ledger.assign([CORRECTED]) == [2]


async def test_a_known_content_keeps_its_revision(ledger: RevisionLedger) -> None:
    await ledger.assign([ORIGINAL])
    await ledger.assign([CORRECTED])

    assert await ledger.assign([ORIGINAL, CORRECTED, ORIGINAL]) == [1, 2, 1]


async def test_two_contents_in_one_call_get_two_revisions(ledger: RevisionLedger) -> None:
    assert sorted(await ledger.assign([ORIGINAL, CORRECTED])) == [1, 2]


async def test_the_first_content_is_told_without_assigning_any(ledger: RevisionLedger) -> None:
    assert await ledger.first([ORIGINAL.subject]) == {}
    await ledger.assign([ORIGINAL])
    await ledger.assign([CORRECTED])

    first = await ledger.first([ORIGINAL.subject, OTHER.subject])

    assert first == {ORIGINAL.subject: ORIGINAL.digest}
    assert await ledger.assign([CORRECTED]) == [2]


async def test_nothing_to_assign_is_nothing(ledger: RevisionLedger) -> None:
    assert await ledger.assign([]) == []
    await ledger.confirm([])
    assert await ledger.published([]) == set()


async def test_only_what_was_confirmed_is_published(ledger: RevisionLedger) -> None:
    await ledger.assign([ORIGINAL, CORRECTED, OTHER])
    await ledger.confirm([ORIGINAL, OTHER])

    assert await ledger.published([ORIGINAL, CORRECTED, OTHER]) == {ORIGINAL, OTHER}


async def test_an_assigned_subject_is_known_once_it_is_confirmed(ledger: RevisionLedger) -> None:
    await ledger.assign([ORIGINAL, OTHER])
    await ledger.confirm([OTHER])

    assert await ledger.known([ORIGINAL.subject, OTHER.subject, "never"]) == {OTHER.subject}


async def test_confirming_twice_is_confirming_once(ledger: RevisionLedger) -> None:
    await ledger.assign([ORIGINAL, CORRECTED])
    await ledger.confirm([ORIGINAL, ORIGINAL])
    await ledger.confirm([ORIGINAL, CORRECTED])

    assert await ledger.published([ORIGINAL, CORRECTED]) == {ORIGINAL, CORRECTED}
    assert await ledger.assign([CORRECTED, ORIGINAL]) == [2, 1]


async def test_a_change_comes_right_after_the_revision_it_was_made_to(
    ledger: RevisionLedger,
) -> None:
    await ledger.assign([ORIGINAL])

    assert await ledger.assign_next(CORRECTED, after=1)
    assert await ledger.assign_next(CORRECTED, after=1)
    assert await ledger.assign([CORRECTED]) == [2]


async def test_of_two_changes_to_one_revision_the_second_is_refused(
    ledger: RevisionLedger,
) -> None:
    late = CORRECTED._replace(digest="late")
    await ledger.assign([ORIGINAL])
    await ledger.assign_next(CORRECTED, after=1)

    assert not await ledger.assign_next(late, after=1)
    assert await ledger.assign_next(late, after=2)


async def test_a_content_takes_its_place_unless_a_newer_one_has_it(ledger: RevisionLedger) -> None:
    late = CORRECTED._replace(digest="late")
    assert await ledger.assign_unless_newer(ORIGINAL, after=0) == 1
    assert await ledger.assign_unless_newer(CORRECTED, after=1) == 2

    assert await ledger.assign_unless_newer(late, after=1) is None
    assert await ledger.assign_unless_newer(CORRECTED, after=1) == 2
    assert await ledger.assign_unless_newer(ORIGINAL, after=2) == 1
    assert await ledger.assign_unless_newer(late, after=2) == 3


async def test_the_latest_revision_is_told_without_assigning_any(ledger: RevisionLedger) -> None:
    await ledger.returns("http", [OTHER])
    assert await ledger.latest([]) == {}
    assert await ledger.latest([ORIGINAL.subject, OTHER.subject]) == {}
    await ledger.assign([ORIGINAL])
    await ledger.assign([CORRECTED])

    assert await ledger.latest([ORIGINAL.subject, OTHER.subject]) == {ORIGINAL.subject: 2}
    assert await ledger.assign([OTHER]) == [1]


async def test_a_change_to_a_revision_that_the_ledger_never_saw_keeps_its_place(
    ledger: RevisionLedger,
) -> None:
    assert await ledger.assign_next(CORRECTED, after=3)
    assert await ledger.assign([CORRECTED]) == [4]


async def test_a_way_returns_to_a_content_when_it_has_said_another_since(
    ledger: RevisionLedger,
) -> None:
    assert await ledger.returns("http", [ORIGINAL, OTHER]) == [0, 0]
    assert await ledger.returns("http", [ORIGINAL]) == [0]
    assert await ledger.returns("http", [CORRECTED, ORIGINAL, ORIGINAL, CORRECTED]) == [0, 1, 1, 1]
    assert await ledger.returns("http", [CORRECTED]) == [1]
    assert await ledger.returns("http-import", [ORIGINAL]) == [0]
    assert await ledger.returns("http", []) == []


async def test_what_was_only_said_has_no_revision(ledger: RevisionLedger) -> None:
    await ledger.returns("http", [ORIGINAL])

    assert await ledger.assign([CORRECTED, ORIGINAL]) == [1, 2]
    assert await ledger.known([ORIGINAL.subject]) == set()


async def test_writers_at_once_never_share_a_revision(ledger: RevisionLedger) -> None:
    contents = [Entry("ground_truth f1", f"content {number}") for number in range(20)]

    numbers = await asyncio.gather(*(ledger.assign([content]) for content in contents))

    assert sorted(number for (number,) in numbers) == list(range(1, 21))


async def test_another_broker_has_acknowledged_nothing(empty_database: Database) -> None:
    before = MongoRevisionLedger(empty_database, "first start")
    await before.assign([ORIGINAL])
    await before.confirm([ORIGINAL])

    after = MongoRevisionLedger(empty_database, "second start")

    assert await after.published([ORIGINAL]) == set()
    assert await after.known([ORIGINAL.subject]) == {ORIGINAL.subject}
    assert await after.assign([ORIGINAL]) == [1]
    await after.confirm([ORIGINAL])
    assert await after.published([ORIGINAL]) == {ORIGINAL}
    assert await before.published([ORIGINAL]) == set()


async def test_revisions_of_a_frame_that_is_corrected_very_often_stay(
    ledger: RevisionLedger,
) -> None:
    contents = [Entry("ground_truth f1", f"content {number}") for number in range(270)]
    for number, content in enumerate(contents, start=1):
        assert await ledger.assign([content]) == [number]
        if number % 2:
            await ledger.confirm([content])

    assert await ledger.assign(contents) == list(range(1, 271))
    assert await ledger.published(contents) == set(contents[::2])
    assert await ledger.first([contents[0].subject]) == {contents[0].subject: contents[0].digest}
    assert await ledger.assign_next(contents[7], after=7)
    assert not await ledger.assign_next(contents[8], after=7)
    assert await ledger.assign_unless_newer(contents[7], after=270) == 8
    assert await ledger.latest([CORRECTED.subject]) == {CORRECTED.subject: 270}
    assert await ledger.assign_unless_newer(CORRECTED, after=269) is None
    assert await ledger.assign_next(CORRECTED, after=270)
    await ledger.confirm([contents[1]])
    assert await ledger.published(contents[:3]) == set(contents[:3])
    assert await ledger.assign([CORRECTED, Entry("ground_truth f1", "next")]) == [271, 272]


async def test_of_a_frame_that_is_corrected_very_often_every_change_is_recognised(
    ledger: RevisionLedger,
) -> None:
    contents = [Entry("ground_truth f1", f"content {number}") for number in range(270)]
    for content in contents:
        await ledger.assign([content])

    known = [await ledger.assign_next(content, after=n) for n, content in enumerate(contents)]
    assert all(known)
    others = [await ledger.assign_next(CORRECTED, after=after) for after in range(270)]
    assert not any(others)
    assert await ledger.assign_next(CORRECTED, after=270)


async def test_at_a_bound_older_contents_move_and_placeholders_of_a_gap_go(
    empty_database: Database,
) -> None:
    ledger = MongoRevisionLedger(empty_database, "broker-1")
    await ledger.assign_next(CORRECTED, after=MAX_CONTENTS - 1)
    assert await ledger.assign([CORRECTED]) == [MAX_CONTENTS]

    document = await empty_database["revisions"].find_one({"_id": CORRECTED.subject})
    assert document is not None
    assert (len(document["digests"]), document["moved"]) == (1 + KEPT, MAX_CONTENTS - 1 - KEPT)
    assert await empty_database["older_revisions"].count_documents({}) == 0
    assert await ledger.assign([CORRECTED, ORIGINAL]) == [MAX_CONTENTS, MAX_CONTENTS + 1]


async def test_a_content_that_moves_twice_keeps_its_first_revision(
    empty_database: Database,
) -> None:
    older = OlderContents(empty_database)
    newest = [f"content {number}" for number in range(MAX_CONTENTS)]
    for moved, before in ((0, ["first", "twice"]), (MAX_CONTENTS, ["first", "other", "twice"])):
        await older.keep(ORIGINAL.subject, {"digests": [*before, *newest], "moved": moved})

    twice = Entry(ORIGINAL.subject, "twice")
    assert (await older.load([twice]))[twice].revision == 2


async def test_a_way_may_go_back_and_forth_very_often(ledger: RevisionLedger) -> None:
    for times in range(150):
        assert await ledger.returns("http", [ORIGINAL, CORRECTED]) == [times, times]
    assert await ledger.returns("http", [CORRECTED]) == [149]


async def test_a_subject_of_thousands_of_revisions_is_a_small_document(
    empty_database: Database,
) -> None:
    ledger = MongoRevisionLedger(empty_database, "broker-1")
    for start in range(0, 600, 50):
        some = [Entry("ground_truth f1", f"content {start + n}") for n in range(50)]
        await ledger.assign(some)
        await ledger.confirm(some)
        await ledger.returns("http", some)
    document = await empty_database["revisions"].find_one({"_id": "ground_truth f1"})
    assert document is not None
    assert len(document["digests"]) < 300
    assert len(document["published"]) < 300
    assert len(document["said"]["http"]) < 300


async def test_a_ledger_from_before_keeps_its_revisions(empty_database: Database) -> None:
    digests = [f"content {number}" for number in range(4000)]
    await empty_database["revisions"].insert_one(
        {
            "_id": "ground_truth f1",
            "digests": digests,
            "published": sorted(digests),
            "broker": "broker-1",
            "said": {"http": [*digests, "content 3"]},
        }
    )
    ledger = MongoRevisionLedger(empty_database, "broker-1")
    entries = [Entry("ground_truth f1", digest) for digest in digests]
    asked = [entries[0], entries[1], entries[2000], entries[3999]]
    for _ in range(2):
        assert await ledger.assign(asked) == [1, 2, 2001, 4000]
        assert await ledger.published(asked) == set(asked)
    assert await ledger.returns("http", [entries[3], entries[5], entries[3]]) == [1, 1, 2]
    assert await ledger.assign([Entry("ground_truth f1", "new")]) == [4001]
