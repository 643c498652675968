"""Shortlist memberships in MongoDB: one document per needle."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime

from services.contracts.identity import FrameId
from services.contracts.needles import ShortlistPublished
from services.domain.ports.frames import Pair
from services.domain.ports.shortlists import Membership
from services.runtime.stores.mongo import (
    Database,
    Document,
    literal,
    newest,
    translated,
    upsert,
    write,
)


class MongoShortlistStore:
    """The collection `shortlists`."""

    def __init__(self, database: Database) -> None:
        self._shortlists = database["shortlists"]

    async def prepare(self) -> None:
        """Create the index, unless it is there."""
        with translated():
            await self._shortlists.create_index("moved.frame")

    async def record(self, shortlists: Sequence[ShortlistPublished]) -> None:
        updates = []
        for shortlist in shortlists:
            frames = sorted(shortlist.chosen_frames())
            latest = {"revision": shortlist.revision, "frames": frames}
            assignments = {
                "latest": newest("latest", shortlist.revision, latest),
                "detector": literal(shortlist.needle.detector),
                "moved": _moved(shortlist.revision, frames),
            }
            updates.append(upsert(shortlist.needle_id, assignments))
        await write(self._shortlists, updates)

    async def moved(self, shortlists: Sequence[ShortlistPublished]) -> set[Pair]:
        revisions = {(shortlist.needle_id, shortlist.revision) for shortlist in shortlists}
        where = {"_id": {"$in": [shortlist.needle_id for shortlist in shortlists]}}
        with translated():
            found = await self._shortlists.find(where, {"moved": 1, "detector": 1}).to_list()
        return {
            (move["frame"], document["detector"])
            for document in found
            for move in document["moved"]
            if (document["_id"], move["revision"]) in revisions
        }

    async def memberships(self, frame_ids: Collection[FrameId]) -> dict[Pair, Membership]:
        wanted = set(frame_ids)
        with translated():
            found = await self._shortlists.find({"moved.frame": {"$in": list(wanted)}}).to_list()
        versions: dict[Pair, int] = defaultdict(int)
        members = set()
        since: dict[Pair, datetime] = {}
        for document in found:
            listed = wanted.intersection(document["latest"]["frames"])
            members |= {(frame_id, document["detector"]) for frame_id in listed}
            for move in document["moved"]:
                pair = move["frame"], document["detector"]
                if move["frame"] in wanted:
                    versions[pair] += move["revision"]
                if move["frame"] in listed and "at" in move:  # older records lack it
                    since[pair] = min(move["at"], since.get(pair, move["at"]))
        return {
            pair: Membership(pair in members, version, since.get(pair))
            for pair, version in versions.items()
        }


def _moved(revision: int, frames: Sequence[FrameId]) -> Document:
    """Expression for the revision that last added or removed each frame, this one included."""
    known = {"$ifNull": ["$moved", []]}
    before = {"$ifNull": ["$latest.frames", []]}
    moving = {
        "$setUnion": [
            {"$setDifference": [before, literal(frames)]},
            {"$setDifference": [literal(frames), before]},
        ]
    }
    staying = {
        "$filter": {"input": known, "cond": {"$not": [{"$in": ["$$this.frame", "$$moving"]}]}}
    }
    moves = {
        "$map": {
            "input": "$$moving",
            "in": {"frame": "$$this", "revision": literal(revision), "at": "$$NOW"},
        }
    }
    newer = {"$gt": [revision, {"$ifNull": ["$latest.revision", 0]}]}
    merged = {"$let": {"vars": {"moving": moving}, "in": {"$concatArrays": [staying, moves]}}}
    return {"$cond": [newer, merged, known]}
