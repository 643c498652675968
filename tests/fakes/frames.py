from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace

from services.contracts.events import (
    FrameAnnotated,
    FrameCaptured,
    PredictionsMade,
)
from services.contracts.identity import DetectorId, FrameId
from services.domain.detection.category_map import CategoryMap
from services.domain.ports.category_maps import MapScope, scopes_of
from services.domain.ports.frames import (
    AffectedPredictions,
    FrameFact,
    FrameRecord,
    FrameTally,
    Pair,
)
from services.domain.revision_conflicts import content_of, refuse_conflict, revision_of
from tests.fakes.category_maps import InMemoryCategoryMaps


class InMemoryFrameStore:
    def __init__(self) -> None:
        self._frames: dict[FrameId, FrameRecord] = {}
        self._originals: dict[str, FrameId] = {}
        self.maps = InMemoryCategoryMaps()

    async def record(
        self, facts: Sequence[FrameFact], pairs: Collection[Pair] = ()
    ) -> dict[FrameId, FrameRecord]:
        stored = [(fact, self._merge(fact)) for fact in facts]
        for fact, other in stored:
            if other is not None:
                refuse_conflict(fact, content_of(fact), revision_of(other), content_of(other))
        for fact in facts:
            if isinstance(fact, FrameCaptured):
                original = self._originals.setdefault(fact.image.sha256, fact.frame_id)
                record = self._frames[fact.frame_id]
                self._frames[fact.frame_id] = replace(record, original=original)
        affected = AffectedPredictions.by(facts, pairs)
        records = await self.load(affected.frame_ids)
        return {name: affected.of(record) for name, record in records.items()}

    async def load(self, frame_ids: Collection[FrameId]) -> dict[FrameId, FrameRecord]:
        return {
            frame_id: self._mapped(self._frames[frame_id])
            for frame_id in frame_ids
            if frame_id in self._frames
        }

    async def image_sizes(
        self, frame_ids: Collection[FrameId]
    ) -> Mapping[FrameId, tuple[int, int]]:
        records = await self.load(frame_ids)
        captures = [record.captured for record in records.values() if record.captured]
        return {item.frame_id: (item.image.width, item.image.height) for item in captures}

    async def evaluable(
        self, frame_ids: Collection[FrameId] | None = None
    ) -> AsyncIterator[Sequence[FrameRecord]]:
        for frame_id, record in list(self._frames.items()):
            wanted = frame_ids is None or frame_id in frame_ids
            if wanted and record.predictions and record.ground_truth:
                yield [replace(self._mapped(record), captured=None)]

    async def predicted(self, detector: DetectorId) -> AsyncIterator[Sequence[FrameRecord]]:
        for record in list(self._frames.values()):
            if detector in record.predictions:
                made = {detector: record.predictions[detector]}
                yield [replace(self._mapped(record), predictions=made)]

    async def category_maps(
        self, detectors: Collection[DetectorId]
    ) -> Mapping[DetectorId, CategoryMap]:
        return await self.maps.of(detectors)

    async def predictions_after(
        self, scope: MapScope, after: str, limit: int
    ) -> tuple[Sequence[PredictionsMade], str]:
        keyed = {
            f"{frame_id} {detector}": made
            for frame_id, record in self._frames.items()
            for detector, made in record.predictions.items()
            if scope in scopes_of(detector) and f"{frame_id} {detector}" > after
        }
        some = sorted(keyed)[:limit]
        return [keyed[key] for key in some], some[-1] if some else after

    async def annotated_from(self, source: str) -> set[FrameId]:
        return {
            frame_id
            for frame_id, record in self._frames.items()
            if record.ground_truth
            and record.ground_truth.annotation_source == source
            and record.ground_truth.complete
        }

    async def tally(self) -> FrameTally:
        records = self._frames.values()
        made = [m for record in records for m in record.predictions.values() if not m.withdrawn]
        truths = [
            r.ground_truth for r in records if r.ground_truth and not r.ground_truth.withdrawn
        ]
        return FrameTally(
            frames=sum(record.captured is not None for record in records),
            predictions=len(made),
            ground_truth=len(truths),
            partial_predictions=sum(not predictions.complete for predictions in made),
            partial_ground_truth=sum(not truth.complete for truth in truths),
            copies=sum(record.is_copy for record in records),
        )

    def _mapped(self, record: FrameRecord) -> FrameRecord:
        return replace(record, category_maps=self.maps.effective(record.predictions))

    def _merge(self, fact: FrameFact) -> FrameFact | None:
        """Keep the fact if it is newer; returns what was stored in its place."""
        record = self._frames.get(fact.frame_id, FrameRecord(fact.frame_id))
        match fact:
            case FrameCaptured():
                stored: FrameFact | None = record.captured
                merged = replace(record, captured=record.captured or fact)
            case FrameAnnotated():
                known = stored = record.ground_truth
                newer = known is None or fact.revision > known.revision
                merged = replace(record, ground_truth=fact if newer else known)
            case PredictionsMade():
                stored = record.predictions.get(fact.detector_id)
                newer = stored is None or fact.revision > stored.revision
                latest = fact if newer or stored is None else stored
                predictions = {**record.predictions, fact.detector_id: latest}
                merged = replace(record, predictions=predictions)
        self._frames[fact.frame_id] = merged
        return stored
