"""Caches needles with their shortlists; an entry is read again after a write."""

from collections.abc import Collection

from cachetools import LRUCache

from services.contracts.identity import DetectorId, NeedleId
from services.contracts.needles import ShortlistPublished
from services.domain.ports.needles import NeedleRecord, NeedleStore
from services.retriever import logic
from services.retriever.caches import cached, keep

_CANDIDATE_BYTES = 1_500
"""The size of a candidate as Python objects, measured with tracemalloc, rounded up."""


class NeedleCache:
    """Caches needles with their shortlists, and knows which are not published yet.

    Parameters
    ----------
    most_bytes : beyond it, the needles that were not used for longest are dropped
    of_misses : whether misses are listed for, and not false positives
    """

    def __init__(self, store: NeedleStore, most_bytes: int, *, of_misses: bool = False) -> None:
        self._store = store
        self._of_misses = of_misses
        self._records: LRUCache[NeedleId, NeedleRecord] = LRUCache(most_bytes, _bytes_of_needle)
        self._unpublished: set[NeedleId] | None = None

    async def all(self, detector: DetectorId | None = None) -> list[NeedleRecord]:
        """The stored needles that are active or have a shortlist, in the order of their ids.

        Only those that frames are listed for.
        """
        records = []
        unpublished = set(self._unpublished or ())
        async for record in self._store.scan(detector=detector):
            _note_publication(unpublished, record)
            if (record.active or logic.listed(record)) and self.lists_for(record):
                records.append(record)
        if detector is None or self._unpublished is not None:
            self._unpublished = unpublished
        return records

    def lists_for(self, record: NeedleRecord) -> bool:
        """Whether frames are listed for needles of its kind."""
        return record.is_miss == self._of_misses

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
        found, missing = cached(self._records, needle_ids)
        return found | await self.refresh(missing)

    async def refresh(self, needle_ids: Collection[NeedleId]) -> dict[NeedleId, NeedleRecord]:
        """Read these records again, after they were written."""
        found = await self._store.load(needle_ids) if needle_ids else {}
        for record in found.values():
            keep(self._records, record.needle_id, record)
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
