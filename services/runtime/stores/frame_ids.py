"""The ids of frames, by what is known of them."""

from typing import NamedTuple

from services.contracts.identity import DetectorId, FrameId, detector_id
from services.runtime.stores.mongo import Database, Document, translated


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
    """Reads the collection `frames`."""

    def __init__(self, database: Database) -> None:
        self._frames = database["frames"]

    async def captured(self) -> list[FrameId]:
        """The frames that have an image, ordered by id.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        return await self._having("captured")

    async def annotated(self) -> list[FrameId]:
        """The captured frames that have ground truth, ordered by id.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        return await self._having("ground_truth", "captured")

    async def left_out(self, limit: int) -> list[LeftOut]:
        """The first frames, ordered by id, that are partial or copies.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        made: Document = {"$objectToArray": {"$ifNull": ["$predictions", {}]}}
        stages: list[Document] = [
            {"$sort": {"_id": 1}},
            {
                "$project": {
                    "truth": {"$eq": ["$ground_truth.event.complete", False]},
                    "made": {
                        "$filter": {
                            "input": made,
                            "cond": {"$eq": ["$$this.v.event.complete", False]},
                        }
                    },
                    "original": {"$ifNull": ["$original", "$_id"]},
                }
            },
            {"$match": {"$expr": {"$or": ["$truth", {"$ne": ["$made", []]}, _IS_COPY]}}},
            {"$limit": limit},
        ]
        with translated():
            return [
                _left_out(document)
                for document in await (await self._frames.aggregate(stages)).to_list()
            ]

    async def _having(self, *parts: str) -> list[FrameId]:
        where = {part: {"$exists": True} for part in parts}
        with translated():
            found = await self._frames.find(where, {"_id": 1}).sort("_id", 1).to_list()
        return [FrameId(document["_id"]) for document in found]


_IS_COPY: Document = {"$ne": ["$original", "$_id"]}


def _left_out(document: Document) -> LeftOut:
    made = [part["v"]["event"] for part in document["made"]]
    return LeftOut(
        frame_id=document["_id"],
        partial_ground_truth=document["truth"],
        partial_predictions=tuple(detector_id(item["detector"], item["version"]) for item in made),
        original=document["original"] if document["original"] != document["_id"] else None,
    )
