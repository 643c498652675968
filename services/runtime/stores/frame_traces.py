"""What MongoDB holds about frames, collection by collection: counted and erased by frame id.

A test compares the collections that are named here with all that the code opens, so that a new one
is either erased from or listed in `WITHOUT_FRAMES`.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Final

from services.contracts.events import Image
from services.contracts.identity import FrameId
from services.domain.erasure import erased_name
from services.domain.ports.blobs import BlobStore
from services.domain.ports.erasure import FrameTraces
from services.runtime.stores.frame_documents import captured_of
from services.runtime.stores.mongo import Database, Document, beginning, translated

Ids = list[FrameId]


@dataclass(frozen=True)
class MongoTraces:
    """Documents of one collection that are about frames.

    Attributes
    ----------
    where : the condition that finds them
    removing : the update that takes the frames out of a document that is about others too; None
        where the document is deleted
    """

    name: str
    database: Database
    collection: str
    where: Callable[[Ids], Document]
    removing: Callable[[Ids], Document] | None = None

    async def count(self, frame_ids: Collection[FrameId]) -> int:
        with translated():
            return await self.database[self.collection].count_documents(self.where(list(frame_ids)))

    async def erase(self, frame_ids: Collection[FrameId]) -> None:
        ids = list(frame_ids)
        with translated():
            if self.removing is None:
                await self.database[self.collection].delete_many(self.where(ids))
            else:
                await self.database[self.collection].update_many(
                    self.where(ids), self.removing(ids)
                )


def by_id(ids: Ids) -> Document:
    """The documents that are frames'."""
    return {"_id": {"$in": ids}}


def by_frame(ids: Ids) -> Document:
    """The documents that name their frame."""
    return {"frame_id": {"$in": ids}}


def _listed(ids: Ids) -> Document:
    return {"moved.frame": {"$in": ids}}


def _unlisting(ids: Ids) -> Document:
    return {"$pull": {"moved": {"frame": {"$in": ids}}, "latest.frames": {"$in": ids}}}


def _on_map(ids: Ids) -> Document:
    return {"frame_ids": {"$in": ids}}


def _held_back(ids: Ids) -> Document:
    return {"frames.frame_id": {"$in": ids}}


def _not_held_back(ids: Ids) -> Document:
    return {"$pull": {"frames": {"frame_id": {"$in": ids}}}}


def _subjects(ids: Ids) -> Document:
    """A frame's subjects in the ledger, and in the collection of a subject's older contents."""
    kinds = ("frame", "owner", "ground_truth", "predictions")
    subjects = [f"{kind} {frame_id}" for kind in kinds for frame_id in ids]
    continued = [beginning(f"{subject}{end}") for subject in subjects for end in " \n"]
    return {"$or": [{"_id": {"$in": subjects}}, *continued]}


def _unreadable(ids: Ids) -> Document:
    continued = [beginning(f"{frame_id} ", "document_id") for frame_id in ids]
    return {"$or": [{"document_id": {"$in": ids}}, *continued]}


def of_embedder(database: Database) -> list[FrameTraces]:
    """What the embedder writes to MongoDB."""
    return [MongoTraces("embedded frames", database, "embeddings", by_id)]


def of_fp_miner(database: Database) -> list[FrameTraces]:
    """What fp_miner writes; the frames themselves last, because they name their images."""
    return [
        MongoTraces("predictions", database, "predictions", by_frame),
        MongoTraces("matches", database, "matches", by_frame),
        MongoTraces("shortlist memberships", database, "shortlists", _listed, _unlisting),
        MongoTraces("ledger entries", database, "revisions", _subjects),
        MongoTraces("older ledger entries", database, "older_revisions", _subjects),
        MongoTraces("frames of version 1", database, "frames_v1", by_id),
        MongoTraces("matches of version 1", database, "matches_v1", by_frame),
        MongoTraces("frames", database, "frames", by_id),
    ]


def of_retriever(database: Database) -> list[FrameTraces]:
    """What the retriever writes besides needles."""
    return [
        MongoTraces("budget reports", database, "budgets", _held_back, _not_held_back),
        MongoTraces("map of regions", database, "region_map", _on_map),
    ]


def of_operators(database: Database) -> list[FrameTraces]:
    """What corrections and reports of unreadable documents leave."""
    return [
        MongoTraces("held corrections", database, "held_corrections", by_frame),
        MongoTraces("known places", database, "known_places", by_frame),
        MongoTraces("unreadable documents", database, "unreadable_documents", _unreadable),
        MongoTraces("imported parts", database, "import_items", by_frame),
        MongoTraces("marks of undone parts", database, "undone_frames", by_id),
    ]


WITHOUT_FRAMES: Final = frozenset(
    {
        *(
            "audit",
            "comparisons",
            "estimates",
            "curves",
            "doctor",
            "epochs",
            "family_changes",
            "figures",
            "label_answers",
            "leases",
            "repair_gains",
            "saved_views",
            "slice_curves",
        ),
        *("migration", "review_keys", "review_sessions", "schemas", "stores", "tokens"),
        "annotation_tool",
        # Name the frame that was done last, while a detector or an import is gone through.
        *("category_maps", "undos"),
        *("archives", "imports", "replaced_models"),
    }
)
"""Collections that name no frame."""


class ImageTraces:
    """The images of frames: the pictures' first frames, and the blobs that no other frame uses.

    Parameters
    ----------
    blobs : None where the process has no access to them; only the names are erased then
    """

    name = "images"

    def __init__(self, database: Database, blobs: BlobStore | None) -> None:
        self._frames = database["frames"]
        self._embeddings = database["embeddings"]
        self._pictures = database["pictures"]
        self._blobs = blobs

    async def count(self, frame_ids: Collection[FrameId]) -> int:
        return sum([not await self._shown(item, frame_ids) for item in await self._of(frame_ids)])

    async def erase(self, frame_ids: Collection[FrameId]) -> None:
        await self.drop(await self._of(frame_ids), frame_ids)

    async def drop(self, images: Iterable[Image], erased: Collection[FrameId] = ()) -> None:
        """Delete those of these images that only erased frames show."""
        for image in images:
            if not await self._shown(image, erased):
                if self._blobs is not None:
                    await asyncio.to_thread(self._blobs.delete, image.uri)
                with translated():
                    await self._pictures.delete_one({"_id": image.sha256})
        await self._rename(erased)

    async def _of(self, frame_ids: Collection[FrameId]) -> list[Image]:
        """The images of these frames, each once."""
        where = {"_id": {"$in": list(frame_ids)}, "captured": {"$exists": True}}
        images: dict[str, Image] = {}
        for collection in (self._frames, self._embeddings):
            with translated():
                found = await collection.find(where, {"captured": 1}).to_list()
            for document in found:
                image = captured_of(document).image
                images[image.sha256] = image
        return list(images.values())

    async def _shown(self, image: Image, erased: Collection[FrameId]) -> bool:
        """Whether a frame that is not erased shows the image."""
        with translated():
            picture = await self._pictures.find_one({"_id": image.sha256})
            if picture is None:
                return False
            original, gone = picture["frame_id"], list(erased)
            others: Document = {
                "$or": [{"_id": original}, {"original": original}],
                "_id": {"$nin": gone},
            }
            return await self._frames.find_one(others, {"_id": 1}) is not None

    async def _rename(self, erased: Collection[FrameId]) -> None:
        """Let a picture that others show too no longer name an erased frame as its first."""
        with translated():
            for frame_id in erased:
                name, of_frame = erased_name(frame_id), {"original": frame_id}
                await self._frames.update_many(of_frame, {"$set": {"original": name}})
                of_picture = {"frame_id": frame_id}
                await self._pictures.update_many(of_picture, {"$set": {"frame_id": name}})
