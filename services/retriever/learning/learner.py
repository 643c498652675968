"""The learner, first of three stages: from labelled regions to failure models.

It reads the matches of reference and reannotated frames, which label regions. It gives the scorer
models, each with an id that is a hash of its examples: the same labelled regions give the same ids,
in whatever order and however often they arrived.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from cachetools import LRUCache

from services.contracts.identity import DetectorId, FrameId, ModelId, RegionId
from services.domain.detection.coco import FloatArray
from services.domain.mining.detector_category import CategoryModel
from services.domain.mining.failure_model import Examples, FailureMode, FailureModel
from services.domain.mining.ranking import Vectors
from services.retriever.caches import FrameCache, VectorCache, keep
from services.retriever.labelled_regions import (
    EXAMPLES_MAX,
    category_stats,
    examples_of,
    modes_of_regions,
)
from services.retriever.learning.match_cache import MatchCache
from services.retriever.logic import DetectorCategory
from services.runtime.progress import report_progress
from services.runtime.settings import Settings

_REFIT_GROWTH = 1.5
"""Refit when the observations have grown by this factor, so that the cost of fitting per example
stays constant."""
_REFIT_GROWTH_WHEN_FULL = 3.0
"""The same once EXAMPLES_MAX examples are fitted: replacing some of them improves the model little,
and changes shortlists."""
EXAMPLES_PER_EPOCH = 10_000
"""Examples that one epoch fits, at least one model. Five full models take some .7 s of a core."""


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

    @property
    def nbytes(self) -> int:
        """The size of its arrays."""
        return self.category_model.nbytes


@dataclass(frozen=True)
class _Fit:
    """What a category's model was fitted to."""

    model_id: str
    examples: int
    observed: int
    modes: frozenset[FailureMode]


@dataclass(frozen=True)
class Learned:
    """What the learner tells the scorer at the end of an epoch.

    Attributes
    ----------
    model_ids : of each category that has a model
    unfinished : whether models wait for a fit that the epoch had no time for
    """

    model_ids: Mapping[DetectorCategory, str]
    unfinished: bool


class Learner:
    """Fits failure models, and decides when to refit.

    A model follows from the labelled regions that are stored when it is fitted: nothing is fitted
    in the background, so that an epoch's models do not depend on how long a fit takes. Models
    beyond `model_cache_bytes` are dropped, the longest unused first, and fitted again when needed.
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
        self._models: LRUCache[DetectorCategory, FittedModel] = LRUCache(
            settings.model_cache_bytes, lambda fitted: fitted.nbytes
        )
        self._fits: dict[DetectorCategory, _Fit] = {}
        self._observed: Counter[DetectorCategory] = Counter()

    def observe(self, detector_category: DetectorCategory) -> None:
        """Count an event that may change the examples of a model."""
        self._observed[detector_category] += 1

    def observed(self, detector: DetectorId) -> int:
        """The number of events so far that may have changed examples of a detector."""
        return sum(count for (of, _), count in self._observed.items() if of == detector)

    def forget(self, detector: DetectorId) -> None:
        """Fit all models of a detector again in the next epoch."""
        self._fits = {key: fit for key, fit in self._fits.items() if key[0] != detector}

    async def refit(
        self,
        modes: Mapping[DetectorCategory, Collection[FailureMode]],
        model: ModelId,
        *,
        refresh: bool,
        most_examples: float = EXAMPLES_PER_EPOCH,
    ) -> Learned:
        """Fit the models that are due: the first of a category, for a new mode, for new examples.

        Parameters
        ----------
        modes : the failure modes with needles of each of a detector's categories
        model : the embedding model
        refresh : whether every model is due whose examples may have changed
        most_examples : after so many, models that are due wait for the next epoch
        """
        due, spent = deque(self._due(modes, refresh=refresh)), 0
        while due and spent < most_examples:
            detector_category = due.popleft()
            before = self._fits.get(detector_category)
            fitted = await self._fit(detector_category, modes[detector_category], model)
            report_progress()
            if before is None or fitted.model_id != before.model_id:
                spent += fitted.examples
        ids = {of: self._fits[of].model_id for of in modes if of in self._fits}
        return Learned(ids, unfinished=bool(due))

    async def model(self, detector_category: DetectorCategory, model: ModelId) -> FittedModel:
        """The model of a category that has one; fitted again if it was dropped."""
        fitted = self._models.get(detector_category)
        if fitted is not None:
            return fitted
        return await self._fit(detector_category, self._fits[detector_category].modes, model)

    def needs_refit(self, detector_category: DetectorCategory) -> bool:
        """Whether enough was observed since the last fit to justify another."""
        fit = self._fits[detector_category]
        full = fit.examples >= EXAMPLES_MAX
        return self._observed[detector_category] >= max(
            fit.observed + 1, (_REFIT_GROWTH_WHEN_FULL if full else _REFIT_GROWTH) * fit.observed
        )

    def _is_outdated(self, detector_category: DetectorCategory) -> bool:
        """Whether anything was observed since the last fit."""
        return self._observed[detector_category] > self._fits[detector_category].observed

    def _due(
        self, modes: Mapping[DetectorCategory, Collection[FailureMode]], *, refresh: bool
    ) -> list[DetectorCategory]:
        fitted = modes.keys() & self._fits.keys()
        has_new_mode = [of for of in fitted if not self._fits[of].modes.issuperset(modes[of])]
        grown = filter(self._is_outdated if refresh else self.needs_refit, fitted)
        ordered = (modes.keys() - fitted, has_new_mode, grown)
        return list(dict.fromkeys(of for part in ordered for of in sorted(part)))

    async def _fit(
        self,
        detector_category: DetectorCategory,
        modes: Collection[FailureMode],
        model: ModelId,
    ) -> FittedModel:
        """The model of all that is stored; fitted again only if its examples changed."""
        labelled = await self._matches.of(detector_category)
        observed = max(self._observed[detector_category], len(labelled))
        truths = modes_of_regions(labelled, self._settings.region_score)
        frame_of = {region: match.frame_id for match in labelled for region in match.regions}
        examples = await self._examples(truths, frame_of, model)
        model_id = examples.digest()
        before = self._models.get(detector_category)
        if before is not None and before.model_id == model_id:
            failure_model = before.category_model.model
        else:
            failure_model = await asyncio.to_thread(FailureModel, examples)
        stats = category_stats([item for item in labelled if not item.reannotated])
        fitted = FittedModel(CategoryModel(failure_model, stats), model_id, len(examples.modes))
        keep(self._models, detector_category, fitted)
        self._observed[detector_category] = observed
        self._fits[detector_category] = _Fit(model_id, fitted.examples, observed, frozenset(modes))
        return fitted

    async def _examples(
        self,
        truths: Mapping[RegionId, FailureMode | None],
        frame_of: Mapping[RegionId, FrameId],
        model: ModelId,
    ) -> Examples:
        """The first EXAMPLES_MAX regions, by id, that have a vector and features."""
        vectors: dict[RegionId, Vectors] = {}
        features: dict[RegionId, FloatArray] = {}
        for chunk in _chunks(sorted(truths), EXAMPLES_MAX):
            facts = await self._frames.load({frame_of[region] for region in chunk})
            vectors |= await self._vectors.load(model, chunk)
            for region in chunk:
                seen = facts.get(frame_of[region])
                if seen is not None and region in seen.regions:
                    features[region] = seen.regions[region].features
            if len(vectors.keys() & features.keys()) >= EXAMPLES_MAX:
                break
        return examples_of(truths, vectors, features)


def _chunks(regions: Sequence[RegionId], size: int) -> list[Sequence[RegionId]]:
    return [regions[start : start + size] for start in range(0, len(regions), size)]
