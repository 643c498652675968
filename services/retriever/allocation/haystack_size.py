"""How many frames the haystack has, which sets the budget."""

from collections.abc import Iterable

from services.contracts.identity import FrameId, ModelId
from services.domain.ports.vectors import FRAME_VECTORS, VectorReader, collection_of
from services.retriever.logic import HAYSTACK_FRAMES

_UNCOUNTED = 0.1
_MAX_UNCOUNTED = 100_000
"""Count the haystack again when it has grown by this share, or by so many frames, whose ids take
10 MB: a count scans all of it."""


class HaystackSizeCache:
    """Caches the number of haystack frames: the last count, plus the frames embedded since."""

    def __init__(self, store: VectorReader) -> None:
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
        if counted is None or counted[0] != model or self._has_grown_since(counted[1]):
            frames = await self._store.count(collection_of(FRAME_VECTORS, model), HAYSTACK_FRAMES)
            counted = self._counted = model, frames
            self._since.clear()
        return counted[1] + len(self._since)

    def _has_grown_since(self, counted: int) -> bool:
        return len(self._since) > min(counted * _UNCOUNTED, _MAX_UNCOUNTED)
