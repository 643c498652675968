"""Stores shortlists, and publishes what is stored."""

from collections.abc import Iterable, Sequence

import structlog

from services.contracts.errors import StoreUnavailable
from services.contracts.needles import ShortlistPublished
from services.domain.ports.needles import NeedleRecord, NeedleStore
from services.retriever import logic
from services.retriever.allocation.needle_cache import NeedleCache
from services.retriever.awaited_needles import AwaitedNeedles
from services.runtime.clock import Clock
from services.runtime.observability import metrics
from services.runtime.observability.bounded_labels import CATEGORIES
from services.runtime.step import Outbox

log = structlog.get_logger()


class ShortlistPublication:
    """Writes shortlists first, and publishes whatever is stored but not acknowledged."""

    def __init__(
        self,
        store: NeedleStore,
        needles: NeedleCache,
        outbox: Outbox,
        awaited: AwaitedNeedles,
        clock: Clock,
    ) -> None:
        self._store = store
        self._needles = needles
        self._outbox = outbox
        self._awaited = awaited
        self._clock = clock

    async def write(self, shortlists: Sequence[ShortlistPublished]) -> None:
        """Store these shortlists; a later revision may be there, of an epoch after theirs.

        Raises
        ------
        StoreUnavailable
            Another process has stored this revision otherwise, or the store does not answer.
        """
        if not shortlists:
            return
        await self._store.write_shortlists(shortlists)
        stored = await self._needles.refresh([shortlist.needle_id for shortlist in shortlists])
        for shortlist in shortlists:
            latest = stored[shortlist.needle_id].shortlist
            is_later = latest is not None and latest.revision > shortlist.revision
            if latest != shortlist and not is_later:
                raise StoreUnavailable(
                    f"needle {shortlist.needle_id}: another retriever was faster"
                )

    async def write_missing(self, shortlists: Sequence[ShortlistPublished]) -> None:
        """Store these shortlists, except where the same or a later one of the needle is stored."""
        if shortlists:
            await self._store.write_shortlists(shortlists)
            await self._needles.refresh([shortlist.needle_id for shortlist in shortlists])

    async def withdraw(self, records: Iterable[NeedleRecord]) -> None:
        """Store empty shortlists of those of these needles that were retracted."""
        retracted = {record.needle_id for record in records if not record.active}
        # As they are now: another process may have listed for them since these were read.
        stored = (await self._needles.load(retracted)).values()
        withdrawn = [logic.withdrawn(record) for record in stored if not record.active]
        await self.write([shortlist for shortlist in withdrawn if shortlist is not None])

    async def publish(self) -> None:
        """Publish the shortlists that are not acknowledged, whichever process stored them."""
        due = await self._needles.unpublished()
        if not due:
            return
        await self._outbox.publish(due)
        await self._store.mark_published(due)
        await self._needles.refresh([item.needle_id for item in due])
        now = self._clock.now()
        for shortlist in due:
            self._awaited.note_published(shortlist.needle_id, now)
            category = CATEGORIES(shortlist.needle.category)
            metrics.SHORTLISTS_PUBLISHED.labels(category).inc()
            metrics.SHORTLIST_FRAMES.observe(len(shortlist.candidates))
        log.info("shortlists_published", shortlists=len(due))
