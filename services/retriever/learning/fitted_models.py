"""Fits failure models, and keeps them where every process finds them again.

A model's id is a hash of all that it was fitted to: the same labelled regions give the same ids, in
whatever order and however often they arrived.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from cachetools import LRUCache

from services.contracts.identity import FrameId, ModelId, RegionId
from services.domain.arrays import FloatArray, Vectors
from services.domain.chunks import chunks
from services.domain.failure_modes import FailureMode
from services.domain.mining.failure_model import Examples, FailureModel
from services.domain.ports.failure_models import FailureModelStore
from services.domain.shortlists.candidate_scoring import CategoryModel
from services.domain.shortlists.strategies import CategoryStats
from services.retriever.caches import FrameCache, VectorCache, keep
from services.retriever.labelled_regions import (
    MAX_EXAMPLES,
    category_stats,
    examples_of,
    modes_of_regions,
)
from services.retriever.learning import stored_models
from services.retriever.learning.match_cache import MatchCache
from services.retriever.logic import DetectorCategory
from services.runtime.settings import Settings

_ID_CHARACTERS = 16


@dataclass(frozen=True)
class FittedModel:
    """The model of a category.

    Attributes
    ----------
    model_id : a hash of the examples and the statistics
    examples : how many there were
    """

    category_model: CategoryModel
    model_id: str
    examples: int

    @property
    def nbytes(self) -> int:
        """The size of its arrays."""
        return self.category_model.nbytes


class FittedModels:
    """The failure models of all categories.

    Models beyond `model_cache_bytes` are dropped from memory, the longest unused first, and read
    from the store when they are needed.
    """

    def __init__(
        self,
        frames: FrameCache,
        matches: MatchCache,
        vectors: VectorCache,
        store: FailureModelStore,
        settings: Settings,
    ) -> None:
        self._frames = frames
        self._matches = matches
        self._vectors = vectors
        self._store = store
        self._settings = settings
        self._models: LRUCache[DetectorCategory, FittedModel] = LRUCache(
            settings.model_cache_bytes, lambda fitted: fitted.nbytes
        )

    async def forget_all(self) -> None:
        """Delete all models, also the stored ones: an erased frame may have been an example."""
        self._models.clear()
        await self._store.forget_all()

    async def load(
        self, detector_category: DetectorCategory, model_id: str, model: ModelId
    ) -> FittedModel | None:
        """The model with this id; None if it or the vectors of its examples are not stored."""
        fitted = self._models.get(detector_category)
        if fitted is not None and fitted.model_id == model_id:
            return fitted
        content = await self._store.load(*detector_category, model_id)
        if content is None:
            return None
        stored = await asyncio.to_thread(stored_models.decoded, content)
        vectors = await self._vectors.load(model, stored.right_regions)
        category_model = stored.category_model(vectors)
        if category_model is None:
            return None
        fitted = FittedModel(category_model, model_id, stored.examples)
        keep(self._models, detector_category, fitted)
        return fitted

    async def fit(
        self, detector_category: DetectorCategory, model: ModelId
    ) -> tuple[FittedModel, int]:
        """The model of all that is labelled now, and how many frames have labels of the category.

        It is fitted only if what it is fitted to has changed.
        """
        labelled = await self._matches.of(detector_category)
        truths = modes_of_regions(labelled, self._settings.region_score)
        frame_of = {region: match.frame_id for match in labelled for region in match.regions}
        examples = await self._examples(truths, frame_of, model)
        stats = category_stats([item for item in labelled if not item.reannotated])
        model_id = _id_of(examples, stats)
        fitted = await self.load(detector_category, model_id, model)
        if fitted is None:
            failure_model = await asyncio.to_thread(FailureModel.fit, examples)
            category_model = CategoryModel(failure_model, stats)
            fitted = FittedModel(category_model, model_id, len(examples.modes))
            keep(self._models, detector_category, fitted)
            content = await asyncio.to_thread(
                stored_models.encoded, category_model, fitted.examples, examples.right_regions
            )
            await self._store.save(*detector_category, model_id, content)
        return fitted, len(labelled)

    async def _examples(
        self,
        truths: Mapping[RegionId, FailureMode | None],
        frame_of: Mapping[RegionId, FrameId],
        model: ModelId,
    ) -> Examples:
        """The first MAX_EXAMPLES regions, by id, that have a vector and features."""
        vectors: dict[RegionId, Vectors] = {}
        features: dict[RegionId, FloatArray] = {}
        for chunk in chunks(sorted(truths), MAX_EXAMPLES):
            facts = await self._frames.load({frame_of[region] for region in chunk})
            vectors |= await self._vectors.load(model, chunk)
            for region in chunk:
                seen = facts.get(frame_of[region])
                if seen is not None and region in seen.regions:
                    features[region] = seen.regions[region].features
            if len(vectors.keys() & features.keys()) >= MAX_EXAMPLES:
                break
        return examples_of(truths, vectors, features)


def _id_of(examples: Examples, stats: CategoryStats) -> str:
    content = sha256(examples.digest().encode() + stats.digest())
    return content.hexdigest()[:_ID_CHARACTERS]
