"""Fits failure models from the annotated regions that are stored."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.contracts.identity import DetectorId, FrameId, ModelId, RegionId
from services.domain.detection.coco import FloatArray
from services.domain.mining.detector_category import CategoryModel
from services.domain.mining.failure_model import Examples, FailureMode, FailureModel
from services.domain.mining.ranking import Vectors
from services.retriever import logic
from services.retriever.logic import DetectorCategory
from services.retriever.scoring.caches import FrameCache, MatchCache, VectorCache
from services.runtime.settings import Settings

_REFIT_GROWTH = 1.5
"""Refit when the observations have grown by this factor, so that the cost of fitting per example
stays constant."""
_REFIT_GROWTH_WHEN_FULL = 3.0
"""The same once EXAMPLES_MAX examples are fitted: replacing some of them improves the model little,
and changes shortlists."""


@dataclass(frozen=True)
class FittedModel:
    """The model of a category.

    Attributes
    ----------
    model_id : a hash of the examples
    examples : how many there were
    """

    category_model: CategoryModel
    model_id: str
    examples: int


class Learning:
    """Fits failure models, and decides when to refit.

    A model follows from the examples that are stored when it is fitted: nothing is learnt in the
    background, so that an epoch's models do not depend on how long a fit takes.
    """

    def __init__(
        self,
        frames: FrameCache,
        matches: MatchCache,
        vectors: VectorCache,
        settings: Settings,
    ) -> None:
        self._frames = frames
        self._matches = matches
        self._vectors = vectors
        self._settings = settings
        self._fits: dict[DetectorCategory, FittedModel] = {}
        self._observed: Counter[DetectorCategory] = Counter()
        self._observed_at_fit: dict[DetectorCategory, int] = {}

    def observe(self, detector_category: DetectorCategory) -> None:
        """Count an event that may change the examples of a model."""
        self._observed[detector_category] += 1

    def observed(self, detector: DetectorId) -> int:
        """The number of events so far that may have changed examples of a detector."""
        return sum(count for (of, _), count in self._observed.items() if of == detector)

    def needs_refit(self, detector_category: DetectorCategory) -> bool:
        """Whether enough was observed since the last fit to justify another."""
        observed_at_fit = self._observed_at_fit.get(detector_category, 0)
        last_fit = self._fits.get(detector_category)
        full = last_fit is not None and last_fit.examples >= logic.EXAMPLES_MAX
        return self._observed[detector_category] >= max(
            observed_at_fit + 1,
            (_REFIT_GROWTH_WHEN_FULL if full else _REFIT_GROWTH) * observed_at_fit,
        )

    def is_outdated(self, detector_category: DetectorCategory) -> bool:
        """Whether anything was observed since the last fit."""
        at_fit = self._observed_at_fit.get(detector_category, 0)
        return self._observed[detector_category] > at_fit

    async def truths(
        self, detector_category: DetectorCategory
    ) -> dict[RegionId, FailureMode | None]:
        """The failure mode of each annotated region; None for a true positive."""
        return logic.truths(await self._matches.of(detector_category), self._settings.region_score)

    async def fit(self, detector_category: DetectorCategory, model: ModelId) -> FittedModel:
        """The model of all that is stored; fitted again only if its examples changed."""
        annotated = await self._matches.of(detector_category)
        self._observed[detector_category] = max(self._observed[detector_category], len(annotated))
        self._observed_at_fit[detector_category] = self._observed[detector_category]
        modes = logic.truths(annotated, self._settings.region_score)
        frame_of = {region: match.frame_id for match in annotated for region in match.regions}
        examples = await self._examples(modes, frame_of, model)
        model_id = examples.digest()
        before = self._fits.get(detector_category)
        if before is not None and before.model_id == model_id:
            failure_model = before.category_model.model
        else:
            failure_model = await asyncio.to_thread(FailureModel, examples)
        stats = logic.category_stats([item for item in annotated if not item.reannotated])
        fitted = FittedModel(CategoryModel(failure_model, stats), model_id, len(examples.modes))
        self._fits[detector_category] = fitted
        return fitted

    async def _examples(
        self,
        modes: Mapping[RegionId, FailureMode | None],
        frame_of: Mapping[RegionId, FrameId],
        model: ModelId,
    ) -> Examples:
        """The first EXAMPLES_MAX regions, by id, that have a vector and features."""
        vectors: dict[RegionId, Vectors] = {}
        features: dict[RegionId, FloatArray] = {}
        for chunk in _chunks(sorted(modes), logic.EXAMPLES_MAX):
            facts = await self._frames.load({frame_of[region] for region in chunk})
            vectors |= await self._vectors.load(model, chunk)
            for region in chunk:
                seen = facts.get(frame_of[region])
                if seen is not None and region in seen.regions:
                    features[region] = seen.regions[region].features
            if len(vectors.keys() & features.keys()) >= logic.EXAMPLES_MAX:
                break
        return logic.examples(modes, vectors, features)


def _chunks(regions: Sequence[RegionId], size: int) -> list[Sequence[RegionId]]:
    return [regions[start : start + size] for start in range(0, len(regions), size)]
