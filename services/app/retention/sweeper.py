"""Deletes what is older than the settings let it be kept, at a bounded rate."""

import asyncio
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Final

import structlog

from services.app.erasure.eraser import FrameEraser
from services.app.erasure.erasers import CONFIRMING
from services.app.retention.cold_frames import Cutoff, cold
from services.contracts.identity import FrameId
from services.domain.ports.audit import AuditAct, AuditLog, AuditRecord
from services.domain.ports.blobs import BlobStore
from services.domain.ports.erasure import RETENTION, ErasureRequest
from services.domain.ports.retention import RetentionStore
from services.runtime.clock import Clock
from services.runtime.observability import metrics
from services.runtime.settings import Settings

log = structlog.get_logger(__name__)

_PAUSE_S: Final = 3600.0
"""From the last frame to the first again: every pass reads all frames."""


class RetentionSweeper:
    """Erases cold frames, and deletes old images, decisions, figures and notes of imports.

    A frame is cold if it was stored long enough ago, is in the haystack, has no ground truth, and
    was never on a shortlist. It is erased as on request, with its image, vectors and predictions,
    so that it does not come back.

    Parameters
    ----------
    eraser : makes what erases frames; it reads all dead letters once, so each round has its own
    """

    def __init__(
        self,
        store: RetentionStore,
        blobs: BlobStore,
        eraser: Callable[[], FrameEraser],
        audit: AuditLog,
        *,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._eraser = eraser
        self._audit = audit
        self._settings = settings
        self._clock = clock
        self._after = ""
        self._next_pass = clock.monotonic()
        self._images_after = ""

    async def sweep_frames(self) -> int:
        """Look at the next frames and erase the cold ones; returns their number.

        Raises
        ------
        Transient
            A store or the broker does not answer; what was begun is finished by the next erasure.
        """
        settings, now = self._settings, self._clock.now()
        if self._clock.monotonic() < self._next_pass:
            return 0
        cutoff = Cutoff(self._store, settings.retain_unlisted_days, settings.retain_until_archived)
        before = await cutoff.at(now)
        if before is None:
            return 0
        most = settings.retention_per_minute
        found, self._after = await self._store.old_frames(before, self._after, most)
        if not self._after:
            self._next_pass = self._clock.monotonic() + _PAUSE_S
        frame_ids = cold(found, settings.split_rule)
        if frame_ids:
            await self._erase(frame_ids, f"unlisted for {settings.retain_unlisted_days:g} days")
        return len(frame_ids)

    async def sweep_images(self) -> int:
        """Delete the next images that are too old; returns the number of frames without one.

        Raises
        ------
        StoreUnavailable
            A store does not answer.
        """
        settings = self._settings
        if not settings.retain_images_days:
            return 0
        before, most = self._before(settings.retain_images_days), settings.retention_per_minute
        found, self._images_after = await self._store.old_images(before, self._images_after, most)
        if found:
            uris = await self._store.images_only_of(found)
            for uri in uris:
                await asyncio.to_thread(self._blobs.delete, uri)
            # Noted last: a process that ends before this deletes them again.
            await self._store.note_images_deleted(found)
            metrics.RETENTION_DELETED.labels("images").inc(len(found))
            log.info("old_images_deleted", frames=len(found), images=len(uris))
        return len(found)

    async def sweep_records(self) -> None:
        """Delete old decisions about retracted needles, figures, and notes of imports.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        settings, store = self._settings, self._store
        for kind, days, drop in (
            ("verdicts", settings.retain_verdicts_days, store.drop_decisions),
            ("figures", settings.retain_figures_days, store.drop_figures),
            ("imports", settings.retain_imports_days, store.drop_imports),
        ):
            if days and (dropped := await drop(self._before(days), settings.retention_per_minute)):
                metrics.RETENTION_DELETED.labels(kind).inc(dropped)
                log.info("old_records_deleted", kind=kind, records=dropped)

    async def _erase(self, frame_ids: Collection[FrameId], reason: str) -> None:
        now = self._clock.now()
        details: dict[str, str | int] = {"frames": len(frame_ids), "reason": reason}
        record = AuditRecord(now, AuditAct.ERASED, RETENTION, "unlisted frames", details)
        await self._audit.append(record)
        await self._eraser().erase(frame_ids, ErasureRequest(RETENTION, reason, now, CONFIRMING))
        metrics.RETENTION_DELETED.labels("unlisted_frames").inc(len(frame_ids))

    def _before(self, days: float) -> datetime:
        return self._clock.now() - timedelta(days=days)
