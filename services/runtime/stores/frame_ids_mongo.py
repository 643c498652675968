"""The ids of frames, by what is known of them."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

from services.contracts.identity import (
    DetectorId,
    DriveId,
    FrameHash,
    FrameId,
    VehicleId,
    frame_hash,
)
from services.domain.chunks import chunks
from services.runtime.stores.frame_documents import IMAGE_DELETED, IN_FORCE
from services.runtime.stores.mongo import Database, Document, beginning, translated

_AT_ONCE: Final = 5000
"""Images per query: MongoDB takes 16 MB, which are 220,000."""


class LeftOut(NamedTuple):
    """Why a frame counts neither as reference nor in mAP.

    Attributes
    ----------
    partial_ground_truth : whether annotations that may show an object were refused
    partial_predictions : the detectors whose detections on the frame were partly refused
    original : the first frame with the same image; None if this is the first
    """

    frame_id: FrameId
    partial_ground_truth: bool
    partial_predictions: tuple[DetectorId, ...]
    original: FrameId | None


class MongoFrameIds:
    """Reads the collections `frames`, `predictions`, `pictures` and `revisions`, the ledger."""

    def __init__(self, database: Database) -> None:
        self._frames = database["frames"]
        self._predictions = database["predictions"]
        self._revisions = database["revisions"]
        self._pictures = database["pictures"]

    async def captured(self) -> list[FrameId]:
        """The frames that have an image, ordered by id.

        Raises
        ------
        StoreUnavailable
            The store does not answer; this holds for every method.
        """
        return await self._found({"captured_at": {"$exists": True}})

    async def annotated(self) -> list[FrameId]:
        """The captured frames that have ground truth that is not withdrawn, ordered by id."""
        return await self._found({"captured_at": {"$exists": True}, **IN_FORCE})

    async def of_drive(self, drive_id: DriveId) -> list[FrameId]:
        """The captured frames of a drive, ordered by id."""
        return await self._found({"drive_id": drive_id})

    async def of_vehicle(self, vehicle_id: VehicleId) -> list[FrameId]:
        """The frames of a vehicle, ordered by id: captured ones, and those it has published."""
        owned = {**beginning("owner "), "digests.0": vehicle_id}
        with translated():
            found = await self._revisions.find(owned, {"_id": 1}).to_list()
        published = {FrameId(item["_id"].removeprefix("owner ")) for item in found}
        return sorted({*published, *await self._found({"vehicle_id": vehicle_id})})

    async def known(self, frame_ids: Collection[FrameId]) -> set[FrameId]:
        """Those of the frames of which anything is stored, or was taken by ingest."""
        ids, owners = list(frame_ids), [f"owner {frame_id}" for frame_id in frame_ids]
        with translated():
            stored = await self._frames.distinct("_id", {"_id": {"$in": ids}})
            stored += await self._predictions.distinct("frame_id", {"frame_id": {"$in": ids}})
            taken = await self._revisions.distinct("_id", {"_id": {"$in": owners}})
        return {*map(FrameId, stored), *(FrameId(name.removeprefix("owner ")) for name in taken)}

    async def hashed(self, hashes: AbstractSet[FrameHash]) -> list[FrameId]:
        """The frames with these hashes that are stored or in the ledger, ordered by id."""
        found = set()
        with translated():
            async for document in self._frames.find({}, {"_id": 1}):
                found.add(document["_id"])
            # A subject is a kind, the frame's id, and what else it is about; ids have no blanks.
            async for document in self._revisions.find({}, {"_id": 1}):
                found.add(document["_id"].split(" ")[1])
        return sorted(FrameId(name) for name in found if frame_hash(FrameId(name)) in hashes)

    async def shown(self, images: AbstractSet[str]) -> set[str]:
        """Those of these images (sha256) that some frame shows, and that are not deleted."""
        found: set[str] = set()
        for chunk in chunks(sorted(images), _AT_ONCE):
            found |= await self._shown(chunk)
        return found

    async def _shown(self, images: Sequence[str]) -> set[str]:
        with translated():
            found = await self._pictures.find({"_id": {"$in": images}}, {"frame_id": 1}).to_list()
            # Of copies, one may have its image still: then the page draws the picture again.
            firsts = [document["frame_id"] for document in found]
            deleted = {"_id": {"$in": firsts}, IMAGE_DELETED: True}
            gone = {item["_id"] async for item in self._frames.find(deleted, {"_id": 1})}
        return {document["_id"] for document in found if document["frame_id"] not in gone}

    async def left_out(self, limit: int) -> list[LeftOut]:
        """The first frames, ordered by id, that are partial or copies."""
        frames: Document = {"$or": [{"truth_complete": False}, {"original": {"$exists": True}}]}
        partial: defaultdict[FrameId, list[DetectorId]] = defaultdict(list)
        with translated():
            of_frames = await self._frames.find(frames, _REASONS).sort("_id", 1).to_list(limit)
            partial_predictions = self._predictions.find(
                {"complete": False}, {"frame_id": 1, "detector": 1}
            )
            for document in await partial_predictions.sort("_id", 1).to_list(limit):
                partial[document["frame_id"]].append(document["detector"])
            ids = sorted({*partial, *(document["_id"] for document in of_frames)})[:limit]
            named = await self._frames.find({"_id": {"$in": ids}}, _REASONS).to_list()
        reasons = {document["_id"]: document for document in named}
        return [
            LeftOut(
                frame_id=frame_id,
                partial_ground_truth=reasons.get(frame_id, {}).get("truth_complete") is False,
                partial_predictions=tuple(partial.get(frame_id, ())),
                original=reasons.get(frame_id, {}).get("original"),
            )
            for frame_id in ids
        ]

    async def _found(self, where: Document) -> list[FrameId]:
        with translated():
            found = await self._frames.find(where, {"_id": 1}).sort("_id", 1).to_list()
        return [FrameId(document["_id"]) for document in found]


_REASONS: Document = {"truth_complete": 1, "original": 1}
