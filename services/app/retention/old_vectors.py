"""Deletes the vectors of embedding models that another model has replaced."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final

import structlog

from services.app.elected import elected
from services.app.repeating import repeated
from services.contracts.identity import FrameId, ModelId
from services.domain.ports.embeddings import Embeddings
from services.domain.ports.leases import LeaseStore
from services.domain.ports.retention import RetentionStore
from services.domain.ports.vectors import (
    FRAME_VECTORS,
    REGION_VECTORS,
    VectorStore,
    collection_of,
    live_model,
    models_of,
)
from services.runtime.clock import Clock
from services.runtime.observability import metrics
from services.runtime.settings import Settings

log = structlog.get_logger(__name__)

_JOB: Final = "old_vectors"
_EVERY_S: Final = 60.0
"""The settings limit frames per minute."""


class VectorSweeper:
    """Forgets a replaced model's frames at a bounded rate, then drops its collections.

    The records are deleted first, so that they never claim a vector that is gone. A user who makes
    the model live again meanwhile sees how many frames it lacks, and can fill it.

    Parameters
    ----------
    used : the models that this process embeds with, which are kept
    """

    def __init__(
        self,
        store: RetentionStore,
        embeddings: Embeddings,
        vectors: VectorStore,
        used: Collection[ModelId],
        *,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._store = store
        self._embeddings = embeddings
        self._vectors = vectors
        self._used = used
        self._settings = settings
        self._clock = clock
        self._after: dict[ModelId, FrameId] = {}

    async def sweep(self) -> int:
        """Forget the next frames of a model that is old enough; returns their number.

        Raises
        ------
        StoreUnavailable
            A store does not answer; what was begun is finished by the next call.
        """
        for model in await self._due():
            forgotten = await self._forget_next(model)
            if forgotten:
                return forgotten
            await self._drop(model)
        return 0

    async def _due(self) -> list[ModelId]:
        days = self._settings.retain_vectors_days
        live = await live_model(self._vectors, REGION_VECTORS) if days else None
        if live is None:
            return []
        kept = {live, *self._used}
        stored = models_of(await self._vectors.collections())
        now = self._clock.now()
        await self._store.note_replaced([model for model in stored if model not in kept], now)
        before = now - timedelta(days=days)
        due = [model for model, since in (await self._store.replaced()).items() if since < before]
        return [model for model in sorted(due) if await self._is_idle(model, before)]

    async def _is_idle(self, model: ModelId, before: datetime) -> bool:
        """Whether no process has filled the model since; looked up once per pass over it."""
        return model in self._after or not await self._embeddings.embedded_since(model, before)

    async def _forget_next(self, model: ModelId) -> int:
        after, most = self._after.get(model), self._settings.retention_per_minute
        found = await self._embeddings.embedded_frames(model, after, most)
        if not found:
            self._after.pop(model, None)
            return 0
        await self._embeddings.forget(model, [event.frame_id for event in found])
        self._after[model] = found[-1].frame_id
        metrics.RETENTION_DELETED.labels("vectors").inc(len(found))
        return len(found)

    async def _drop(self, model: ModelId) -> None:
        """Drop the collections, unless a fill has recorded frames behind this pass."""
        if await self._embeddings.one(model) is not None:
            return
        # Regions last: a model is known by that collection, so an interrupted drop is repeated.
        await self._vectors.drop(
            [collection_of(alias, model) for alias in (FRAME_VECTORS, REGION_VECTORS)]
        )
        log.info("replaced_model_dropped", model=model)


@asynccontextmanager
async def vectors_kept(
    sweeper: VectorSweeper, leases: LeaseStore, clock: Clock
) -> AsyncIterator[None]:
    """Delete vectors of replaced models while the context is open, in one of all embedders."""

    @asynccontextmanager
    async def job() -> AsyncIterator[None]:
        async with repeated("delete_old_vectors", sweeper.sweep, clock, every_s=_EVERY_S):
            yield

    async with elected(_JOB, leases, job, clock):
        yield
