"""Caches of frames, matches, needles and vectors that the retriever has read.

The stores keep all of this; the caches save reading it again. A frame's entry is dropped when an
event reports a change of the frame; a match's is replaced by a higher revision; a needle's is read
again after a write; a vector never changes. After another retriever has planned, everything but
vectors is read again, because its events did not reach this one.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from services.contracts.events import REANNOTATION_SOURCE, ShortlistPublished, Split
from services.contracts.identity import FrameId, ModelId, NeedleId, RegionId, region_point_id
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
from services.retriever.logic import HAYSTACK_FRAMES, Annotated, DetectorCategory, FrameFacts
from services.runtime.progress import report_progress

_FRAMES_MAX = 50_000
_VECTORS_MAX = 50_000
"""100 MB at 512 dimensions."""
_UNCOUNTED = 0.1
"""Count the haystack again when it has grown by this share: a count scans all of it."""


class FrameCache:
    """Caches the facts of frames."""

    def __init__(self, store: FrameStore) -> None:
        self._store = store
        self._facts: dict[FrameId, FrameFacts] = {}
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
        wanted = set(frame_ids)
        missing = wanted - self._facts.keys()
        if missing:
            if len(self._facts) + len(missing) > _FRAMES_MAX:
                self._facts.clear()
                missing = wanted
            records = (await self._store.load(missing)).values()
            # In a thread: a frame may have thousands of detections.
            for facts in await asyncio.to_thread(_facts_of, records):
                self._note(facts.context.frame, facts)
        return {frame_id: self._facts[frame_id] for frame_id in wanted if frame_id in self._facts}

    def _note(self, frame_id: FrameId, facts: FrameFacts) -> None:
        self._facts[frame_id] = facts
        if self._reannotated is None:
            return
        if facts.reannotated:
            self._reannotated.add(frame_id)
        else:
            self._reannotated.discard(frame_id)


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
    """Caches needles that are active, have a shortlist, or have one that is not published."""

    def __init__(self, store: NeedleStore) -> None:
        self._store = store
        self._records: dict[NeedleId, NeedleRecord] = {}
        self._unpublished: set[NeedleId] = set()
        self._complete = False

    async def all(self) -> list[NeedleRecord]:
        """All cached records, in the order of their ids."""
        await self._read()
        return [self._records[needle_id] for needle_id in sorted(self._records)]

    async def unpublished(self) -> list[ShortlistPublished]:
        """The shortlists that are stored but not acknowledged, whichever retriever stored them."""
        await self._read()
        found = [self._records[needle_id].shortlist for needle_id in sorted(self._unpublished)]
        return [shortlist for shortlist in found if shortlist is not None]

    def get(self, needle_id: NeedleId) -> NeedleRecord:
        """The record of an active needle that is cached."""
        return self._records[needle_id]

    def forget_all(self) -> None:
        """Drop everything, so that it is read again."""
        self._records.clear()
        self._unpublished.clear()
        self._complete = False

    async def refresh(self, needle_ids: Collection[NeedleId]) -> dict[NeedleId, NeedleRecord]:
        """Read these records again, after they were written."""
        found = await self._store.load(needle_ids) if needle_ids else {}
        for record in found.values():
            self._note(record)
        return found

    async def _read(self) -> None:
        if not self._complete:
            self._records.clear()
            async for record in self._store.scan():
                self._note(record)
            self._complete = True

    def _note(self, record: NeedleRecord) -> None:
        shortlist = record.shortlist
        if shortlist is not None and shortlist.revision > record.published_revision:
            self._unpublished.add(record.needle_id)
        else:
            self._unpublished.discard(record.needle_id)
        listed = shortlist is not None and len(shortlist.candidates) > 0
        if record.active or listed or record.needle_id in self._unpublished:
            self._records[record.needle_id] = record
        else:
            self._records.pop(record.needle_id, None)


class VectorCache:
    """Caches the vectors of regions."""

    def __init__(self, store: VectorStore) -> None:
        self._store = store
        self._vectors: dict[tuple[ModelId, RegionId], Vector] = {}

    async def load(
        self, model: ModelId, regions: Collection[RegionId]
    ) -> Mapping[RegionId, Vector]:
        """The vectors of those regions that are embedded."""
        wanted = set(regions)
        missing = {region_id for region_id in wanted if (model, region_id) not in self._vectors}
        if missing:
            if len(self._vectors) + len(missing) > _VECTORS_MAX:
                self._vectors.clear()
                missing = wanted
            points = {region_point_id(model, region): region for region in missing}
            found = await self._store.load(collection_of(REGION_VECTORS, model), points)
            for point, vector in found.items():
                self._vectors[model, points[point]] = vector
        return {
            region_id: self._vectors[model, region_id]
            for region_id in wanted
            if (model, region_id) in self._vectors
        }


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
