"""What the retriever has read before and need not read again: frames, matches, needles, vectors.

All of it is durable elsewhere and only kept here. A frame's entry goes when an event says that the
frame changed; a match's gives way to its successor; a needle's is read again when it was written;
a vector never changes, its id says what it is of. What another retriever heard of, this one did
not: then all of it is read again.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from services.contracts.events import REANNOTATION, FrameMatched, Split
from services.contracts.identity import FrameId, ModelId, NeedleId, RegionId, region_point_id
from services.retriever.logic import FrameFacts, Kind
from services.runtime.stores.frames import FrameStore
from services.runtime.stores.matches import MatchStore
from services.runtime.stores.needles import NeedleRecord, NeedleStore
from services.runtime.stores.vectors import REGIONS, Vector, VectorStore, collection_of

_FRAMES_MAX = 100_000
_VECTORS_MAX = 50_000
"""100 MB at 512 dimensions."""


class KnownFrames:
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
            self._reannotated = await self._store.annotated_from(REANNOTATION)
        return set(self._reannotated)

    async def load(self, frame_ids: Collection[FrameId]) -> dict[FrameId, FrameFacts]:
        """The facts of those that are captured."""
        wanted = set(frame_ids)
        missing = wanted - self._facts.keys()
        if missing:
            if len(self._facts) + len(missing) > _FRAMES_MAX:
                self._facts.clear()
                missing = wanted
            for frame_id, record in (await self._store.load(missing)).items():
                facts = FrameFacts.of(record)
                if facts is not None:
                    self._note(frame_id, facts)
        return {each: self._facts[each] for each in wanted if each in self._facts}

    def _note(self, frame_id: FrameId, facts: FrameFacts) -> None:
        self._facts[frame_id] = facts
        if self._reannotated is None:
            return
        if facts.reannotated:
            self._reannotated.add(frame_id)
        else:
            self._reannotated.discard(frame_id)


class KnownMatches:
    """The latest matches of reference frames."""

    def __init__(self, store: MatchStore) -> None:
        self._store = store
        self._of: defaultdict[Kind, dict[FrameId, FrameMatched]] = defaultdict(dict)
        self._complete = False

    def note(self, matches: Iterable[FrameMatched]) -> None:
        """Take in what was told."""
        for match in matches:
            of_kind = self._of[match.detector, match.category]
            before = of_kind.get(match.frame_id)
            if before is None or match.revision > before.revision:
                of_kind[match.frame_id] = match

    def forget_all(self) -> None:
        """Let everything be read again."""
        self._of.clear()
        self._complete = False

    async def of(self, kind: Kind) -> list[FrameMatched]:
        """All of a kind."""
        if not self._complete:
            self.note([match async for match in self._store.scan(split=Split.REFERENCE)])
            self._complete = True
        return list(self._of[kind].values())


class KnownNeedles:
    """The needles' records."""

    def __init__(self, store: NeedleStore) -> None:
        self._store = store
        self._records: dict[NeedleId, NeedleRecord] = {}
        self._complete = False

    async def all(self) -> list[NeedleRecord]:
        """Every needle, active or not, in the order of their ids."""
        if not self._complete:
            self._records = {each.needle_id: each async for each in self._store.scan()}
            self._complete = True
        return [self._records[needle_id] for needle_id in sorted(self._records)]

    def forget_all(self) -> None:
        """Let everything be read again."""
        self._records.clear()
        self._complete = False

    async def refresh(self, needle_ids: Collection[NeedleId]) -> dict[NeedleId, NeedleRecord]:
        """Read these again: they were written."""
        found = await self._store.load(needle_ids) if needle_ids else {}
        self._records |= found
        return found


class KnownVectors:
    """The vectors of regions."""

    def __init__(self, store: VectorStore) -> None:
        self._store = store
        self._vectors: dict[tuple[ModelId, RegionId], Vector] = {}

    async def load(
        self, model: ModelId, regions: Collection[RegionId]
    ) -> Mapping[RegionId, Vector]:
        """Those that are embedded."""
        wanted = set(regions)
        missing = {each for each in wanted if (model, each) not in self._vectors}
        if missing:
            if len(self._vectors) + len(missing) > _VECTORS_MAX:
                self._vectors.clear()
                missing = wanted
            points = {region_point_id(model, region): region for region in missing}
            found = await self._store.load(collection_of(REGIONS, model), points)
            for point, vector in found.items():
                self._vectors[model, points[point]] = vector
        return {
            each: self._vectors[model, each] for each in wanted if (model, each) in self._vectors
        }
