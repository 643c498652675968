"""Finds haystack regions that may be shortlisted: by vector search, or on given frames."""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

import numpy as np

from services.contracts.events import Split
from services.contracts.identity import FrameId, ModelId, RegionId
from services.domain.arrays import Vectors
from services.domain.mining.region_features import FEATURES
from services.domain.ports.vectors import REGION_VECTORS, Hit, VectorReader, Where, collection_of
from services.domain.shortlists.candidate_scoring import Haystack
from services.retriever import logic
from services.retriever.caches import FrameCache, VectorCache
from services.retriever.logic import DetectedRegion, DetectorCategory, FrameFacts
from services.runtime.settings import Settings


class CandidateSource:
    """Looks up haystack regions with their vectors and facts."""

    def __init__(
        self,
        frames: FrameCache,
        store: VectorReader,
        vectors: VectorCache,
        settings: Settings,
    ) -> None:
        self._frames = frames
        self._store = store
        self._vectors = vectors
        self._settings = settings
        self._operating = settings.operating_scores

    async def search(
        self, detector_category: DetectorCategory, directions: Vectors, model: ModelId
    ) -> Haystack:
        """The regions most similar to any direction; all of the category where they are few."""
        detector, category = detector_category
        hits: list[Hit] = []
        least = self._operating.of(detector, category)
        for name in await self._frames.predicted_as(detector, category):
            where = logic.haystack_filter(detector, name, least)
            hits += await self._hits(directions, where, model)
        found = {
            hit.point_id: (
                RegionId(str(hit.payload["region_id"])),
                FrameId(str(hit.payload["frame_id"])),
            )
            for hit in hits
        }
        return await self.rows([found[point] for point in sorted(found)], model)

    async def _hits(self, directions: Vectors, where: Where, model: ModelId) -> list[Hit]:
        collection, most = collection_of(REGION_VECTORS, model), self._settings.shortlist_pool
        hits = await self._store.nearest(collection, directions[0], where, most)
        if len(hits) == most and len(directions) > 1:
            # The first search was cut off, so there are more regions than one search returns.
            for more in await self._store.nearest_batch(collection, directions[1:], where, most):
                hits += more
        return hits

    async def for_frames(
        self,
        frames: Mapping[FrameId, FrameFacts],
        detector_categories: Collection[DetectorCategory],
        model: ModelId,
    ) -> dict[DetectorCategory, Haystack]:
        """Regions on these haystack frames at or above the operating score, by category."""
        found: defaultdict[DetectorCategory, list[tuple[RegionId, FrameId]]] = defaultdict(list)
        least = {category: self._operating.of(*category) for category in detector_categories}
        for frame, facts in sorted(frames.items()):
            if facts.split(self._settings.split_rule) is not Split.HAYSTACK:
                continue
            for region, seen in facts.regions.items():
                if seen.score >= least.get(seen.detector_category, math.inf):
                    found[seen.detector_category].append((region, frame))
        # Load the vectors of all categories at once: every query costs a round trip.
        regions = [region for item in found.values() for region, _ in item]
        await self._vectors.load(model, regions)
        return {
            detector_category: await self.rows(item, model)
            for detector_category, item in found.items()
        }

    async def rows(self, regions: Iterable[tuple[RegionId, FrameId]], model: ModelId) -> Haystack:
        """Those of these regions that still exist, are embedded, and are on listable frames."""
        wanted = list(regions)
        facts = await self._frames.load({frame for _, frame in wanted})
        present: list[tuple[RegionId, FrameFacts, DetectedRegion]] = [
            (region, facts[frame], facts[frame].regions[region])
            for region, frame in wanted
            if frame in facts
            and facts[frame].is_listable(count_copies=self._settings.count_copies)
            and region in facts[frame].regions
        ]
        vectors = await self._vectors.load(model, [region for region, _, _ in present])
        found = [item for item in present if item[0] in vectors]
        if not found:
            no_vectors = np.empty((0, 0), np.float32)
            return Haystack((), no_vectors, np.empty((0, FEATURES)), np.empty(0), ())
        return Haystack(
            [region for region, _, _ in found],
            np.stack([vectors[region] for region, _, _ in found]),
            np.stack([seen.features for _, _, seen in found]),
            np.array([seen.score for _, _, seen in found]),
            [frame.context for _, frame, _ in found],
        )
