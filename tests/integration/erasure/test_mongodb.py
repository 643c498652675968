"""After an erasure no document in MongoDB names the frame, and the neighbour's are as they were."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import bson
import pytest

from services.annotation.ports.corrections import Correction
from services.annotation.ports.reviews import Act, Claim, ReviewEvent
from services.annotation.stores.annotation_tasks import MongoAnnotationTasks
from services.annotation.stores.corrections import MongoCorrectionStore
from services.annotation.stores.frame_traces import of_annotation
from services.annotation.stores.reviews_mongo import MongoReviewStore
from services.app.erasure.eraser import FrameEraser, Outside
from services.app.erasure.needles import NeedleTraces
from services.contracts.events import FrameCaptured
from services.contracts.identity import FrameId, ImportId, ModelId, RegionId
from services.domain.erasure import erased_name
from services.domain.ports.erasure import ErasureRequest, FrameTraces
from services.domain.ports.held_corrections import HeldCorrection, Question
from services.domain.ports.imports import ImportItem, Part
from services.ground_truth.drafts import Draft, entry_of, owner_entry
from services.runtime.stores import frame_traces
from services.runtime.stores.blobs_fsspec import open_blobs
from services.runtime.stores.budget_reports import MongoBudgetReports
from services.runtime.stores.embeddings import MongoEmbeddings
from services.runtime.stores.frame_traces import ImageTraces
from services.runtime.stores.frames_mongo import MongoFrameStore
from services.runtime.stores.held_corrections import MongoHeldCorrections
from services.runtime.stores.imports_mongo import MongoImports
from services.runtime.stores.ledger_mongo import MongoRevisionLedger
from services.runtime.stores.matches_mongo import MongoMatchStore
from services.runtime.stores.mongo import Database, connect
from services.runtime.stores.needles_mongo import MongoNeedleStore
from services.runtime.stores.region_maps import MappedRegion, MongoRegionMaps, RegionMap
from services.runtime.stores.shortlists_mongo import MongoShortlistStore
from services.runtime.stores.tombstones_mongo import MongoTombstones
from tests import samples
from tests.fakes.audit import InMemoryAuditLog
from tests.fakes.clock import FakeClock
from tests.fakes.outbox import InMemoryOutbox
from tests.laws.test_metadata_stores import budget_report

GONE, KEPT = FrameId("v1/drive-1/gone.7"), FrameId("v1/drive-1/gone.77")
"""The one id begins the other, and both have characters that patterns and paths treat specially."""
REQUEST = ErasureRequest("ada", "request 17", samples.CAPTURED_AT)


@pytest.fixture
async def database(mongodb_url: str) -> AsyncIterator[Database]:
    database = connect(mongodb_url, f"erasure-{uuid4().hex[:8]}")
    yield database
    await database.client.drop_database(database.name)
    await database.client.close()


class World:
    """MongoDB and a folder of images, filled by the stores themselves."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.blobs = open_blobs(str(folder))
        self.outbox = InMemoryOutbox()
        needles = NeedleTraces(MongoNeedleStore(database), self.outbox)
        traces: list[FrameTraces] = [
            *of_annotation(database),
            *frame_traces.of_operators(database),
            needles,
            *frame_traces.of_retriever(database),
            ImageTraces(database, self.blobs),
            *frame_traces.of_embedder(database),
            *frame_traces.of_fp_miner(database),
        ]
        outside = Outside([], InMemoryAuditLog(), FakeClock())
        self.eraser = FrameEraser(MongoTombstones(database), traces, self.outbox, outside)

    def captured(self, frame_id: FrameId, picture: bytes) -> FrameCaptured:
        frame = samples.frame_captured(frame_id)
        digest = hashlib.sha256(picture).hexdigest()
        image = {**frame.image.model_dump(), "uri": self.blobs.put(picture), "sha256": digest}
        return FrameCaptured.model_validate(
            {**frame.model_dump(exclude={"event_id"}), "image": image}
        )

    async def fill(self, frame_id: FrameId, other: FrameId, picture: bytes) -> FrameCaptured:
        """Everything that services and people may store about a frame."""
        captured = self.captured(frame_id, picture)
        made = samples.predictions_made(samples.detection(), frame_id=frame_id)
        truth = samples.frame_annotated(samples.annotation(), frame_id=frame_id)
        needle = samples.needle_found(frame_id)
        listed = samples.shortlist_published(needle, frame_id, other)
        database = self.database
        await MongoFrameStore(database).record([captured, made, truth])
        await MongoEmbeddings(database).record([captured, made])
        await MongoMatchStore(database).record([samples.frame_matched(frame_id)], [needle])
        await MongoNeedleStore(database).record([needle])
        await MongoNeedleStore(database).write_shortlists([listed])
        await MongoShortlistStore(database).record([listed])
        ledger = MongoRevisionLedger(database, "broker")
        drafts: list[Draft] = [captured, made, truth]
        owner = owner_entry(frame_id, captured.vehicle_id)
        await ledger.assign([*map(entry_of, drafts), owner])
        await self._fill_annotation(frame_id, listed)
        imports = MongoImports(database)
        noted = ImportItem(Part.GROUND_TRUTH, frame_id, 2, None, truth)
        await imports.note(ImportId("aaa"), [noted])
        await imports.mark_undone([frame_id], "after an undo")
        await database["older_revisions"].insert_one({"_id": f"predictions {frame_id} d@1\nabc"})
        await database["frames_v1"].insert_one({"_id": frame_id})
        await database["matches_v1"].insert_one({"frame_id": frame_id})
        await database["unreadable_documents"].insert_one({"document_id": f"{frame_id} d@1"})
        return captured

    async def _fill_annotation(self, frame_id: FrameId, listed: Any) -> None:
        database, needle_id = self.database, listed.needle_id
        truth = samples.frame_annotated(frame_id=frame_id, revision=2)
        await MongoAnnotationTasks(database).ask([listed])
        await MongoCorrectionStore(database).keep(Correction(f"c {frame_id}", truth, ()))
        reviews = MongoReviewStore(database)
        now = samples.CAPTURED_AT
        await reviews.append(ReviewEvent(needle_id, 1, Act.ACCEPT, (), "ada", "t", now))
        corrected = ReviewEvent(needle_id, 2, Act.CORRECT, (), "ada", "t", now, frame_id=frame_id)
        await reviews.append(corrected)
        await reviews.claim(needle_id, Claim("ada", "t", now + timedelta(hours=1)), now)
        held = HeldCorrection(
            f"h {frame_id}", frame_id, Question.OVERTAKEN, (truth,), (), None, "a file", now
        )
        await MongoHeldCorrections(database).hold([held])

    async def documents(self) -> dict[str, bytes]:
        """Every document as bytes, by its place."""
        return {
            f"{name}/{document['_id']}": bson.encode(document)
            for name in await self.database.list_collection_names()
            async for document in self.database[name].find()
        }


def _naming(documents: dict[str, bytes], frame_id: FrameId) -> list[str]:
    """The documents that name this frame, and not only the one whose id it begins."""
    return [
        place
        for place, content in documents.items()
        if frame_id.encode() in content.replace(KEPT.encode(), b"")
    ]


def mapped(frame_id: FrameId) -> MappedRegion:
    place = (RegionId("r"), frame_id, samples.DETECTOR, samples.STOP_SIGN)
    return MappedRegion(0.0, 0.0, *place, 0.5, samples.BOX, "haystack", "v1")


async def test_no_document_names_an_erased_frame(database: Database, tmp_path: Path) -> None:
    world = World(database, tmp_path)
    held_back = budget_report("d@1").frames[0]
    both = [replace(held_back, frame_id=frame_id) for frame_id in (GONE, KEPT)]
    await MongoBudgetReports(database).show([replace(budget_report("d@1"), frames=both)])
    captured = await world.fill(GONE, KEPT, b"a picture")
    kept = await world.fill(KEPT, GONE, b"another picture")
    await MongoRegionMaps(database).put(RegionMap(ModelId("m"), [mapped(GONE), mapped(KEPT)]))
    assert len(_naming(await world.documents(), GONE)) > 15

    counts = (await world.eraser.erase([GONE], REQUEST)).counts

    assert _naming(await world.documents(), GONE) == []
    assert min(counts.values()) > 0, counts
    assert not (tmp_path / captured.image.uri.removeprefix("blob:")).exists()
    assert world.blobs.get(kept.image.uri) == b"another picture"
    frames = await MongoFrameStore(database).load([KEPT])
    assert frames[KEPT].captured == kept
    assert frames[KEPT].predictions
    (record,) = await MongoNeedleStore(database).naming([KEPT])
    assert record.shortlist is not None
    assert [item.frame_id for item in record.shortlist.candidates] == [KEPT]


async def test_an_erasure_twice_is_an_erasure_once(database: Database, tmp_path: Path) -> None:
    world = World(database, tmp_path)
    await world.fill(GONE, KEPT, b"a picture")
    await world.eraser.erase([GONE], REQUEST)
    before = await world.documents()
    assert set((await world.eraser.erase([GONE], REQUEST)).counts.values()) == {0}
    assert await world.documents() == before


async def test_an_image_that_another_frame_shows_stays(database: Database, tmp_path: Path) -> None:
    world = World(database, tmp_path)
    captured = await world.fill(GONE, KEPT, b"the same picture")
    await world.fill(KEPT, GONE, b"the same picture")

    await world.eraser.erase([GONE], REQUEST)

    assert world.blobs.get(captured.image.uri) == b"the same picture"
    record = (await MongoFrameStore(database).load([KEPT]))[KEPT]
    # It stays a copy: what was counted before does not change its number.
    assert record.original == erased_name(GONE)
    assert _naming(await world.documents(), GONE) == []
    await world.eraser.erase([KEPT], REQUEST)
    assert not (tmp_path / captured.image.uri.removeprefix("blob:")).exists()
    assert await database["pictures"].count_documents({}) == 0
