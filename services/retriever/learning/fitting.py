"""Fits failure models from the annotated regions that are stored."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.contracts.identity import FrameId, ModelId, RegionId
from services.domain.detection.coco import FloatArray
from services.domain.mining.detector_category import CategoryModel
from services.domain.mining.failure_model import Examples, FailureMode, FailureModel
from services.domain.mining.ranking import Vectors
from services.domain.shortlists.strategies import CategoryStats
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
_AWAITED_EXAMPLES_MAX = 200
"""A fit of up to this many examples is awaited: it takes some hundredths of a second."""


@dataclass(frozen=True)
class _Fit:
    """The examples of a model, and its fit, which runs in a thread or is done."""

    examples: Examples
    stats: CategoryStats
    task: asyncio.Task[FailureModel]

    def is_current_for(self, examples: Examples) -> bool:
        """Whether the fit used the same examples and did not fail."""
        failed = self.task.done() and (self.task.cancelled() or self.task.exception() is not None)
        return not failed and _equal(self.examples, examples)


class Learning:
    """Fits failure models, and decides when to refit.

    The caller's task reads the examples when a refit begins. Only the fit runs in the background,
    and it has no effect until a plan takes its result.
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
        self._fits: dict[DetectorCategory, _Fit] = {}
        self._pending: set[DetectorCategory] = set()
        self._observed: Counter[DetectorCategory] = Counter()
        self._observed_at_fit: dict[DetectorCategory, int] = {}

    def observe(self, detector_category: DetectorCategory) -> None:
        """Count an event that may change the examples of a model."""
        self._observed[detector_category] += 1

    def needs_refit(self, detector_category: DetectorCategory) -> bool:
        """Whether enough was observed since the last fit to justify another."""
        observed_at_fit = self._observed_at_fit.get(detector_category, 0)
        last_fit = self._fits.get(detector_category)
        full = last_fit is not None and len(last_fit.examples.modes) >= logic.EXAMPLES_MAX
        return self._observed[detector_category] >= max(
            observed_at_fit + 1,
            (_REFIT_GROWTH_WHEN_FULL if full else _REFIT_GROWTH) * observed_at_fit,
        )

    async def truths(
        self, detector_category: DetectorCategory
    ) -> dict[RegionId, FailureMode | None]:
        """The failure mode of each annotated region; None for a true positive."""
        return logic.truths(await self._matches.of(detector_category), self._settings.region_score)

    @property
    def busy(self) -> bool:
        """Whether a background fit is running."""
        return any(
            not self._fits[detector_category].task.done() for detector_category in self._pending
        )

    async def of(self, detector_category: DetectorCategory, model: ModelId) -> CategoryModel:
        """The model of all that is stored; fitted again only if its examples changed."""
        last_fit = await self._started(detector_category, model)
        self._pending.discard(detector_category)
        # Shielded: if this wait is cancelled, the next caller still gets the fit.
        return CategoryModel(await asyncio.shield(last_fit.task), last_fit.stats)

    async def begin(self, detector_category: DetectorCategory, model: ModelId) -> None:
        """Start a fit of all that is stored, in the background; `finished` returns the result."""
        last_fit = await self._started(detector_category, model)
        self._pending.add(detector_category)
        if len(last_fit.examples.modes) <= _AWAITED_EXAMPLES_MAX:
            await asyncio.wait([last_fit.task])

    def finished(self, detector_category: DetectorCategory) -> CategoryModel | None:
        """The result of `begin`, once; None while the fit runs."""
        if detector_category not in self._pending or not self._fits[detector_category].task.done():
            return None
        self._pending.discard(detector_category)
        last_fit = self._fits[detector_category]
        return CategoryModel(last_fit.task.result(), last_fit.stats)

    async def _started(self, detector_category: DetectorCategory, model: ModelId) -> _Fit:
        annotated = await self._matches.of(detector_category)
        self._observed[detector_category] = max(self._observed[detector_category], len(annotated))
        self._observed_at_fit[detector_category] = self._observed[detector_category]
        modes = logic.truths(annotated, self._settings.region_score)
        frame_of = {region: match.frame_id for match in annotated for region in match.regions}
        examples = await self._examples(modes, frame_of, model)
        before = self._fits.get(detector_category)
        if before is not None and before.is_current_for(examples):
            task = before.task
        else:
            task = asyncio.create_task(asyncio.to_thread(FailureModel, examples))
        reference = [item for item in annotated if not item.reannotated]
        self._fits[detector_category] = _Fit(examples, logic.category_stats(reference), task)
        return self._fits[detector_category]

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


def _equal(one: Examples, other: Examples) -> bool:
    return (
        one.modes == other.modes
        and np.array_equal(one.vectors, other.vectors)
        and np.array_equal(one.features, other.features)
    )
