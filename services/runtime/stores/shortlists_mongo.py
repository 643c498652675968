"""Shortlist memberships in MongoDB: one document per needle."""

from collections import defaultdict
from collections.abc import Collection, Sequence

from services.contracts.events import ShortlistPublished
from services.contracts.identity import DetectorId, FrameId, NeedleId
from services.runtime.stores.mongo import Database, literal, newest, translated, upsert, write
from services.runtime.stores.shortlists import Membership


class MongoShortlistStore:
    """The collection `shortlists`."""

    def __init__(self, database: Database) -> None:
        self._shortlists = database["shortlists"]

    async def prepare(self) -> None:
        """Create the index, unless it is there."""
        with translated():
            await self._shortlists.create_index("frames_ever")

    async def record(self, shortlists: Sequence[ShortlistPublished]) -> None:
        updates = []
        for shortlist in shortlists:
            frames = sorted({candidate.frame_id for candidate in shortlist.candidates})
            latest = {"revision": shortlist.revision, "frames": frames}
            ever = {"$setUnion": [{"$ifNull": ["$frames_ever", []]}, literal(frames)]}
            assignments = {
                "latest": newest("latest", shortlist.revision, latest),
                "detector": literal(shortlist.needle.detector),
                "frames_ever": ever,
            }
            updates.append(upsert(shortlist.needle_id, assignments))
        await write(self._shortlists, updates)

    async def frames_ever(self, needle_ids: Collection[NeedleId]) -> set[FrameId]:
        with translated():
            found = await self._shortlists.find({"_id": {"$in": list(needle_ids)}}).to_list()
        return {frame_id for document in found for frame_id in document["frames_ever"]}

    async def memberships(
        self, frame_ids: Collection[FrameId]
    ) -> dict[tuple[FrameId, DetectorId], Membership]:
        wanted = set(frame_ids)
        with translated():
            found = await self._shortlists.find({"frames_ever": {"$in": list(wanted)}}).to_list()
        versions: dict[tuple[FrameId, DetectorId], int] = defaultdict(int)
        members = set()
        for document in found:
            for frame_id in wanted.intersection(document["frames_ever"]):
                versions[frame_id, document["detector"]] += document["latest"]["revision"]
            for frame_id in wanted.intersection(document["latest"]["frames"]):
                members.add((frame_id, document["detector"]))
        return {pair: Membership(pair in members, version) for pair, version in versions.items()}
