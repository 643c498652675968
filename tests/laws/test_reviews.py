import random
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from services.annotation.ports.needle_filters import NeedleFilter, Sort
from services.annotation.ports.reviews import Act, Claim, Projection, ReviewEvent, ReviewStore
from services.annotation.review.annotator_work import PAUSE, WorkCounts
from services.annotation.stores.needle_lists_mongo import MongoNeedleLists
from services.annotation.stores.reviews_mongo import MongoReviewStore
from services.contracts.identity import FrameId, NeedleId, RegionId
from services.domain.ports.needles import ReviewProgress
from services.runtime.stores.audit_mongo import MongoAuditLog
from services.runtime.stores.mongo import Database
from services.runtime.stores.needles_mongo import MongoNeedleStore
from tests.mongo_profile import profiled
from tests.samples import CAPTURED_AT as NOW
from tests.samples import needle_found

NEEDLE, OTHER = NeedleId("n1"), NeedleId("n2")


@pytest.fixture
async def reviews(empty_database: Database) -> ReviewStore:
    store = MongoReviewStore(empty_database)
    await store.prepare()
    return store


def event(version: int = 1, needle: NeedleId = NEEDLE, minute: int = 0) -> ReviewEvent:
    at = NOW + timedelta(minutes=minute)
    regions = (RegionId("r1"), RegionId("r2"))
    return ReviewEvent(needle, version, Act.ACCEPT, regions, "Ana", "t1", at, act_id="act-1")


def claim(by: str = "Ana", until_s: float = 60.0, token: str = "t1") -> Claim:
    return Claim(by, token, later(until_s))


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


async def test_events_and_audits_are_sorted_by_an_index(
    reviews: ReviewStore, empty_database: Database
) -> None:
    # MongoDB sorts 100 MB in memory, and refuses more.
    audit = MongoAuditLog(empty_database)
    await audit.prepare()
    assert await reviews.append(event())
    for collection, since in (("reviews", reviews.since), ("audit", audit.since)):
        async with profiled(empty_database, collection) as queries:
            assert [item async for item in since(NOW + timedelta(hours=1))] == []
        (query,) = queries
        assert (query["planSummary"], query.get("hasSortStage")) == (
            "IXSCAN { at: 1, _id: 1 }",
            None,
        )


async def test_events_come_as_they_were_appended_in_the_order_of_versions(
    reviews: ReviewStore,
) -> None:
    corrected = replace(
        event(11),
        act=Act.CORRECT,
        undoes=3,
        frame_id=FrameId("f1"),
        revision=4,
        note="a <b> note",
        verdict=Act.REJECT,
    )
    for appended in (event(2), corrected, event(1), event(1, OTHER)):
        assert await reviews.append(appended)

    assert await reviews.events(NEEDLE) == [event(1), event(2), corrected]
    assert await reviews.events(NeedleId("unknown")) == []


async def test_of_two_events_with_one_version_the_first_counts(reviews: ReviewStore) -> None:
    assert await reviews.append(event())
    assert not await reviews.append(replace(event(), by="Ben"))

    assert await reviews.events(NEEDLE) == [event()]


async def test_recent_events_are_the_latest_first(reviews: ReviewStore) -> None:
    for version, minute in ((1, 5), (2, 1), (3, 9)):
        await reviews.append(event(version, minute=minute))

    assert [one.version for one in await reviews.recent(2)] == [3, 1]


async def test_corrections_of_a_frame_are_the_oldest_first(reviews: ReviewStore) -> None:
    for version, minute, frame in ((1, 5, "f1"), (2, 1, "f1"), (3, 0, "f2")):
        appended = replace(event(version, minute=minute), frame_id=FrameId(frame))
        await reviews.append(appended)

    assert [one.version for one in await reviews.of_frame(FrameId("f1"))] == [2, 1]


async def test_events_come_needle_by_needle(reviews: ReviewStore) -> None:
    for appended in (event(2), event(1, OTHER), event(1)):
        await reviews.append(appended)

    assert [own async for own in reviews.by_needle()] == [[event(1), event(2)], [event(1, OTHER)]]
    later_acts = [event(3, minute=9), event(2, OTHER, minute=9)]
    for appended in later_acts:
        await reviews.append(appended)
    found = [own async for own in reviews.by_needle(NOW + timedelta(minutes=9))]
    assert found == [[act] for act in later_acts]


@pytest.mark.parametrize("seed", range(5))
async def test_time_by_needle_is_what_its_events_say(reviews: ReviewStore, seed: int) -> None:
    draw = random.Random(seed)
    known = [
        replace(
            event(version, NeedleId(f"n{draw.randrange(4)}"), draw.randrange(60)),
            by=draw.choice(("Ana", "Ben")),
        )
        for version in range(30)
    ]
    for appended in known:
        await reviews.append(appended)
    ordered = sorted(known, key=lambda one: (one.at, f"{one.needle_id}:{one.version}"))

    counts = WorkCounts()
    for act in ordered:
        counts.add_act(act)
    assert await reviews.time_by_needle(PAUSE) == counts.work().time


async def test_a_free_needle_is_claimed_and_a_claimed_one_is_not(reviews: ReviewStore) -> None:
    assert await reviews.claim(NEEDLE, claim(), NOW) == claim()
    assert await reviews.claim(NEEDLE, claim("Ben"), later(59)) == claim()
    assert await reviews.claim(OTHER, claim("Ben"), NOW) == claim("Ben")


async def test_its_holder_renews_a_claim_with_any_token(reviews: ReviewStore) -> None:
    await reviews.claim(NEEDLE, claim(), NOW)
    renewed = claim(until_s=90, token="t2")

    assert await reviews.claim(NEEDLE, renewed, later(30)) == renewed


async def test_a_claim_ends_at_its_time(reviews: ReviewStore) -> None:
    await reviews.claim(NEEDLE, claim(), NOW)

    assert await reviews.claims([NEEDLE, OTHER], later(59)) == {NEEDLE: claim()}
    assert await reviews.claims([NEEDLE], later(60)) == {}
    taken = claim("Ben", until_s=120)
    assert await reviews.claim(NEEDLE, taken, later(60)) == taken


async def test_a_claim_can_be_taken_by_force(reviews: ReviewStore) -> None:
    await reviews.claim(NEEDLE, claim(), NOW)

    assert await reviews.claim(NEEDLE, claim("Ben"), NOW, by_force=True) == claim("Ben")
    assert await reviews.claim(NEEDLE, claim(), NOW) == claim("Ben")


async def test_the_signing_key_stays(reviews: ReviewStore) -> None:
    key = await reviews.signing_key()

    assert len(key) == 32
    assert await reviews.signing_key() == key


async def test_an_older_projection_never_replaces_a_newer_one(
    reviews: ReviewStore, empty_database: Database
) -> None:
    needle = needle_found()
    await MongoNeedleStore(empty_database).record([needle])
    newer = Projection(2, ReviewProgress.DONE, 3, 2, 1, "Ana", NOW)
    await reviews.project(needle.needle_id, newer)
    await reviews.project(needle.needle_id, replace(newer, version=1, decided=0))

    lists = MongoNeedleLists(empty_database)
    await lists.prepare()
    (row,) = await lists.page(NeedleFilter(), Sort.SCORE, limit=10)
    assert row.review == newer
