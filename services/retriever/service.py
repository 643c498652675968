"""retriever: keeps every needle's shortlist up to date with the haystack."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import structlog

from services.contracts import identity
from services.contracts.errors import Fatal, StoreUnavailable
from services.contracts.events import (
    Event,
    FrameEmbedded,
    FrameMatched,
    NeedleFound,
    NeedleRetracted,
    ShortlistPublished,
    Split,
)
from services.contracts.identity import FrameId, ModelId, NeedleId
from services.contracts.topics import EMBEDDED, MATCHES, NEEDLES
from services.domain.ranking import Vectors
from services.retriever import logic
from services.retriever.logic import Kind, Neighbour
from services.runtime import metrics
from services.runtime.clock import Clock
from services.runtime.settings import Settings
from services.runtime.step import Outbox
from services.runtime.stores.frames import FrameStore
from services.runtime.stores.matches import MatchStore
from services.runtime.stores.needles import NeedleRecord, NeedleStore
from services.runtime.stores.vectors import (
    REGIONS,
    Vector,
    VectorStore,
    collection_of,
    model_of,
)

TOPICS = (NEEDLES, EMBEDDED, MATCHES)
log = structlog.get_logger()


@dataclass(frozen=True)
class _Search:
    """An active needle with its vector, ready to be looked up."""

    record: NeedleRecord
    needle: NeedleFound
    vector: Vector


class ExtendShortlists:
    """Ranks again every needle that a batch of events may move.

    A needle, a haystack region and the reference's true positives may come in any order. Each is
    durable before its event, and each event ranks the needles that it concerns from all that is
    durable by then: whichever comes last completes the shortlist.
    """

    def __init__(
        self,
        *,
        frames: FrameStore,
        matches: MatchStore,
        needles: NeedleStore,
        vectors: VectorStore,
        outbox: Outbox,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._frames = frames
        self._matches = matches
        self._needles = needles
        self._vectors = vectors
        self._outbox = outbox
        self._settings = settings
        self._clock = clock

    async def run(self, events: Sequence[Event]) -> None:
        found: list[NeedleFound | NeedleRetracted] = []
        embedded: set[FrameId] = set()
        kinds: set[Kind] = set()
        for event in events:
            match event:
                case NeedleFound() | NeedleRetracted():
                    found.append(event)
                case FrameEmbedded():
                    embedded.add(event.frame_id)
                case FrameMatched(split=Split.REFERENCE):
                    kinds.add((event.detector, event.category))
                case FrameMatched():
                    pass  # a haystack frame's match says nothing about what resembles what
                case _:
                    raise Fatal(f"retriever does not consume {type(event).__name__}")
        await self._needles.record(found)
        for record in (await self._frames.load(embedded)).values():
            kinds |= logic.kinds_of(record)
        await self._refresh({each.needle_id for each in found}, kinds)

    async def _refresh(self, needle_ids: Collection[NeedleId], kinds: Collection[Kind]) -> None:
        """Rank the named needles and all of these kinds, and publish what changed."""
        records = await self._needles.load(needle_ids)
        for detector, category in sorted(kinds):
            async for record in self._needles.scan(detector=detector, category=category):
                records[record.needle_id] = record
        for record in records.values():
            if not record.active:
                await self._write(logic.withdrawn(record))
        model = model_of(REGIONS, (await self._vectors.aliases()).get(REGIONS))
        if model is not None:
            await self._rank_all([each for each in records.values() if each.active], model)
        await self._publish(records)

    async def _rank_all(self, records: Sequence[NeedleRecord], model: ModelId) -> None:
        by_kind: dict[Kind, list[_Search]] = defaultdict(list)
        for search in await self._searches(records, model):
            by_kind[search.needle.detector, search.needle.category].append(search)
        for kind, searches in sorted(by_kind.items()):
            rights = await self._load_true_positives(kind, model)
            for search in searches:
                await self._rank(search, rights, model)

    async def _searches(self, records: Sequence[NeedleRecord], model: ModelId) -> list[_Search]:
        """The needles whose region is embedded; the others wait for their FrameEmbedded."""
        points = {
            identity.region_point_id(model, record.needle.region_id): (record, record.needle)
            for record in records
            if record.needle is not None
        }
        vectors = await self._vectors.load(collection_of(REGIONS, model), points)
        return [_Search(*points[point], vector) for point, vector in sorted(vectors.items())]

    async def _load_true_positives(self, kind: Kind, model: ModelId) -> Vectors:
        """(T, D) vectors of the reference's true positives that are embedded."""
        detector, category = kind
        matches = self._matches.scan(
            detector=detector, categories=[category], split=Split.REFERENCE
        )
        regions = logic.true_positives(
            [match async for match in matches], self._settings.operating_score
        )
        points = [identity.region_point_id(model, region) for region in regions]
        found = await self._vectors.load(collection_of(REGIONS, model), points)
        present = sorted(found)
        return np.stack([found[each] for each in present]) if present else np.empty((0, 0), "f4")

    async def _rank(self, search: _Search, rights: Vectors, model: ModelId) -> None:
        started = self._clock.monotonic()
        collection = collection_of(REGIONS, model)
        where = logic.haystack_of(search.needle, self._settings)
        hits = await self._vectors.nearest(
            collection, search.vector, where, self._settings.shortlist_pool
        )
        vectors = await self._vectors.load(collection, [hit.point_id for hit in hits])
        neighbours = [Neighbour(hit, vectors[hit.point_id]) for hit in hits]
        ranked = await asyncio.to_thread(logic.rank, neighbours, rights, self._settings)
        frames = await self._frames.load({each.frame_id for each in neighbours})
        before = search.record.shortlist
        known = {candidate.frame_id for candidate in before.candidates} if before else set()
        candidates = logic.choose(ranked, frames, known, self._settings)
        provenance = logic.provenance(model, self._settings)
        await self._write(
            logic.next_shortlist(search.record, search.needle, candidates, provenance)
        )
        metrics.SEARCH_SECONDS.observe(self._clock.monotonic() - started)

    async def _write(self, shortlist: ShortlistPublished | None) -> None:
        if shortlist is None:
            return
        await self._needles.write_shortlist(shortlist)
        stored = (await self._needles.load([shortlist.needle_id]))[shortlist.needle_id].shortlist
        if stored != shortlist:
            raise StoreUnavailable(f"needle {shortlist.needle_id}: another retriever was faster")

    async def _publish(self, touched: Mapping[NeedleId, NeedleRecord]) -> None:
        """Publish what is written and not yet acknowledged, whoever wrote it and whenever."""
        records = await self._needles.load(touched)
        due = [
            record.shortlist
            for record in records.values()
            if record.shortlist is not None
            and record.shortlist.revision > record.published_revision
        ]
        await self._outbox.publish(due)
        await self._needles.mark_published(due)
        for shortlist in due:
            category = metrics.CATEGORIES(shortlist.needle.category)
            metrics.SHORTLISTS_PUBLISHED.labels(category).inc()
            metrics.SHORTLIST_FRAMES.observe(len(shortlist.candidates))
        if due:
            log.info("shortlists_published", shortlists=len(due), needles=len(touched))
