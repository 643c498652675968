"""Fills the collections of a model that is not live yet, from the stored frames.

Progress is stored only in the frames' records, so an interrupted run continues where it stopped. A
frame that arrives during a pass is found by the next one, because the live model's embedder records
it first.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Self

import structlog

from services.contracts.errors import VALUE_ERRORS, Invalid, Unprocessable
from services.contracts.identity import FrameId, ModelId
from services.domain.ports.embeddings import Embeddings
from services.embedder.service import EmbedFrames

_AT_ONCE = 64
"""Frames per round: Ctrl-C waits for the current round, whose vectors are then durable."""
log = structlog.get_logger()

EraseLate = Callable[[Collection[FrameId]], Awaitable[None]]


@dataclass(frozen=True)
class Filled:
    """The progress of a model.

    Attributes
    ----------
    unreadable : frames whose image cannot be embedded, with the reason
    """

    done: int
    captured: int
    unreadable: dict[FrameId, str] = field(default_factory=dict)

    @classmethod
    async def of(cls, model: ModelId, embeddings: Embeddings) -> Self:
        """The progress according to the frames' records."""
        return cls(await embeddings.done(model), await embeddings.captured())


class FillModel:
    """Embeds all frames that the model has not finished, in passes over the stored frames.

    Parameters
    ----------
    erase_late : erases what was written of those frames that were erased while they were embedded
    """

    def __init__(
        self, step: EmbedFrames, embeddings: Embeddings, erase_late: EraseLate | None = None
    ) -> None:
        self._step = step
        self._embeddings = embeddings
        self._erase_late = erase_late
        self._unreadable: dict[FrameId, str] = {}

    @property
    def model_id(self) -> ModelId:
        """The model that is filled."""
        return self._step.model_id

    async def recover(self) -> int:
        """Mark frames whose vectors are lost as not embedded; returns how many.

        It checks every frame only if the vector store has fewer points than the records claim,
        because that takes long with many frames. It may be interrupted and repeated.

        Raises
        ------
        Transient
            A store is down.
        """
        model, after, lost = self._step.model_id, None, 0
        recorded = (await self._embeddings.points()).get(model)
        if recorded is None or await self._step.holds(recorded):
            return 0
        while embedded := await self._embeddings.embedded_frames(model, after, _AT_ONCE):
            after = embedded[-1].frame_id
            gone = await self._step.lost(embedded)
            await self._embeddings.forget(model, gone)
            lost += len(gone)
        log.warning("vectors_lost", model=model, frames=lost)
        return lost

    async def fill(self, on_progress: Callable[[Filled], None] = lambda _: None) -> Filled:
        """Run one pass; returns the progress after it.

        Raises
        ------
        Transient
            A store or the broker is down; finished frames stay finished.
        """
        model, after, fresh = self._step.model_id, None, 0
        start = await Filled.of(model, self._embeddings)
        on_progress(start)
        while pending := await self._embeddings.pending(model, after, _AT_ONCE):
            after = pending[-1]
            fresh += await self._embed(
                [frame_id for frame_id in pending if frame_id not in self._unreadable]
            )
            if self._erase_late is not None:
                await self._erase_late(pending)
            on_progress(Filled(start.done + fresh, start.captured, dict(self._unreadable)))
        if fresh:
            log.info("model_filled", model=model, frames=fresh, unreadable=len(self._unreadable))
        now = await Filled.of(model, self._embeddings)
        return Filled(now.done, now.captured, dict(self._unreadable))

    async def _embed(self, frame_ids: list[FrameId]) -> int:
        """Embed these frames; returns how many succeeded, and records the unreadable ones."""
        try:
            await self._step.embed(frame_ids)
        except (Invalid, *VALUE_ERRORS):
            return sum([await self._embed_alone(frame_id) for frame_id in frame_ids])
        return len(frame_ids)

    async def _embed_alone(self, frame_id: FrameId) -> bool:
        try:
            await self._step.embed([frame_id])
        except (Invalid, *VALUE_ERRORS) as exc:
            reason = exc.reason if isinstance(exc, Invalid) else Unprocessable.default_reason
            log.warning("frame_not_embedded", frame=frame_id, reason=reason, error=str(exc))
            self._unreadable[frame_id] = str(exc)
            return False
        return True
