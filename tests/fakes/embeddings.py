"""Embeddings of the frames in memory."""

from collections.abc import Collection

from services.contracts.events import FrameEmbedded
from services.contracts.identity import FrameId, ModelId
from services.domain.ports.frames import FrameRecord
from services.runtime.stores.embeddings import Points
from tests.fakes.frames import InMemoryFrameStore


class InMemoryEmbeddings:
    def __init__(self, frames: InMemoryFrameStore) -> None:
        self._frames = frames

    async def captured(self) -> int:
        return len(self._captured())

    async def done(self, model: ModelId) -> int:
        return sum(_is_done(record, model) for record in self._captured())

    async def lacking(self, model: ModelId, live: ModelId) -> int:
        return sum(_is_done(r, live) and not _is_done(r, model) for r in self._captured())

    async def pending(self, model: ModelId, after: FrameId | None, limit: int) -> list[FrameId]:
        ids = [r.frame_id for r in self._captured() if not _is_done(r, model)]
        return sorted(each for each in ids if after is None or each > after)[:limit]

    async def one(self, model: ModelId) -> FrameEmbedded | None:
        return next((r.embedded[model] for r in self._captured() if model in r.embedded), None)

    async def points(self) -> dict[ModelId, Points]:
        embedded_frames = [each for r in self._frames.records() for each in r.embedded.values()]
        return {
            model: Points(
                sum(each.model == model for each in embedded_frames),
                sum(
                    len(regions)
                    for each in embedded_frames
                    if each.model == model
                    for regions in each.regions.values()
                ),
            )
            for model in {each.model for each in embedded_frames}
        }

    async def embedded_frames(
        self, model: ModelId, after: FrameId | None, limit: int
    ) -> list[FrameEmbedded]:
        embedded_frames = {
            r.frame_id: r.embedded[model] for r in self._frames.records() if model in r.embedded
        }
        ids = sorted(each for each in embedded_frames if after is None or each > after)
        return [embedded_frames[each] for each in ids[:limit]]

    async def forget(self, model: ModelId, frame_ids: Collection[FrameId]) -> None:
        self._frames.forget_embedded(model, frame_ids)

    def _captured(self) -> list[FrameRecord]:
        return [each for each in self._frames.records() if each.captured is not None]


def _is_done(record: FrameRecord, model: ModelId) -> bool:
    if model not in record.embedded:
        return False
    latest = {detector: made.revision for detector, made in record.predictions.items()}
    return dict(record.embedded[model].predictions_revisions) == latest
