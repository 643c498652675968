"""The positions of frames, in MongoDB."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from cachetools import TTLCache

from services.contracts.identity import DriveId, FrameId
from services.runtime.stores.mongo import Database, Document, translated

_MAX_SAMPLES = 4
_KEPT_S = 15.0
"""Seconds for which a sample is kept: reading one took 15% of the time of a needle's page."""
_STORED = "captured_stored"
_PLACED: Document = {"position": {"$exists": True}}


class MongoFramePlaces:
    """Reads the collection `frames`."""

    def __init__(self, database: Database) -> None:
        self._frames = database["frames"]
        self._samples: TTLCache[int, list[tuple[float, float]]] = TTLCache(_MAX_SAMPLES, _KEPT_S)

    async def prepare(self) -> None:
        """Create the index, unless it is there."""
        with translated():
            # Where few frames have a position, a sample would read all frames. In the order of
            # storing, because adding a key at an index's end costs least.
            await self._frames.create_index(_STORED, partialFilterExpression=_PLACED)

    async def sample(self, limit: int) -> list[tuple[float, float]]:
        if limit not in self._samples:
            shown = {"_id": 0, "position": 1}
            with translated():
                # In one batch: a second one is another round trip.
                found = self._frames.find(_PLACED, shown, batch_size=limit)
                found = found.sort(_STORED, 1).limit(limit)
                positions = [document["position"] for document in await found.to_list()]
            self._samples[limit] = [(lat, lon) for lat, lon in positions]
        return self._samples[limit]

    async def of(self, frame_ids: Collection[FrameId]) -> Mapping[FrameId, tuple[float, float]]:
        where = {"_id": {"$in": [*frame_ids]}, **_PLACED}
        with translated():
            found = await self._frames.find(where, {"position": 1}).to_list()
        return {FrameId(item["_id"]): tuple(item["position"]) for item in found}

    async def paths(
        self, drives: Collection[DriveId], limit: int
    ) -> Mapping[DriveId, Sequence[tuple[float, float]]]:
        where = {"drive_id": {"$in": [*drives]}, **_PLACED}
        shown = {"drive_id": 1, "position": 1}
        order = [("drive_id", 1), ("captured_at", 1), ("_id", 1)]
        with translated():
            found = await self._frames.find(where, shown).sort(order).limit(limit).to_list()
        paths: defaultdict[DriveId, list[tuple[float, float]]] = defaultdict(list)
        for item in found:
            paths[DriveId(item["drive_id"])].append(tuple(item["position"]))
        return dict(paths)
