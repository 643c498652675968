"""What the retriever has read before and need not read again: frames, matches, needles, vectors.

All of it is durable elsewhere and only kept here. A frame's entry goes when an event says that the
frame changed; a match's gives way to its successor; a needle's is read again when it was written;
a vector never changes, its id says what it is of. What another retriever heard of, this one did
not: then all of it is read again.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from services.contracts.events import REANNOTATION_SOURCE, FrameMatched, ShortlistPublished, Split
from services.contracts.identity import FrameId, ModelId, NeedleId, RegionId, region_point_id
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
"""The haystack is counted again when it grew by this share: a count looks at all of it."""


class FrameCache:
    """The facts of frames."""

    def __init__(self, store: FrameStore) -> None:
        self._store = store
        self._facts: dict[FrameId, FrameFacts] = {}
        self._reannotated: set[FrameId] | None = None

    def forget(self, frame_ids: Iterable[FrameId]) -> None:
        """Let these be read again."""
        for frame_id in frame_ids:
            self._facts.pop(frame_id, None)

    def forget_all(self) -> None:
        """Let everything be read again."""
        self._facts.clear()
        self._reannotated = None

    async def reannotated(self) -> set[FrameId]:
        """Every frame whose ground truth came back corrected: the verdicts lie there."""
        if self._reannotated is None:
            self._reannotated = await self._store.annotated_from(REANNOTATION_SOURCE)
        return set(self._reannotated)

    async def load(self, frame_ids: Collection[FrameId]) -> dict[FrameId, FrameFacts]:
        """The facts of those that are captured."""
        wanted = set(frame_ids)
        missing = wanted - self._facts.keys()
        if missing:
            if len(self._facts) + len(missing) > _FRAMES_MAX:
                self._facts.clear()
                missing = wanted
            records = (await self._store.load(missing)).values()
            # In a thread: a frame may have thousands of detections.
            for facts in await asyncio.to_thread(_facts_of, records):
                self._note(facts.spot.frame, facts)
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
    """The latest matches that regions of known truth are taken from.

    They are those of reference frames, and those of haystack frames that were annotated again.
    """

    def __init__(self, store: MatchStore, frames: FrameCache) -> None:
        self._store = store
        self._frames = frames
        self._of: defaultdict[DetectorCategory, dict[FrameId, Annotated]] = defaultdict(dict)
        self._verdicts: set[FrameId] = set()
        self._complete = False

    def note(self, matches: Iterable[FrameMatched]) -> list[FrameMatched]:
        """Take in what was told; what of it teaches anything."""
        return [match_ for match_ in matches if self._noted(match_)]

    def _noted(self, match: FrameMatched) -> bool:
        teaches = match.split is Split.REFERENCE or match.reannotated
        if not teaches and match.frame_id not in self._verdicts:
            return False
        of_kind = self._of[match.detector, match.category]
        before = of_kind.get(match.frame_id)
        if before is not None and match.revision <= before.revision:
            return False
        if teaches:
            of_kind[match.frame_id] = Annotated.of(match)
        elif before is not None:
            del of_kind[match.frame_id]
        if match.reannotated and match.split is Split.HAYSTACK:
            self._verdicts.add(match.frame_id)
        return True

    def forget_all(self) -> None:
        """Let everything be read again."""
        self._of.clear()
        self._verdicts.clear()
        self._complete = False

    async def of(self, kind: DetectorCategory) -> list[Annotated]:
        """All of a kind."""
        if not self._complete:
            async for match in self._store.scan(split=Split.REFERENCE):
                self._noted(match)
            self.note(await self._store.load(await self._frames.reannotated()))
            self._complete = True
        return list(self._of[kind].values())


class NeedleCache:
    """The records of needles that are active, or of which something is left to tell."""

    def __init__(self, store: NeedleStore) -> None:
        self._store = store
        self._records: dict[NeedleId, NeedleRecord] = {}
        self._unpublished: set[NeedleId] = set()
        self._complete = False

    async def all(self) -> list[NeedleRecord]:
        """All of them, in the order of their ids."""
        await self._read()
        return [self._records[needle_id] for needle_id in sorted(self._records)]

    async def unpublished(self) -> list[ShortlistPublished]:
        """The shortlists that are written and not yet acknowledged, whoever wrote them."""
        await self._read()
        found = [self._records[needle_id].shortlist for needle_id in sorted(self._unpublished)]
        return [shortlist for shortlist in found if shortlist is not None]

    def get(self, needle_id: NeedleId) -> NeedleRecord:
        """An active needle that was read before."""
        return self._records[needle_id]

    def forget_all(self) -> None:
        """Let everything be read again."""
        self._records.clear()
        self._unpublished.clear()
        self._complete = False

    async def refresh(self, needle_ids: Collection[NeedleId]) -> dict[NeedleId, NeedleRecord]:
        """Read these again: they were written."""
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
    """The vectors of regions."""

    def __init__(self, store: VectorStore) -> None:
        self._store = store
        self._vectors: dict[tuple[ModelId, RegionId], Vector] = {}

    async def load(
        self, model: ModelId, regions: Collection[RegionId]
    ) -> Mapping[RegionId, Vector]:
        """Those that are embedded."""
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
    """How many frames the haystack has: counted now and then, and by what was told since."""

    def __init__(self, store: VectorStore) -> None:
        self._store = store
        self._counted: tuple[ModelId, int] | None = None
        self._since: set[FrameId] = set()

    def note(self, frame_ids: Iterable[FrameId]) -> None:
        """These were embedded, of the haystack."""
        self._since.update(frame_ids)

    def forget(self) -> None:
        """Let it be counted again."""
        self._counted = None

    async def haystack_frames(self, model: ModelId) -> int:
        """How many there are, or a few more while it grows: what was told may be counted too."""
        counted = self._counted
        if counted is None or counted[0] != model or len(self._since) > counted[1] * _UNCOUNTED:
            frames = await self._store.count(collection_of(FRAME_VECTORS, model), HAYSTACK_FRAMES)
            counted = self._counted = model, frames
            self._since.clear()
        return counted[1] + len(self._since)
