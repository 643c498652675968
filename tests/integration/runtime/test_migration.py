"""The stores of a data folder that version 0.1.0 (9f65d0d) wrote, migrated to version 2.

`version_1/stores.json.gz` holds its collections as extended JSON, and `version_1/report.json` what
its `gazeloop report --json` printed.
"""

import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from bson import json_util

from services.annotation.stores.needle_lists_mongo import MongoNeedleLists
from services.contracts.errors import StoresFromLater, StoresNotMigrated
from services.contracts.identity import ModelId
from services.contracts.needles import NeedleFound
from services.evaluator.reports.costs import StoredErrorCosts
from services.evaluator.reports.detector_reports import Reports
from services.evaluator.reports.report import Counts, Report
from services.fp_miner.service import MineNeedles
from services.runtime.settings import Settings
from services.runtime.stores import migration
from services.runtime.stores.embeddings_mongo import MongoEmbeddings
from services.runtime.stores.frames_mongo import MongoFrameStore
from services.runtime.stores.matches_mongo import MongoMatchStore
from services.runtime.stores.migration import OLD_FRAMES, OLD_MATCHES, Progress
from services.runtime.stores.mongo import Database, connect
from services.runtime.stores.needles_mongo import MongoNeedleStore
from services.runtime.stores.shortlists_mongo import MongoShortlistStore
from services.runtime.stores.store_version import STORE_VERSION, require_version
from tests.fakes.clock import FakeClock
from tests.fakes.outbox import InMemoryOutbox

WRITTEN = Path(__file__).parent / "version_1"


def stored_by_version_1() -> dict[str, list[dict[str, Any]]]:
    loaded: dict[str, list[dict[str, Any]]] = json_util.loads(
        gzip.decompress((WRITTEN / "stores.json.gz").read_bytes()).decode()
    )
    return loaded


@pytest.fixture
async def database(mongodb_url: str) -> AsyncIterator[Database]:
    database = connect(mongodb_url, f"migrated-{uuid4().hex[:8]}")
    for name, documents in stored_by_version_1().items():
        if documents:
            await database[name].insert_many(documents)
    await database["matches"].create_index("frame_id")
    yield database
    await database.client.drop_database(database.name)
    await database.client.close()


async def content(database: Database, *left_out: str) -> dict[str, list[dict[str, Any]]]:
    names = set(await database.list_collection_names()) - set(left_out)
    return {name: await database[name].find().sort("_id", 1).to_list() for name in sorted(names)}


async def report(database: Database) -> Report:
    frames, matches = MongoFrameStore(database), MongoMatchStore(database)
    tally = await frames.tally()
    counts = Counts(
        frames=tally.frames,
        predictions=tally.predictions,
        ground_truth=tally.ground_truth,
        partial_predictions=tally.partial_predictions,
        partial_ground_truth=tally.partial_ground_truth,
        copies=tally.copies,
    )
    operating = Settings().operating_scores
    reports = Reports(matches, MongoNeedleStore(database), operating, FakeClock())
    (found,) = (await reports.now(counts)).reports
    costs = await StoredErrorCosts(frames, matches, FakeClock()).now()
    return found.with_costs(costs[found.detector])


def in_common(now: Any, then: Any) -> Any:
    """What is printed now of the keys that were printed then: newer versions print more."""
    if isinstance(now, dict) and isinstance(then, dict):
        return {key: in_common(now.get(key), value) for key, value in then.items()}
    # Sums may be taken in another order.
    return then if isinstance(then, float) and now == pytest.approx(then, abs=1e-12) else now


async def test_stores_of_version_1_are_refused_by_name_until_they_are_migrated(
    database: Database,
) -> None:
    with pytest.raises(StoresNotMigrated, match="gazeloop migrate"):
        await require_version(database)
    await migration.migrate(database)
    await require_version(database)


async def test_stores_of_a_later_version_are_refused(database: Database) -> None:
    await migration.migrate(database)
    await database["stores"].update_one({"_id": "version"}, {"$set": {"version": 3}})
    with pytest.raises(StoresFromLater, match="version 3"):
        await require_version(database)
    assert not await migration.migrate(database)
    assert await migration.drop_old(database) == []


async def test_empty_stores_are_of_this_version(mongodb_url: str) -> None:
    database = connect(mongodb_url, f"empty-{uuid4().hex[:8]}")
    await require_version(database)
    assert (await database["stores"].find_one({"_id": "version"}) or {})["version"] == STORE_VERSION
    await require_version(database)
    await database.client.drop_database(database.name)
    await database.client.close()


async def test_a_dry_run_counts_and_changes_nothing(database: Database) -> None:
    before = await content(database)
    counts = await migration.planned(database)
    assert counts == {"frames": len(before["frames"]), "matches": len(before["matches"])}
    assert await content(database) == before


async def test_the_report_is_the_one_that_version_1_printed(database: Database) -> None:
    await migration.migrate(database)
    expected = json.loads((WRITTEN / "report.json").read_text())
    # Drawn in the order of hashes, which differs from process to process.
    del expected["shortlist"]["intervals"]
    printed = json.loads((await report(database)).json_text())
    assert in_common(printed, expected) == expected


async def test_a_migration_that_was_killed_goes_on_and_ends_in_the_same_stores(
    database: Database, mongodb_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration, "_AT_ONCE", 4)
    done: list[Progress] = []

    def killed_after(batches: int) -> migration.OnProgress:
        def stop(progress: Progress) -> None:
            done.append(progress)
            if len(done) == batches:
                raise KeyboardInterrupt

        return stop

    for batches in (2, 5, 10):  # in the frames, in the frames again, and in the matches
        with pytest.raises(KeyboardInterrupt):
            await migration.migrate(database, killed_after(batches))
        with pytest.raises(StoresNotMigrated):
            await require_version(database)
    assert await migration.migrate(database, done.append)
    assert [item.done for item in done if item.step == "frames"] == sorted(
        {item.done for item in done if item.step == "frames"}
    )
    killed = await content(database, "stores")

    at_once = connect(mongodb_url, f"at-once-{uuid4().hex[:8]}")
    for name, documents in stored_by_version_1().items():
        if documents:
            await at_once[name].insert_many(documents)
    await migration.migrate(at_once)
    assert killed == await content(at_once, "stores")
    assert not await migration.migrate(at_once)
    await at_once.client.drop_database(at_once.name)
    await at_once.client.close()


async def test_the_old_documents_stay_until_they_are_dropped(database: Database) -> None:
    before = await content(database)
    await MongoNeedleLists(database).prepare()
    current = await database["needles"].index_information()
    fields = ["state.active", "detector", "needle.category", "review.progress"]
    index = await database["needles"].create_index([(field, 1) for field in fields])
    order = [("state.active", 1), ("needle.category", 1), ("needle.score", -1), ("_id", -1)]
    of_categories = await database["needles"].create_index(order)
    await database["reviews"].create_index([("at", -1)])
    await database["audit"].create_index("at")
    await migration.migrate(database)
    await database["matches"].create_index("categories")
    assert (await content(database))[OLD_FRAMES] == before["frames"]
    assert await migration.drop_old(database) == [
        *(OLD_FRAMES, OLD_MATCHES, f"needles.{index}", f"needles.{of_categories}"),
        *("reviews.at_-1", "audit.at_1", "matches.categories_1"),
    ]
    assert not {OLD_FRAMES, OLD_MATCHES} & set(await database.list_collection_names())
    assert await database["needles"].index_information() == current
    await require_version(database)
    assert await migration.drop_old(database) == []


async def test_a_document_that_cannot_be_read_is_counted_and_its_neighbours_are_migrated(
    database: Database,
) -> None:
    frames = await database["frames"].find().sort("_id", 1).to_list()
    broken = {"$set": {"captured.event.captured_at": "never"}}
    await database["frames"].update_one({"_id": frames[0]["_id"]}, broken)
    done: list[Progress] = []
    await migration.migrate(database, done.append)
    assert max(item.unreadable for item in done) == 1
    assert await database["frames"].count_documents({}) == len(frames) - 1
    assert await migration.unmigrated(database) == 1


async def test_a_document_that_could_not_be_read_is_migrated_once_it_is_corrected(
    database: Database,
) -> None:
    found = await database["frames"].find_one({})
    assert found
    event = found["captured"]["event"]
    broken = {"$set": {"captured.event.captured_at": "never"}}
    await database["frames"].update_one({"_id": found["_id"]}, broken)
    await migration.migrate(database)
    assert not await migration.migrate(database)
    with pytest.raises(StoresNotMigrated, match="1 frames cannot be read"):
        await migration.drop_old(database)
    assert await database[OLD_FRAMES].find_one({"_id": found["_id"]})

    corrected = {"$set": {"captured.event": event}}
    await database[OLD_FRAMES].update_one({"_id": found["_id"]}, corrected)
    newer = await database["frames"].find().sort("_id", 1).to_list()
    assert await migration.migrate(database)

    record = (await MongoFrameStore(database).load([found["_id"]]))[found["_id"]]
    assert record.captured
    assert record.predictions
    others = {"_id": {"$ne": found["_id"]}}
    assert await database["frames"].find(others).sort("_id", 1).to_list() == newer
    assert OLD_FRAMES in await migration.drop_old(database)


async def test_the_services_go_on_where_version_1_stopped(database: Database) -> None:
    """What was recorded before is recognised, is announced as it was, and a correction retracts."""
    before = await content(database)
    await migration.migrate(database)
    frames, matches = MongoFrameStore(database), MongoMatchStore(database)
    outbox = InMemoryOutbox()
    step = MineNeedles(
        frames=frames,
        matches=matches,
        shortlists=MongoShortlistStore(database),
        outbox=outbox,
        settings=Settings(),
        clock=FakeClock(),
    )
    frame_id = next(m["frame_id"] for m in before["matches"] if m["needles"])
    record = (await frames.load([frame_id]))[frame_id]
    assert record.captured
    assert record.ground_truth
    stored = await content(database)
    await step.run([record.captured, record.ground_truth, *record.predictions.values()])

    after = await content(database)
    assert after == stored
    needles = {
        document["_id"]: document["state"]["revision"]
        for document in before["needles"]
        if document["frame_id"] == frame_id
    }
    published = {e.needle_id: e.revision for e in outbox.published if isinstance(e, NeedleFound)}
    assert published == needles


async def test_the_embedder_knows_what_is_embedded(database: Database) -> None:
    before = await content(database)
    models = {name for document in before["frames"] for name in document.get("embedded", {})}
    await migration.migrate(database)
    embeddings = MongoEmbeddings(database)
    points = await embeddings.points()
    assert len(points) == len(models) == 1
    (model,) = points
    assert points[ModelId(model)].frames == len(before["frames"]) == await embeddings.done(model)
    assert await embeddings.pending(model, None, 9) == []
    records = await embeddings.load([document["_id"] for document in before["frames"]])
    assert not any(record.waiting for record in records.values())
