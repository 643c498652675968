"""Caches of frames and vectors that the retriever has read.

The stores keep all of this; the caches save reading it again. A frame's entry is dropped when an
event reports a change of the frame; a vector never changes.
"""

import asyncio
from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import TypeVar

from cachetools import LRUCache

from services.contracts.events import REANNOTATION_SOURCE
from services.contracts.identity import (
    Category,
    DetectorId,
    FrameId,
    ModelId,
    RegionId,
    frame_point_id,
    region_point_id,
)
from services.domain.arrays import Vector
from services.domain.detection.category_map import SAME_NAMES
from services.domain.ports.frames import FrameRecord, FrameStore
from services.domain.ports.vectors import FRAME_VECTORS, REGION_VECTORS, VectorReader, collection_of
from services.retriever.logic import FrameFacts
from services.runtime.progress import report_progress

_REGION_BYTES = 900
_FRAME_BYTES = 1_000
_ENTRY_BYTES = 300
"""Sizes of Python objects with what they refer to, measured with tracemalloc, rounded up."""


class FrameCache:
    """Caches the facts of frames.

    Parameters
    ----------
    most_bytes : beyond it, the facts that were not used for longest are dropped
    """

    def __init__(self, store: FrameStore, most_bytes: int) -> None:
        self._store = store
        self._facts: LRUCache[FrameId, FrameFacts] = LRUCache(most_bytes, _bytes_of_facts)

    def forget(self, frame_ids: Iterable[FrameId]) -> None:
        """Drop these frames, so that the next load reads them again."""
        for frame_id in frame_ids:
            self._facts.pop(frame_id, None)

    def forget_all(self) -> None:
        """Drop everything, so that it is read again."""
        self._facts.clear()

    async def reannotated(self) -> set[FrameId]:
        """Every frame whose ground truth is from reannotation; verdicts are on these frames.

        This is read from the store each time.
        """
        return await self._store.annotated_from(REANNOTATION_SOURCE)

    async def predicted_as(self, detector: DetectorId, category: Category) -> list[Category]:
        """The detector's names for a category, by which its vectors are stored."""
        maps = await self._store.category_maps([detector])
        return maps.get(detector, SAME_NAMES).predicted_as(category)

    async def load(self, frame_ids: Collection[FrameId]) -> dict[FrameId, FrameFacts]:
        """The facts of those frames whose image is known."""
        found, missing = cached(self._facts, frame_ids)
        if missing:
            records = (await self._store.load(missing)).values()
            # In a thread: a frame may have thousands of detections.
            for facts in await asyncio.to_thread(_facts_of, records):
                keep(self._facts, facts.context.frame, facts)
                found[facts.context.frame] = facts
        return found


def _bytes_of_facts(facts: FrameFacts) -> int:
    return _FRAME_BYTES + _REGION_BYTES * len(facts.regions)


_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


def cached(cache: LRUCache[_K, _V], wanted: Iterable[_K]) -> tuple[dict[_K, _V], set[_K]]:
    """What the cache has of what is wanted, and what it lacks."""
    keys = set(wanted)
    found = {key: cache[key] for key in keys if key in cache}
    return found, keys - found.keys()


def keep(cache: LRUCache[_K, _V], key: _K, value: _V) -> bool:
    """Cache a value unless it alone is too large; returns whether it is cached."""
    fits = cache.getsizeof(value) <= cache.maxsize
    if fits:
        cache[key] = value
    else:
        cache.pop(key, None)
    return fits


def _facts_of(records: Iterable[FrameRecord]) -> list[FrameFacts]:
    facts = []
    for record in records:
        found = FrameFacts.of(record)
        report_progress()
        if found is not None:
            facts.append(found)
    return facts


class VectorCache:
    """Caches the vectors of regions.

    Parameters
    ----------
    most_bytes : beyond it, the vectors that were not used for longest are dropped
    """

    def __init__(self, store: VectorReader, most_bytes: int) -> None:
        self._store = store
        self._vectors: LRUCache[tuple[ModelId, RegionId], Vector] = LRUCache(
            most_bytes, lambda vector: _ENTRY_BYTES + vector.nbytes
        )

    def forget_all(self) -> None:
        """Drop everything, so that it is read again."""
        self._vectors.clear()

    async def load(
        self, model: ModelId, regions: Collection[RegionId]
    ) -> Mapping[RegionId, Vector]:
        """The vectors of those regions that are embedded."""
        found, missing = cached(self._vectors, {(model, region) for region in regions})
        vectors = {region: vector for (_, region), vector in found.items()}
        if missing:
            points = {region_point_id(model, region): region for _, region in missing}
            stored = await self._store.load(collection_of(REGION_VECTORS, model), points)
            for point, vector in stored.items():
                vectors[points[point]] = vector
                keep(self._vectors, (model, points[point]), vector)
        return vectors

    async def load_frames(
        self, model: ModelId, frames: Collection[FrameId]
    ) -> dict[FrameId, Vector]:
        """The global vectors of those frames that are embedded; they are not cached."""
        points = {frame_point_id(model, frame): frame for frame in frames}
        stored = await self._store.load(collection_of(FRAME_VECTORS, model), points)
        return {points[point]: vector for point, vector in stored.items()}
