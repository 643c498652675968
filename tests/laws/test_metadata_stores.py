"""What every store of frames, matches, needles and shortlists does, in memory and in MongoDB."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from services.contracts.errors import ConflictingRevision
from services.contracts.events import FrameEmbedded, Split
from services.contracts.identity import (
    Category,
    DetectorId,
    FamilyId,
    FrameId,
    ModelId,
    RegionId,
    VehicleId,
    frame_point_id,
)
from services.contracts.matches import FrameMatched, MatchGroups, categories_of
from services.contracts.needles import ShortlistPublished
from services.domain.metrics.match_columns import NamedColumns
from services.domain.ports.budget_reports import BudgetReport, BudgetReports, HeldBackFrame
from services.domain.ports.embeddings import EmbeddingFact, Embeddings, Points
from services.domain.ports.epochs import EPOCHS_KEPT, EpochStore, StateChanges
from services.domain.ports.failure_models import MODELS_KEPT, FailureModelStore
from services.domain.ports.frames import FrameFact, FrameRecord, FrameStore, FrameTally
from services.domain.ports.matches import MatchStore, Revised
from services.domain.ports.needles import NeedleStore
from services.domain.ports.shortlists import Membership, ShortlistStore
from services.domain.shortlists.budgets import Budget
from services.runtime.stores import matches_mongo
from services.runtime.stores.budget_reports_mongo import MongoBudgetReports
from services.runtime.stores.embeddings_mongo import MongoEmbeddings
from services.runtime.stores.epochs_mongo import MongoEpochStore
from services.runtime.stores.failure_models_mongo import MongoFailureModelStore
from services.runtime.stores.frames_mongo import MongoFrameStore
from services.runtime.stores.matches_mongo import MongoMatchStore
from services.runtime.stores.mongo import Database, connect
from services.runtime.stores.needles_mongo import MongoNeedleStore
from services.runtime.stores.shortlists_mongo import MongoShortlistStore
from tests import samples
from tests.fakes.budget_reports import InMemoryBudgetReports
from tests.fakes.embeddings import InMemoryEmbeddings
from tests.fakes.epochs import InMemoryEpochStore
from tests.fakes.failure_models import InMemoryFailureModelStore
from tests.fakes.frames import InMemoryFrameStore
from tests.fakes.matches import InMemoryMatchStore
from tests.fakes.needles import InMemoryNeedleStore
from tests.fakes.shortlists import InMemoryShortlistStore
from tests.mongo_profile import profiled
from tests.unit.domain import oracle
from tests.unit.domain.test_match_columns import spelled


@dataclass(frozen=True)
class Stores:
    frames: FrameStore
    matches: MatchStore
    needles: NeedleStore
    shortlists: ShortlistStore
    embeddings: Embeddings
    budgets: BudgetReports
    epochs: EpochStore
    models: FailureModelStore


@pytest.fixture(params=["in_memory", "mongod"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    if request.param == "in_memory":
        frames = InMemoryFrameStore()
        yield Stores(
            frames,
            InMemoryMatchStore(),
            InMemoryNeedleStore(),
            InMemoryShortlistStore(),
            InMemoryEmbeddings(),
            InMemoryBudgetReports(),
            InMemoryEpochStore(),
            InMemoryFailureModelStore(),
        )
        return
    database = connect(request.getfixturevalue("mongodb_url"), f"laws-{uuid4().hex[:8]}")
    kept, shortlists = MongoFrameStore(database), MongoShortlistStore(database)
    matches, needles = MongoMatchStore(database), MongoNeedleStore(database)
    epochs, models = MongoEpochStore(database, "b1"), MongoFailureModelStore(database)
    for store in (kept, matches, needles, shortlists, epochs, models):
        await store.prepare()
    embeddings = MongoEmbeddings(database)
    budgets = MongoBudgetReports(database)
    yield Stores(kept, matches, needles, shortlists, embeddings, budgets, epochs, models)
    await database.client.drop_database(database.name)
    await database.client.close()


async def test_a_frame_gathers_its_facts_in_any_order(stores: Stores) -> None:
    captured, annotated = samples.frame_captured(), samples.frame_annotated(samples.annotation())
    predicted = samples.predictions_made(samples.detection())

    await stores.frames.record([annotated])
    await stores.frames.record([predicted])
    await stores.frames.record([captured])

    record = (await stores.frames.load([captured.frame_id]))[captured.frame_id]
    assert record.captured == captured
    assert record.ground_truth == annotated
    assert record.predictions == {predicted.detector_id: predicted}


async def test_only_captured_frames_have_an_image_size(stores: Stores) -> None:
    captured, annotated = samples.frame_captured("f1"), samples.frame_annotated(frame_id="f2")
    await stores.frames.record([captured, annotated, samples.predictions_made(frame_id="f3")])
    named = [FrameId(name) for name in ("f1", "f2", "f3", "f4")]
    assert await stores.frames.image_sizes(named) == {"f1": (640, 360)}


async def test_a_frame_that_nobody_recorded_is_not_there(stores: Stores) -> None:
    assert await stores.frames.load([FrameId("nobody")]) == {}


async def test_an_older_revision_never_overwrites_a_newer_one(stores: Stores) -> None:
    first, second = (samples.frame_annotated(revision=1), samples.frame_annotated(revision=2))
    newer = samples.predictions_made(samples.detection(), revision=2)

    await stores.frames.record([second, newer])
    await stores.frames.record([first, samples.predictions_made(revision=1)])

    record = (await stores.frames.load([first.frame_id]))[first.frame_id]
    assert record.ground_truth == second
    assert record.predictions == {newer.detector_id: newer}


async def test_frames_are_found_by_the_source_of_their_latest_ground_truth(
    stores: Stores,
) -> None:
    redone = samples.frame_annotated(frame_id="f1", revision=2)
    again = redone.model_copy(update={"annotation_source": "reannotation"})
    await stores.frames.record([samples.frame_annotated(), samples.frame_annotated(frame_id="f2")])
    assert await stores.frames.annotated_from("reannotation") == set()
    await stores.frames.record([again])
    assert await stores.frames.annotated_from("reannotation") == {FrameId("f1")}


async def test_frames_that_can_be_evaluated_are_all_found_or_those_that_are_named(
    stores: Stores,
) -> None:
    truths = [samples.frame_annotated(frame_id=name) for name in ("f2", "f1", "f3")]
    made = [samples.predictions_made(frame_id=name) for name in ("f4", "f2", "f1")]
    captured = samples.frame_captured(frame_id="f1")
    await stores.frames.record([*truths, *made, captured])

    async def evaluable(*names: str) -> list[FrameRecord]:
        ids = [FrameId(name) for name in names] or None
        found = [record async for some in stores.frames.evaluable(ids) for record in some]
        return sorted(found, key=lambda record: record.frame_id)

    first, second = (
        FrameRecord(truth.frame_id, None, truth, {prediction.detector_id: prediction})
        for truth, prediction in ((truths[1], made[2]), (truths[0], made[1]))
    )
    first = replace(first, original=FrameId("f1"))
    assert await evaluable() == [first, second]
    assert await evaluable("f2", "f3", "f4", "nobody") == [second]


async def test_facts_are_tallied_by_kind(stores: Stores) -> None:
    assert await stores.frames.tally() == FrameTally(0, 0, 0)
    await stores.frames.record(
        [
            samples.frame_captured("f1"),
            samples.frame_captured("f2"),
            samples.predictions_made(frame_id="f1"),
            samples.predictions_made(frame_id="f1", version="2"),
            samples.frame_annotated(frame_id="f3"),
        ]
    )
    assert await stores.frames.tally() == FrameTally(frames=2, predictions=2, ground_truth=1)


async def test_what_is_partial_is_tallied_and_no_verdict(stores: Stores) -> None:
    answer = samples.frame_annotated(frame_id="f1", revision=2, complete=False)
    await stores.frames.record(
        [
            samples.predictions_made(frame_id="f1", complete=False),
            samples.predictions_made(frame_id="f1", version="1.2"),
            samples.predictions_made(frame_id="f2", complete=False),
            answer.model_copy(update={"annotation_source": "reannotation"}),
            samples.frame_annotated(frame_id="f2"),
        ]
    )
    tally = await stores.frames.tally()
    assert (tally.partial_predictions, tally.partial_ground_truth) == (2, 1)
    assert (tally.predictions, tally.ground_truth) == (3, 2)
    assert await stores.frames.annotated_from("reannotation") == set()


async def test_a_complete_revision_cures_a_partial_one(stores: Stores) -> None:
    partial = samples.frame_annotated(samples.annotation(), complete=False)
    cured = samples.frame_annotated(samples.annotation(), revision=2)
    await stores.frames.record([cured, partial])
    assert (await stores.frames.load([cured.frame_id]))[cured.frame_id].ground_truth == cured
    with pytest.raises(ConflictingRevision):
        await stores.frames.record([cured.model_copy(update={"complete": False})])


async def test_the_first_frame_with_a_picture_is_its_original_for_good(stores: Stores) -> None:
    names = ("f2", "f1", "f3")
    image = samples.frame_captured("f2").image
    events = [
        samples.frame_captured(name).model_copy(update={"image": image}) for name in names
    ] + [samples.frame_captured("other")]

    await stores.frames.record([samples.frame_annotated(frame_id="f1")])
    await stores.frames.record(events[:2])
    await stores.frames.record(list(reversed(events)))

    found = await stores.frames.load([FrameId(name) for name in (*names, "other")])
    assert {name: record.original for name, record in found.items()} == {
        "f1": "f2",
        "f2": "f2",
        "f3": "f2",
        "other": "other",
    }
    assert [found[FrameId(name)].is_copy for name in names] == [False, True, True]
    assert (await stores.frames.tally()).copies == 2
    await stores.frames.record([samples.predictions_made(frame_id="f1")])
    some = [record async for records in stores.frames.evaluable() for record in records]
    assert [(known.frame_id, known.original) for known in some] == [("f1", "f2")]


async def test_of_frames_that_come_at_once_one_is_the_original(stores: Stores) -> None:
    image = samples.frame_captured("f0").image
    events = [
        samples.frame_captured(f"f{number}").model_copy(update={"image": image})
        for number in range(8)
    ]
    await asyncio.gather(*(stores.frames.record([event]) for event in events))
    found = (await stores.frames.load([event.frame_id for event in events])).values()
    assert len({record.original for record in found}) == 1
    assert sum(not record.is_copy for record in found) == 1


async def test_a_frame_claims_no_picture_that_it_is_not_known_with(stores: Stores) -> None:
    first, other = samples.frame_captured("f1"), samples.frame_captured("f2")
    await stores.frames.record([first])
    with pytest.raises(ConflictingRevision):
        await stores.frames.record([first.model_copy(update={"image": other.image})])
    await stores.frames.record([other])
    assert not (await stores.frames.load([other.frame_id]))[other.frame_id].is_copy


async def test_detector_versions_stand_side_by_side(stores: Stores) -> None:
    old, new = (samples.predictions_made(version=version) for version in ("1.0", "1.1"))
    await stores.frames.record([old, new])
    record = (await stores.frames.load([old.frame_id]))[old.frame_id]
    assert set(record.predictions) == {"ods@1.0", "ods@1.1"}


async def test_recording_twice_changes_nothing(stores: Stores) -> None:
    captured = samples.frame_captured()
    facts: list[FrameFact] = [captured, samples.frame_annotated(samples.annotation())]
    await stores.frames.record(facts)
    before = await stores.frames.load([captured.frame_id])
    await stores.frames.record(facts)
    assert await stores.frames.load([captured.frame_id]) == before


async def test_one_revision_with_two_contents_is_refused_and_the_first_stays(
    stores: Stores,
) -> None:
    first = samples.frame_annotated(samples.annotation())
    await stores.frames.record([first])
    with pytest.raises(ConflictingRevision):
        await stores.frames.record([samples.frame_annotated()])
    assert (await stores.frames.load([first.frame_id]))[first.frame_id].ground_truth == first


async def test_a_moved_blob_is_no_conflict(stores: Stores) -> None:
    captured = samples.frame_captured()
    moved = captured.model_copy(
        update={"image": captured.image.model_copy(update={"uri": "s3://elsewhere/aa/a"})}
    )
    await stores.frames.record([captured])
    await stores.frames.record([moved])
    (record,) = (await stores.frames.load([captured.frame_id])).values()
    assert record.captured == captured


async def test_text_that_looks_like_a_command_is_kept_as_it_is(stores: Stores) -> None:
    category = "$set.%2E"
    predicted = samples.predictions_made(samples.detection(category), version="$1.%24")
    await stores.frames.record([predicted])
    record = (await stores.frames.load([predicted.frame_id]))[predicted.frame_id]
    assert record.predictions == {predicted.detector_id: predicted}


async def test_the_highest_revision_of_a_match_is_found(stores: Stores) -> None:
    old, new = (samples.frame_matched(revision=revision) for revision in (1, 2))
    new = new.model_copy(update={"tags": {"weather.now": "rain", "$": ""}})
    await stores.matches.record([new])
    await stores.matches.record([old])
    assert [match async for match in stores.matches.scan()] == categories_of([new])


async def test_it_is_known_since_when_no_match_has_changed(stores: Stores) -> None:
    hour = timedelta(hours=1)
    assert await stores.matches.revised_since(datetime.now(UTC) - hour) == set()

    await stores.matches.record([samples.frame_matched()])

    assert len(await stores.matches.revised_since(datetime.now(UTC) - hour)) == 1
    assert await stores.matches.revised_since(datetime.now(UTC) + hour) == set()
    since = datetime.now(UTC) + timedelta(milliseconds=2)  # more than a store's times may lack
    await stores.matches.record([samples.frame_matched()])
    assert await stores.matches.revised_since(since) == set()


async def test_the_matches_that_became_others_are_named_as_they_are_now(stores: Stores) -> None:
    hour = timedelta(hours=1)
    old, new = (samples.frame_matched(revision=revision) for revision in (1, 2))
    for match in (old, samples.frame_matched("f2"), new):
        await stores.matches.record([match])

    def of(match: FrameMatched) -> Revised:
        return Revised(match.frame_id, match.detector, match.revision)

    revised = await stores.matches.revised_since(datetime.now(UTC) - hour)
    assert revised == {of(new), of(samples.frame_matched("f2"))}
    assert await stores.matches.revised_since(datetime.now(UTC) + hour) == set()


async def test_the_columns_of_matches_say_what_the_matches_say(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matches_mongo, "_AT_ONCE", 2)
    frames = oracle.random_frames(3, 6)
    matches = [match for frame in frames for match in oracle.matched(frame, shortlisted=True)]
    matches += categories_of([samples.frame_matched("fé", category="crossing")])
    other = samples.frame_matched("f2", category="other")
    await stores.matches.record([*samples.published(matches), other])
    wanted = sorted({match.category for match in matches})
    parts = [columns async for columns in stores.matches.counted(wanted)]
    assert sum(map(len, parts)) == len(matches)
    assert spelled(NamedColumns.joined(parts)) == spelled(NamedColumns.of(matches))


async def test_the_matches_of_frames_are_found(stores: Stores) -> None:
    matches = categories_of(
        [samples.frame_matched("f1"), samples.frame_matched("f1", category="yield")]
    )
    await stores.matches.record([*samples.published(matches), samples.frame_matched("f2")])
    found = await stores.matches.load([FrameId("f1"), FrameId("f3")])
    assert sorted(found, key=lambda match: match.category) == matches


async def test_matches_are_found_by_detector_category_and_split(stores: Stores) -> None:
    wanted, *others = categories_of(
        [
            samples.frame_matched("f1", category="crossing", split=Split.HAYSTACK),
            samples.frame_matched("f1", category="stop sign", split=Split.HAYSTACK),
            samples.frame_matched("f2", category="crossing", split=Split.REFERENCE),
        ]
    )
    await stores.matches.record(samples.published([wanted, *others]))

    found = stores.matches.scan(
        detector=samples.DETECTOR, categories=[wanted.category], split=Split.HAYSTACK
    )
    assert [match async for match in found] == [wanted]
    assert await stores.matches.reference_frames() == {"f2"}
    assert await stores.matches.categories() == ["crossing", "stop sign"]


async def test_matches_of_a_detector_are_read_in_the_order_of_their_frames(stores: Stores) -> None:
    for frame_id in ("f3", "f1", "f2"):
        await stores.matches.record([samples.frame_matched(frame_id)])
    await stores.matches.record([samples.frame_matched("f0", category="yield")])

    async def ids(after: str | None, *categories: str) -> list[str]:
        found = stores.matches.in_frame_order(
            samples.DETECTOR,
            categories=[*map(Category, categories)] or None,
            after=FrameId(after) if after else None,
        )
        return [match.frame_id async for match in found]

    assert await ids(None) == ["f0", "f1", "f2", "f3"]
    assert await ids("f1") == ["f2", "f3"]
    assert await ids(None, "yield") == ["f0"]
    other = stores.matches.in_frame_order(DetectorId("nothing@1"))
    assert [match async for match in other] == []


async def test_a_list_of_frames_with_a_rare_category_reads_no_others(
    empty_database: Database,
) -> None:
    matches = MongoMatchStore(empty_database)
    await matches.prepare()
    common = [samples.frame_matched(f"f{number}") for number in range(300)]
    await matches.record([*common, samples.frame_matched("rare", category="yield")])
    async with profiled(empty_database, "matches") as queries:
        listed = matches.in_frame_order(samples.DETECTOR, categories=[Category("yield")])
        assert [match.frame_id async for match in listed] == ["rare"]
    assert [query["docsExamined"] for query in queries] == [1]


async def test_a_list_of_a_detectors_frames_reads_no_match_of_another(
    empty_database: Database,
) -> None:
    matches = MongoMatchStore(empty_database)
    await matches.prepare()
    common = [samples.frame_matched(f"f{number}") for number in range(20)]
    rare = common[7].model_copy(update={"detector": "rare@1"})
    await matches.record([*common, rare])
    async with profiled(empty_database, "matches") as queries:
        found = [match async for match in matches.in_frame_order(DetectorId("rare@1"))]
        every = [match async for match in matches.scan(detector=samples.DETECTOR)]
    assert ([match.frame_id for match in found], len(every)) == (["f7"], len(common))
    read = [(query["docsExamined"], query["planSummary"]) for query in queries]
    assert read == [(1, "IXSCAN { detector: 1, frame_id: 1 }"), (21, "COLLSCAN")]


async def test_needles_are_remembered_even_when_an_old_match_brings_them(stores: Stores) -> None:
    old, new = (samples.frame_matched(revision=revision) for revision in (1, 2))
    needle = samples.needle_found()
    await stores.matches.record([new])
    await stores.matches.record([old], [needle])
    pair = old.frame_id, old.detector
    known = await stores.matches.known([pair, (FrameId("f2"), old.detector)])
    assert known == {pair: {needle.category: frozenset({needle.needle_id})}}


async def test_a_match_is_recorded_with_what_was_known_of_it_before(stores: Stores) -> None:
    """Categories and needles of former matches, so that they can be retracted."""
    first, needle = samples.frame_matched(), samples.needle_found()
    pair = first.frame_id, first.detector
    assert await stores.matches.record([first], [needle]) == {
        pair: {needle.category: frozenset({needle.needle_id})}
    }
    emptied = samples.revised(first, 2).model_copy(update={"groups": MatchGroups()})
    known = await stores.matches.record([emptied])
    assert known == {pair: {needle.category: frozenset({needle.needle_id})}}
    (left,) = await stores.matches.load([first.frame_id])
    assert (left.category, left.regions, left.revision) == (needle.category, (), 2)
    nothing = samples.frame_matched("f9").model_copy(update={"groups": MatchGroups()})
    assert await stores.matches.record([nothing]) == {("f9", first.detector): {}}
    assert await stores.matches.categories() == [needle.category]


async def test_frames_are_recorded_and_read_at_once_with_the_predictions_that_matter(
    stores: Stores,
) -> None:
    old, new = (samples.predictions_made(version=version) for version in ("1", "2"))
    captured = samples.frame_captured()
    frame_id = captured.frame_id
    assert (await stores.frames.record([old]))[frame_id].predictions == {old.detector_id: old}
    record = (await stores.frames.record([new]))[frame_id]
    assert record.predictions == {new.detector_id: new}
    record = (await stores.frames.record([], [(frame_id, old.detector_id)]))[frame_id]
    assert record.predictions == {old.detector_id: old}
    both = {old.detector_id: old, new.detector_id: new}
    record = (await stores.frames.record([captured]))[frame_id]
    assert (record.captured, record.predictions) == (captured, both)
    truth = samples.frame_annotated()
    record = (await stores.frames.record([truth, new]))[frame_id]
    assert (record.captured, record.ground_truth, record.predictions) == (captured, truth, both)
    assert await stores.frames.record([], [(FrameId("nobody"), old.detector_id)]) == {}


async def test_predictions_wait_until_they_are_embedded(stores: Stores) -> None:
    first, second = (
        samples.predictions_made(samples.detection(score=score), revision=revision)
        for revision, score in ((1, 0.5), (2, 0.6))
    )
    captured = samples.frame_captured()
    await stores.embeddings.record([first, captured])
    record = (await stores.embeddings.load([captured.frame_id]))[captured.frame_id]
    assert (record.captured, record.waiting) == (captured, {first.detector_id: first})
    await stores.embeddings.record([second])
    await stores.embeddings.record([first, samples.frame_embedded(first)])
    record = (await stores.embeddings.load([captured.frame_id]))[captured.frame_id]
    assert (record.revisions, record.waiting) == (
        {first.detector_id: 2},
        {first.detector_id: second},
    )
    await stores.embeddings.record([samples.frame_embedded(second)])
    record = (await stores.embeddings.load([captured.frame_id]))[captured.frame_id]
    assert record.waiting == {}
    assert record.embedded == {samples.MODEL: samples.frame_embedded(second)}
    assert not record.lacks_regions(samples.MODEL)
    assert record.lacks_regions(ModelId("another"))


async def test_the_frames_of_a_detector_are_read_with_its_predictions_only(
    stores: Stores,
) -> None:
    made = samples.predictions_made(samples.detection())
    other = samples.predictions_made(version="2")
    elsewhere = samples.predictions_made(frame_id="f2", version="2")
    captured = samples.frame_captured()
    await stores.frames.record([captured, samples.frame_annotated(), made, other, elsewhere])
    found = [r async for some in stores.frames.predicted(made.detector_id) for r in some]
    assert [(r.captured, dict(r.predictions)) for r in found] == [
        (captured, {made.detector_id: made})
    ]


async def test_ground_truth_waits_until_it_is_embedded(stores: Stores) -> None:
    first, second = (samples.frame_annotated(revision=revision) for revision in (1, 2))
    made, captured = samples.predictions_made(), samples.frame_captured()
    await stores.embeddings.record([captured, second, first, made])
    record = (await stores.embeddings.load([captured.frame_id]))[captured.frame_id]
    assert (record.ground_truth, record.ground_truth_revision) == (second, 2)
    assert record.revisions == {made.detector_id: 1}

    event = samples.frame_embedded(made)
    object_ids = {"annotations": (RegionId("object"),), "ground_truth_revision": 1}
    outdated = event.model_copy(update=object_ids)
    await stores.embeddings.record([outdated])
    assert await stores.embeddings.pending(samples.MODEL, None, 9) == [captured.frame_id]
    latest = event.model_copy(update={**object_ids, "ground_truth_revision": 2})
    await stores.embeddings.record([latest])
    await stores.embeddings.record([outdated])

    record = (await stores.embeddings.load([captured.frame_id]))[captured.frame_id]
    assert (record.ground_truth, record.ground_truth_revision) == (None, 2)
    assert record.embedded == {samples.MODEL: latest}
    assert not record.lacks_regions(samples.MODEL)
    assert record.lacks_regions(ModelId("another"))
    assert await stores.embeddings.pending(samples.MODEL, None, 9) == []
    assert await stores.embeddings.points() == {samples.MODEL: Points(frames=1, regions=1)}


async def test_a_needle_is_active_until_a_newer_retraction(stores: Stores) -> None:
    needle = samples.needle_found(revision=2)
    await stores.needles.record([needle])
    await stores.needles.record([samples.needle_retracted(needle, revision=1)])
    assert (await stores.needles.load([needle.needle_id]))[needle.needle_id].active
    await stores.needles.record([samples.needle_retracted(needle, revision=3)])
    record = (await stores.needles.load([needle.needle_id]))[needle.needle_id]
    assert not record.active
    assert record.needle == needle


async def test_a_retraction_that_comes_first_still_wins(stores: Stores) -> None:
    needle = samples.needle_found(revision=1)
    await stores.needles.record([samples.needle_retracted(needle, revision=2)])
    await stores.needles.record([needle])
    record = (await stores.needles.load([needle.needle_id]))[needle.needle_id]
    assert not record.active
    assert record.needle == needle


async def test_needles_are_found_by_detector(stores: Stores) -> None:
    own = [samples.needle_found("f1"), samples.needle_found("f2", category="crossing")]
    other = samples.needle_found("f3").model_copy(update={"detector": "other@1"})
    await stores.needles.record([*own, other])
    of_detector = stores.needles.scan(detector=samples.DETECTOR)
    assert {record.needle async for record in of_detector} == {*own}
    assert {record.needle async for record in stores.needles.scan()} == {*own, other}


async def test_a_shortlist_knows_whether_the_broker_has_it(stores: Stores) -> None:
    needle = samples.needle_found()
    await stores.needles.record([needle])
    second = samples.shortlist_published(needle, "h1", revision=2)
    await stores.needles.write_shortlists([second])
    await stores.needles.write_shortlists([samples.shortlist_published(needle, "h2", revision=1)])
    record = (await stores.needles.load([needle.needle_id]))[needle.needle_id]
    assert (record.shortlist, record.published_revision) == (second, 0)

    await stores.needles.mark_published([second])
    record = (await stores.needles.load([needle.needle_id]))[needle.needle_id]
    assert record.published_revision == second.revision


async def test_a_late_earlier_revision_does_not_change_since_when_there_are_candidates(
    empty_database: Database,
) -> None:
    needle, store = samples.needle_found(), MongoNeedleStore(empty_database)
    await store.record([needle])
    first, withdrawn = (
        samples.shortlist_published(needle, *names, revision=revision)
        for revision, names in ((1, ("h1",)), (2, ()))
    )
    await store.write_shortlists([withdrawn])
    await store.write_shortlists([first])
    (document,) = await empty_database["needles"].find().to_list()
    assert "shortlisted_at" not in document


async def test_what_was_said_of_embedded_frames_is_counted_read_and_forgotten(
    stores: Stores,
) -> None:
    events = []
    for name in ("f1", "f2", "f3"):
        made = samples.predictions_made(samples.detection(), frame_id=name)
        events.append(samples.frame_embedded(made))
        await stores.embeddings.record([samples.frame_captured(name), made, events[-1]])
    model = samples.MODEL
    f2 = FrameId("f2")

    assert await stores.embeddings.points() == {model: Points(frames=3, regions=3)}
    assert await stores.embeddings.embedded_frames(model, None, 2) == events[:2]
    assert await stores.embeddings.embedded_frames(model, f2, 2) == events[2:]

    await stores.embeddings.forget(model, [f2])
    assert await stores.embeddings.points() == {model: Points(frames=2, regions=2)}
    assert await stores.embeddings.pending(model, None, 9) == [f2]

    await stores.embeddings.record([events[1]])
    assert await stores.embeddings.pending(model, None, 9) == []
    assert await stores.embeddings.one(model) in events
    now = datetime.now(tz=UTC)
    ages = [timedelta(days=1), timedelta(days=-1)]
    assert [await stores.embeddings.embedded_since(model, now - age) for age in ages] == [
        True,
        False,
    ]
    assert not await stores.embeddings.embedded_since(ModelId("other"), now - ages[0])


async def test_of_two_processes_one_closes_an_epoch(stores: Stores) -> None:
    assert await stores.epochs.latest() == {}
    first, second = samples.epoch(1), samples.epoch(2)
    other = samples.epoch(7, DetectorId("other@1"))
    assert await stores.epochs.close(first, WHOLE)
    assert not await stores.epochs.close(replace(first, budget=1), changes(1))
    assert await stores.epochs.close(other, WHOLE)
    assert await stores.epochs.close(second, changes(2))
    assert await stores.epochs.latest() == {first.detector: second, other.detector: other}
    assert await stores.epochs.of(first.detector) == [first, second]
    assert await stores.epochs.changes(first.detector) == [WHOLE, changes(2)]


WHOLE = StateChanges(b"whole", is_whole=True)


def changes(number: int) -> StateChanges:
    return StateChanges(b"%d" % number, is_whole=False)


async def test_changes_are_read_from_the_last_whole_ones(stores: Stores) -> None:
    epochs = stores.epochs
    assert await epochs.changes(samples.DETECTOR) == []
    # Without whole ones before, changes say nothing.
    assert await epochs.close(samples.epoch(1), changes(1))
    assert await epochs.changes(samples.DETECTOR) == []
    # More than one document of MongoDB holds.
    large = StateChanges(bytes(range(256)) * 70_000, is_whole=True)
    for number, item in enumerate((WHOLE, changes(3), large, changes(5)), start=2):
        assert await epochs.close(samples.epoch(number), item)
    assert await epochs.changes(samples.DETECTOR) == [large, changes(5)]


async def test_a_process_reads_the_changes_that_it_has_missed(stores: Stores) -> None:
    epochs = stores.epochs
    for number, item in enumerate((WHOLE, changes(2), changes(3)), start=1):
        assert await epochs.close(samples.epoch(number), item)
    assert await epochs.changes(samples.DETECTOR, 1) == [changes(2), changes(3)]
    assert await epochs.changes(samples.DETECTOR, 3) == []
    assert await epochs.close(samples.epoch(4), WHOLE)
    assert await epochs.changes(samples.DETECTOR, 1) == [WHOLE]


async def test_changes_that_were_recorded_twice_alike_are_there(stores: Stores) -> None:
    for expected in (True, False):
        assert await stores.epochs.close(samples.epoch(), WHOLE) is expected
    assert await stores.epochs.changes(samples.DETECTOR) == [WHOLE]


async def test_changes_that_are_forgotten_are_missing_until_there_are_whole_ones(
    stores: Stores,
) -> None:
    assert await stores.epochs.close(samples.epoch(1), WHOLE)
    await stores.epochs.forget_changes()
    assert await stores.epochs.changes(samples.DETECTOR) == []
    assert await stores.epochs.close(samples.epoch(2), changes(2))
    assert await stores.epochs.changes(samples.DETECTOR) == []
    assert await stores.epochs.close(samples.epoch(3), WHOLE)
    assert await stores.epochs.changes(samples.DETECTOR) == [WHOLE]


async def test_failure_models_are_kept_by_category_the_last_ones_longest(stores: Stores) -> None:
    models, other = stores.models, Category("yield")
    large = bytes(range(256)) * 70_000
    await models.save(samples.DETECTOR, other, "first", large)
    for number in range(MODELS_KEPT):
        await models.save(samples.DETECTOR, samples.STOP_SIGN, f"m{number}", b"%d" % number)
    assert await models.load(samples.DETECTOR, samples.STOP_SIGN, "m0") == b"0"
    for _ in range(2):
        await models.save(samples.DETECTOR, samples.STOP_SIGN, "last", b"last")
    assert await models.load(samples.DETECTOR, samples.STOP_SIGN, "m0") is None
    assert await models.load(samples.DETECTOR, samples.STOP_SIGN, "m1") == b"1"
    assert await models.load(samples.DETECTOR, samples.STOP_SIGN, "last") == b"last"
    assert await models.load(samples.DETECTOR, samples.STOP_SIGN, "first") is None
    assert await models.load(samples.DETECTOR, other, "first") == large
    await models.forget_all()
    assert await models.load(samples.DETECTOR, other, "first") is None


async def test_old_epochs_are_dropped(stores: Stores) -> None:
    for number in (1, 2, EPOCHS_KEPT + 1):
        assert await stores.epochs.close(samples.epoch(number), WHOLE)
    kept = await stores.epochs.of(samples.DETECTOR)
    assert [epoch.number for epoch in kept] == [2, EPOCHS_KEPT + 1]


@pytest.mark.parametrize("settled", [False, True])
async def test_an_epoch_without_a_release_had_listed_all_of_its_budget_or_nothing(
    empty_database: Database, settled: bool
) -> None:
    epochs, epoch = MongoEpochStore(empty_database, "b1"), replace(samples.epoch(), settled=settled)
    assert await epochs.close(epoch, WHOLE)
    earlier = {"$unset": {"released": "", "settled_budget": ""}}
    await empty_database["epochs"].update_one({}, earlier)
    listed = epoch.budget if settled else 0
    expected = replace(epoch, released=listed, settled_budget=listed)
    assert await epochs.of(epoch.detector) == [expected]


async def test_offsets_of_another_broker_are_no_offsets_of_this_one(
    empty_database: Database,
) -> None:
    epoch = samples.epoch(2)
    await MongoEpochStore(empty_database, "b1").close(epoch, WHOLE)

    there, here = (MongoEpochStore(empty_database, broker) for broker in ("b1", "b2"))

    assert await there.latest() == {epoch.detector: epoch}
    assert await here.latest() == {epoch.detector: replace(epoch, offsets={}, starts={})}
    assert await here.of(epoch.detector) == [replace(epoch, offsets={}, starts={})]


async def test_a_frame_is_shortlisted_while_any_needle_names_it(stores: Stores) -> None:
    first, second = samples.needle_found("f1"), samples.needle_found("f2")
    await stores.shortlists.record(
        [samples.shortlist_published(first, "h1", "h2"), samples.shortlist_published(second, "h1")]
    )
    await stores.shortlists.record([samples.shortlist_published(first, "h3", revision=2)])

    frames = [FrameId(name) for name in ("h1", "h2", "h3", "h4")]
    assert await stores.shortlists.memberships(frames) == {
        ("h1", samples.DETECTOR): Membership(shortlisted=True, version=3),
        ("h2", samples.DETECTOR): Membership(shortlisted=False, version=2),
        ("h3", samples.DETECTOR): Membership(shortlisted=True, version=2),
    }


async def test_a_frame_is_shortlisted_since_the_first_of_the_lists_that_it_is_on(
    stores: Stores,
) -> None:
    first, second = samples.needle_found("f1"), samples.needle_found("f2")
    frames = [FrameId("h1"), FrameId("h2")]
    kept, dropped = ((frame, samples.DETECTOR) for frame in frames)

    await stores.shortlists.record([samples.shortlist_published(first, "h1", "h2")])
    before = await stores.shortlists.memberships(frames)
    await stores.shortlists.record(
        [
            samples.shortlist_published(first, "h1", revision=2),
            samples.shortlist_published(second, "h1"),
        ]
    )
    after = await stores.shortlists.memberships(frames)

    assert before[kept].since is not None
    assert after[kept].since == before[kept].since
    assert after[dropped].since is None


async def test_an_old_shortlist_shortlists_nothing_again(stores: Stores) -> None:
    needle = samples.needle_found()
    await stores.shortlists.record([samples.shortlist_published(needle, revision=2)])
    await stores.shortlists.record([samples.shortlist_published(needle, "h1", revision=1)])
    assert await stores.shortlists.memberships([FrameId("h1")]) == {}


async def moved_by(stores: Stores, shortlists: Sequence[ShortlistPublished]) -> set[FrameId]:
    moved = await stores.shortlists.moved(shortlists)
    assert {detector for _, detector in moved} <= {samples.DETECTOR}
    return {frame_id for frame_id, _ in moved}


async def test_a_revision_moves_what_came_and_what_went_and_nothing_else(stores: Stores) -> None:
    needle = samples.needle_found()
    revisions = [
        samples.shortlist_published(needle, "h1", "h2", revision=1),
        samples.shortlist_published(needle, "h2", "h3", revision=2),
        samples.shortlist_published(needle, "h2", "h3", "h4", revision=3),
    ]
    assert await moved_by(stores, revisions) == set()
    for shortlist in revisions:
        await stores.shortlists.record([shortlist])
    assert [await moved_by(stores, [shortlist]) for shortlist in revisions] == [
        {"h2"},  # h1 has moved again since
        {"h1", "h3"},
        {"h4"},
    ]
    await stores.shortlists.record(revisions)
    assert await moved_by(stores, revisions) == {"h1", "h2", "h3", "h4"}
    versions = await stores.shortlists.memberships([FrameId(f"h{n}") for n in range(1, 5)])
    assert {frame: membership.version for (frame, _), membership in versions.items()} == {
        "h1": 2,
        "h2": 1,
        "h3": 2,
        "h4": 3,
    }


async def test_a_model_is_done_with_a_frame_once_it_has_its_latest_predictions(
    stores: Stores,
) -> None:
    old, new = ModelId("net-1.0-3d"), ModelId("net-2.0-4d")
    for name in ("f1", "f2", "f3"):
        predicted = samples.predictions_made(samples.detection(), frame_id=name)
        facts: list[EmbeddingFact] = [samples.frame_captured(name), predicted]
        if name != "f3":
            facts.append(samples.frame_embedded(predicted, old))
        await stores.embeddings.record(facts)
    bare = samples.frame_embedded(samples.predictions_made(frame_id="f1"), new)
    await stores.embeddings.record([bare])
    later = samples.predictions_made(samples.detection(score=0.4), frame_id="f1", revision=2)
    await stores.embeddings.record([later])

    assert await stores.embeddings.captured() == 3
    assert [await stores.embeddings.done(model) for model in (old, new)] == [1, 0]
    assert await stores.embeddings.lacking(new, old) == 1
    assert await stores.embeddings.pending(old, None, 5) == ["f1", "f3"]
    assert await stores.embeddings.pending(old, FrameId("f1"), 1) == ["f3"]
    assert await stores.embeddings.one(new) == bare
    assert await stores.embeddings.one(ModelId("net-3.0")) is None

    await stores.embeddings.record([samples.frame_embedded(later, new)])

    assert await stores.embeddings.done(new) == 1


async def test_a_frame_without_predictions_is_done_once_it_is_embedded(stores: Stores) -> None:
    captured = samples.frame_captured("f1")
    await stores.embeddings.record([captured])
    assert await stores.embeddings.pending(samples.MODEL, None, 5) == ["f1"]

    nothing = FrameEmbedded(
        frame_id=captured.frame_id,
        model=samples.MODEL,
        frame_point=frame_point_id(samples.MODEL, captured.frame_id),
        regions={},
        predictions_revisions={},
    )
    await stores.embeddings.record([nothing])

    assert await stores.embeddings.done(samples.MODEL) == 1


def budget_report(detector: str, frames: int = 1) -> BudgetReport:
    held = HeldBackFrame(
        FrameId("f1"),
        VehicleId("v1"),
        samples.CAPTURED_AT,
        samples.STOP_SIGN,
        "classification",
        "yield sign",
        FamilyId("a-family"),
        0.4,
        0.123456789,
        Budget.DAY,
    )
    sizes = {Budget.HAYSTACK: 9, Budget.DAY: 3}
    return BudgetReport(DetectorId(detector), sizes, sizes, sizes, [held] * frames)


async def test_a_report_of_budgets_takes_the_place_of_all_before(stores: Stores) -> None:
    assert await stores.budgets.all() == []
    await stores.budgets.show([budget_report("b@1"), budget_report("a@1")])
    assert await stores.budgets.all() == [budget_report("a@1"), budget_report("b@1")]
    await stores.budgets.show([budget_report("b@1", frames=2)])
    assert await stores.budgets.all() == [budget_report("b@1", frames=2)]


async def test_needles_that_name_a_frame_are_found_and_its_own_deleted(stores: Stores) -> None:
    own, other, third = (samples.needle_found(name) for name in ("f1", "f2", "f3"))
    await stores.needles.record([own, other, third])
    listing = samples.shortlist_published(other, "f1", "f4")
    await stores.needles.write_shortlists([listing, samples.shortlist_published(third, "f4")])
    naming = await stores.needles.naming([FrameId("f1")])
    assert {record.needle_id for record in naming} == {own.needle_id, other.needle_id}
    await stores.needles.delete([FrameId("f1")])
    left = {record.needle_id async for record in stores.needles.scan()}
    assert left == {other.needle_id, third.needle_id}
    assert await stores.needles.naming([FrameId("f9")]) == []


async def test_nothing_is_erased_at_first(stores: Stores) -> None:
    assert await stores.matches.erasures() == 0
