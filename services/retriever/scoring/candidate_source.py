"""Haystack regions of a kind that may be shortlisted: those that lie right, and those just come."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

import numpy as np

from services.contracts.events import Split
from services.contracts.identity import FrameId, ModelId, RegionId
from services.domain.mining.detector_category import Haystack
from services.domain.mining.ranking import Vectors
from services.domain.mining.region_features import FEATURES
from services.domain.ports.vectors import REGION_VECTORS, VectorStore, collection_of
from services.retriever import logic
from services.retriever.logic import DetectorCategory, FrameFacts, Seen
from services.retriever.scoring.caches import FrameCache, VectorCache
from services.runtime.settings import Settings


class CandidateSource:
    """Looks regions up, by where they lie or by their frames."""

    def __init__(
        self,
        frames: FrameCache,
        store: VectorStore,
        vectors: VectorCache,
        settings: Settings,
    ) -> None:
        self._frames = frames
        self._store = store
        self._vectors = vectors
        self._settings = settings

    async def search(self, kind: DetectorCategory, directions: Vectors, model: ModelId) -> Haystack:
        """The regions that lie farthest in any direction; all of the kind where they are few."""
        where = logic.haystack_of(kind, self._settings.operating_score)
        collection, most = collection_of(REGION_VECTORS, model), self._settings.shortlist_pool
        hits = await self._store.nearest(collection, directions[0], where, most)
        if len(hits) == most and len(directions) > 1:
            # There are others yet.
            for more in await self._store.nearest_to_each(collection, directions[1:], where, most):
                hits += more
        found = {
            hit.point_id: (
                RegionId(str(hit.payload["region_id"])),
                FrameId(str(hit.payload["frame_id"])),
            )
            for hit in hits
        }
        return await self.rows([found[point] for point in sorted(found)], model)

    async def among(
        self,
        frames: Mapping[FrameId, FrameFacts],
        kinds: Collection[DetectorCategory],
        model: ModelId,
    ) -> dict[DetectorCategory, Haystack]:
        """By kind, the regions on these haystack frames that the detector shows on the map."""
        found: defaultdict[DetectorCategory, list[tuple[RegionId, FrameId]]] = defaultdict(list)
        for frame, facts in sorted(frames.items()):
            if facts.split(self._settings.split_rule) is not Split.HAYSTACK:
                continue
            for region, seen in facts.regions.items():
                if seen.kind in kinds and seen.score >= self._settings.operating_score:
                    found[seen.kind].append((region, frame))
        # All kinds' at once: every question to the store has a price of its own.
        regions = [region for item in found.values() for region, _ in item]
        await self._vectors.load(model, regions)
        return {kind: await self.rows(item, model) for kind, item in found.items()}

    async def rows(self, regions: Iterable[tuple[RegionId, FrameId]], model: ModelId) -> Haystack:
        """Of these, the ones that stand and are embedded, on frames that may be listed."""
        wanted = list(regions)
        facts = await self._frames.load({frame for _, frame in wanted})
        standing: list[tuple[RegionId, FrameFacts, Seen]] = [
            (region, facts[frame], facts[frame].regions[region])
            for region, frame in wanted
            if frame in facts
            and facts[frame].is_listable(count_copies=self._settings.count_copies)
            and region in facts[frame].regions
        ]
        vectors = await self._vectors.load(model, [region for region, _, _ in standing])
        found = [item for item in standing if item[0] in vectors]
        if not found:
            nothing = np.empty((0, 0), np.float32)
            return Haystack((), nothing, np.empty((0, FEATURES)), np.empty(0), ())
        return Haystack(
            [region for region, _, _ in found],
            np.stack([vectors[region] for region, _, _ in found]),
            np.stack([seen.features for _, _, seen in found]),
            np.array([seen.score for _, _, seen in found]),
            [frame.spot for _, frame, _ in found],
        )
