"""Caches of frames, matches, needles and vectors that the retriever has read.

The stores keep all of this; the caches save reading it again. A frame's entry is dropped when an
event reports a change of the frame; a match's is replaced by a higher revision; a needle's is read
again after a write; a vector never changes.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import TypeVar

from cachetools import LRUCache

from services.contracts.events import REANNOTATION_SOURCE, ShortlistPublished, Split
from services.contracts.identity import (
    DetectorId,
    FrameId,
    ModelId,
    NeedleId,
    RegionId,
    region_point_id,
)
from services.contracts.matches import CategoryMatched
from services.domain.ports.frames import FrameRecord, FrameStore
from services.domain.ports.matches import MatchStore
from services.domain.ports.needles import NeedleRecord, NeedleStore
from services.domain.ports.vectors import (
    FRAME_VECTORS,
    REGION_VECTORS,
    Vector,
    VectorStore,
    collection_of,
)
from services.retriever import logic
from services.retriever.logic import HAYSTACK_FRAMES, Annotated, DetectorCategory, FrameFacts
from services.runtime.progress import report_progress

_REGION_BYTES = 900
_FRAME_BYTES = 1_000
_ENTRY_BYTES = 300
_CANDIDATE_BYTES = 1_500
"""Sizes of Python objects with what they refer to, measured with tracemalloc, rounded up."""
_UNCOUNTED = 0.1
"""Count the haystack again when it has grown by this share: a count scans all of it."""


class FrameCache:
    """Caches the facts of frames.

    Parameters
    ----------
    most_bytes : beyond it, the facts that were not used for longest are dropped
    """

    def __init__(self, store: FrameStore, most_bytes: int) -> None:
        self._store = store
        self._facts: LRUCache[FrameId, FrameFacts] = LRUCache(most_bytes, _bytes_of_facts)
        self._reannotated: set[FrameId] | None = None

    def forget(self, frame_ids: Iterable[FrameId]) -> None:
        """Drop these frames, so that the next load reads them again."""
        for frame_id in frame_ids:
            self._facts.pop(frame_id, None)

    def forget_all(self) -> None:
        """Drop everything, so that it is read again."""
        self._facts.clear()
        self._reannotated = None

    async def reannotated(self) -> set[FrameId]:
        """Every frame whose ground truth came back from reannotation: verdicts are on these."""
        if self._reannotated is None:
            self._reannotated = await self._store.annotated_from(REANNOTATION_SOURCE)
        return set(self._reannotated)

    async def load(self, frame_ids: Collection[FrameId]) -> dict[FrameId, FrameFacts]:
        """The facts of those frames whose image is known."""
        found, missing = _cached(self._facts, frame_ids)
        if missing:
            records = (await self._store.load(missing)).values()
            # In a thread: a frame may have thousands of detections.
            for facts in await asyncio.to_thread(_facts_of, records):
                self._note(facts)
                found[facts.context.frame] = facts
        return found

    def _note(self, facts: FrameFacts) -> None:
        frame_id = facts.context.frame
        _keep(self._facts, frame_id, facts)
        if self._reannotated is None:
            return
        if facts.reannotated:
            self._reannotated.add(frame_id)
        else:
            self._reannotated.discard(frame_id)


def _bytes_of_facts(facts: FrameFacts) -> int:
    return _FRAME_BYTES + _REGION_BYTES * len(facts.regions)


_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


def _cached(cache: LRUCache[_K, _V], wanted: Iterable[_K]) -> tuple[dict[_K, _V], set[_K]]:
    """What the cache has of what is wanted, and what it lacks."""
    keys = set(wanted)
    found = {key: cache[key] for key in keys if key in cache}
    return found, keys - found.keys()


def _keep(cache: LRUCache[_K, _V], key: _K, value: _V) -> None:
    """Cache a value unless it alone is too large."""
    if cache.getsizeof(value) <= cache.maxsize:
        cache[key] = value
    else:
        cache.pop(key, None)


def _facts_of(records: Iterable[FrameRecord]) -> list[FrameFacts]:
    facts = []
    for record in records:
        found = FrameFacts.of(record)
        report_progress()
        if found is not None:
            facts.append(found)
    return facts


class MatchCache:
    """Caches the latest matches that hold examples: of reference and of reannotated frames."""

    def __init__(self, store: MatchStore, frames: FrameCache) -> None:
        self._store = store
        self._frames = frames
        self._by_category: defaultdict[DetectorCategory, dict[FrameId, Annotated]] = defaultdict(
            dict
        )
        self._verdicts: set[FrameId] = set()
        self._complete = False

    def note(self, matches: Iterable[CategoryMatched]) -> list[CategoryMatched]:
        """Record these matches; returns those that change the examples."""
        return [match_ for match_ in matches if self._record(match_)]

    def _record(self, match: CategoryMatched) -> bool:
        has_examples = match.split is Split.REFERENCE or match.reannotated
        if not has_examples and match.frame_id not in self._verdicts:
            return False
        of_category = self._by_category[match.detector, match.category]
        before = of_category.get(match.frame_id)
        if before is not None and match.revision <= before.revision:
            return False
        if has_examples:
            of_category[match.frame_id] = Annotated.of(match)
        elif before is not None:
            del of_category[match.frame_id]
        if match.reannotated and match.split is Split.HAYSTACK:
            self._verdicts.add(match.frame_id)
        return True

    def forget_all(self) -> None:
        """Drop everything, so that it is read again."""
        self._by_category.clear()
        self._verdicts.clear()
        self._complete = False

    async def of(self, detector_category: DetectorCategory) -> list[Annotated]:
        """All cached matches of a detector and category."""
        if not self._complete:
            async for match in self._store.scan(split=Split.REFERENCE):
                self._record(match)
            self.note(await self._store.load(await self._frames.reannotated()))
            self._complete = True
        return list(self._by_category[detector_category].values())


class NeedleCache:
    """Caches needles with their shortlists, and knows which are not published yet.

    Parameters
    ----------
    most_bytes : beyond it, the needles that were not used for longest are dropped
    """

    def __init__(self, store: NeedleStore, most_bytes: int) -> None:
        self._store = store
        self._records: LRUCache[NeedleId, NeedleRecord] = LRUCache(most_bytes, _bytes_of_needle)
        self._unpublished: set[NeedleId] | None = None

    async def all(self, detector: DetectorId | None = None) -> list[NeedleRecord]:
        """The stored needles that are active or have a shortlist, in the order of their ids.

        Without misses: there is no haystack region to look for.
        """
        records = []
        unpublished = set(self._unpublished or ())
        async for record in self._store.scan(detector=detector):
            _note_publication(unpublished, record)
            if (record.active or logic.listed(record)) and not record.is_miss:
                records.append(record)
        if detector is None or self._unpublished is not None:
            self._unpublished = unpublished
        return records

    async def unpublished(self) -> list[ShortlistPublished]:
        """The shortlists that are stored but not acknowledged, whichever process stored them."""
        if self._unpublished is None:
            await self.all()
        records = await self.load(self._unpublished or ())
        found = [records[needle_id].shortlist for needle_id in sorted(records)]
        return [shortlist for shortlist in found if shortlist is not None]

    def forget_all(self) -> None:
        """Drop everything, so that it is read again."""
        self._records.clear()
        self._unpublished = None

    async def load(self, needle_ids: Collection[NeedleId]) -> dict[NeedleId, NeedleRecord]:
        """Those of these needles that are stored."""
        found, missing = _cached(self._records, needle_ids)
        return found | await self.refresh(missing)

    async def refresh(self, needle_ids: Collection[NeedleId]) -> dict[NeedleId, NeedleRecord]:
        """Read these records again, after they were written."""
        found = await self._store.load(needle_ids) if needle_ids else {}
        for record in found.values():
            _keep(self._records, record.needle_id, record)
            if self._unpublished is not None:
                _note_publication(self._unpublished, record)
        return found


def _bytes_of_needle(record: NeedleRecord) -> int:
    return _CANDIDATE_BYTES * (1 + len(logic.listed(record)))


def _note_publication(unpublished: set[NeedleId], record: NeedleRecord) -> None:
    shortlist = record.shortlist
    if shortlist is not None and shortlist.revision > record.published_revision:
        unpublished.add(record.needle_id)
    else:
        unpublished.discard(record.needle_id)


class VectorCache:
    """Caches the vectors of regions.

    Parameters
    ----------
    most_bytes : beyond it, the vectors that were not used for longest are dropped
    """

    def __init__(self, store: VectorStore, most_bytes: int) -> None:
        self._store = store
        self._vectors: LRUCache[tuple[ModelId, RegionId], Vector] = LRUCache(
            most_bytes, lambda vector: _ENTRY_BYTES + vector.nbytes
        )

    async def load(
        self, model: ModelId, regions: Collection[RegionId]
    ) -> Mapping[RegionId, Vector]:
        """The vectors of those regions that are embedded."""
        found, missing = _cached(self._vectors, {(model, region) for region in regions})
        vectors = {region: vector for (_, region), vector in found.items()}
        if missing:
            points = {region_point_id(model, region): region for _, region in missing}
            stored = await self._store.load(collection_of(REGION_VECTORS, model), points)
            for point, vector in stored.items():
                vectors[points[point]] = vector
                _keep(self._vectors, (model, points[point]), vector)
        return vectors


class HaystackSizeCache:
    """Caches the number of haystack frames: the last count, plus the frames embedded since."""

    def __init__(self, store: VectorStore) -> None:
        self._store = store
        self._counted: tuple[ModelId, int] | None = None
        self._since: set[FrameId] = set()

    def note(self, frame_ids: Iterable[FrameId]) -> None:
        """Add haystack frames that were embedded."""
        self._since.update(frame_ids)

    def forget(self) -> None:
        """Drop the count, so that the next call counts again."""
        self._counted = None

    async def haystack_frames(self, model: ModelId) -> int:
        """The number of frames; while it grows, a few may be counted twice."""
        counted = self._counted
        if counted is None or counted[0] != model or len(self._since) > counted[1] * _UNCOUNTED:
            frames = await self._store.count(collection_of(FRAME_VECTORS, model), HAYSTACK_FRAMES)
            counted = self._counted = model, frames
            self._since.clear()
        return counted[1] + len(self._since)
