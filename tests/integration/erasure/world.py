"""MongoDB and a folder of images, with everything that may be stored about a frame."""

import hashlib
from datetime import timedelta
from typing import Any

import bson

from services.annotation.ports.corrections import Correction
from services.annotation.ports.region_shortlists import ListedRegion, RegionShortlist
from services.annotation.ports.reviews import Act, Claim, ReviewEvent
from services.annotation.stores.annotation_tasks_mongo import MongoAnnotationTasks
from services.annotation.stores.corrections_mongo import MongoCorrectionStore
from services.annotation.stores.frame_traces import of_annotation
from services.annotation.stores.region_shortlists_mongo import MongoRegionShortlists
from services.annotation.stores.reviews_mongo import MongoReviewStore
from services.app.erasure.eraser import FrameEraser, Outside
from services.app.erasure.needles import NeedleTraces
from services.contracts.events import FrameCaptured
from services.contracts.identity import FrameId, ImportId
from services.domain.ports.erasure import FrameTraces
from services.domain.ports.held_corrections import HeldCorrection, Question
from services.domain.ports.imports import ImportItem, Part
from services.domain.ports.known_places import KnownPlace
from services.ground_truth.drafts import Draft, entry_of, owner_entry
from services.runtime.stores import frame_traces
from services.runtime.stores.blobs_fsspec import open_blobs
from services.runtime.stores.embeddings_mongo import MongoEmbeddings
from services.runtime.stores.frame_traces import ImageTraces
from services.runtime.stores.frames_mongo import MongoFrameStore
from services.runtime.stores.held_corrections_mongo import MongoHeldCorrections
from services.runtime.stores.imports_mongo import MongoImports
from services.runtime.stores.known_places_mongo import MongoKnownPlaces
from services.runtime.stores.ledger_mongo import MongoRevisionLedger
from services.runtime.stores.matches_mongo import MongoMatchStore
from services.runtime.stores.mongo import Database
from services.runtime.stores.needles_mongo import MongoNeedleStore
from services.runtime.stores.shortlists_mongo import MongoShortlistStore
from services.runtime.stores.tombstones_mongo import MongoTombstones
from tests import samples
from tests.fakes.audit import InMemoryAuditLog
from tests.fakes.clock import FakeClock
from tests.fakes.outbox import InMemoryOutbox


class World:
    """MongoDB and images at a URL, filled by the stores themselves."""

    def __init__(self, database: Database, images: str) -> None:
        self.database = database
        self.blobs = open_blobs(images)
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
        (candidate,) = [item for item in listed.candidates if item.frame_id == frame_id]
        box = (1.0, 2.0, 30.0, 40.0)
        region = ListedRegion(frame_id, candidate.region_id, samples.STOP_SIGN, 0.5, box)
        circled = RegionShortlist(f"circled {needle_id}", "ada", now, (region,))
        await MongoRegionShortlists(database).add(circled)
        place = KnownPlace(needle_id, frame_id, samples.STOP_SIGN, 52.5, 13.4, "ada", now)
        await MongoKnownPlaces(database).mark(place)

    async def documents(self) -> dict[str, bytes]:
        """Every document as bytes, by its place."""
        return {
            f"{name}/{document['_id']}": bson.encode(document)
            for name in await self.database.list_collection_names()
            async for document in self.database[name].find()
        }
