from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import replace

from services.contracts.identity import DetectorId, FrameId, NeedleId
from services.contracts.needles import NeedleFound, NeedleRetracted, ShortlistPublished
from services.domain.ports.needles import NeedleRecord


class InMemoryNeedleStore:
    def __init__(self) -> None:
        self._records: dict[NeedleId, NeedleRecord] = {}
        self._facts: dict[NeedleId, NeedleFound | NeedleRetracted] = {}

    async def record(self, facts: Sequence[NeedleFound | NeedleRetracted]) -> None:
        for fact in facts:
            stored = self._records.get(fact.needle_id)
            newer = stored is None or fact.revision > stored.revision
            found = fact if isinstance(fact, NeedleFound) else None
            known = stored.needle if stored else None
            if stored is None:
                blank = NeedleRecord(fact.needle_id, 0, active=False, needle=None)
                stored = blank
            if newer:
                self._facts[fact.needle_id] = fact
                stored = replace(stored, revision=fact.revision, active=found is not None)
            if found and (newer or known is None):
                known = found
            self._records[fact.needle_id] = replace(stored, needle=known)

    async def load(self, needle_ids: Collection[NeedleId]) -> dict[NeedleId, NeedleRecord]:
        return {
            needle_id: self._records[needle_id]
            for needle_id in needle_ids
            if needle_id in self._records
        }

    async def scan(
        self,
        *,
        detector: DetectorId | None = None,
    ) -> AsyncIterator[NeedleRecord]:
        for needle_id in sorted(self._records):
            if detector is None or self._facts[needle_id].detector == detector:
                yield self._records[needle_id]

    async def write_shortlists(self, shortlists: Sequence[ShortlistPublished]) -> None:
        for shortlist in shortlists:
            stored = self._records[shortlist.needle_id]
            if stored.shortlist is None or shortlist.revision > stored.shortlist.revision:
                self._records[shortlist.needle_id] = replace(stored, shortlist=shortlist)

    async def mark_published(self, shortlists: Sequence[ShortlistPublished]) -> None:
        for shortlist in shortlists:
            stored = self._records[shortlist.needle_id]
            published = max(stored.published_revision, shortlist.revision)
            self._records[shortlist.needle_id] = replace(stored, published_revision=published)

    async def naming(self, frame_ids: Collection[FrameId]) -> Sequence[NeedleRecord]:
        return [
            record
            for needle_id, record in sorted(self._records.items())
            if self._facts[needle_id].frame_id in frame_ids
            or (
                record.shortlist
                and any(item.frame_id in frame_ids for item in record.shortlist.candidates)
            )
        ]

    async def delete(self, frame_ids: Collection[FrameId]) -> None:
        for needle_id, fact in list(self._facts.items()):
            if fact.frame_id in frame_ids:
                del self._facts[needle_id]
                self._records.pop(needle_id, None)
