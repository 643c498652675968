"""Compares embedding models on past verdicts: whose vectors rank failures first.

The test set is the regions of reannotated haystack frames. Each model is fitted to the reference
only, as in the retriever, and ranks the test regions for every mode that has a needle. Only regions
that all models have embedded count, so that all models rank the same regions.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.contracts.events import Split
from services.contracts.identity import FrameId, ModelId, RegionId
from services.contracts.matches import CategoryMatched
from services.contracts.needles import NeedleFound
from services.domain.arrays import FloatArray, Vector
from services.domain.failure_modes import FailureMode
from services.domain.mining.failure_model import FailureModel
from services.domain.ports.frames import FrameStore
from services.domain.ports.matches import MatchStore
from services.domain.ports.needles import NeedleStore
from services.domain.ports.vectors import FRAME_VECTORS, VectorReader, collection_of
from services.domain.statistics.ranking_quality import (
    RankedRegions,
    RankingMeasure,
    interval,
    replicates,
)
from services.domain.statistics.resampling import Interval
from services.retriever import logic
from services.retriever.caches import FrameCache, VectorCache
from services.retriever.labelled_regions import LabelledRegions, examples_of, modes_of_regions
from services.retriever.logic import DetectorCategory
from services.runtime.settings import Settings


@dataclass(frozen=True)
class Compared:
    """The measures of one model.

    Attributes
    ----------
    haystack_frames : the number of frames with its vectors
    measures : None where a measure is not defined
    over_first : difference to the first model
    """

    model: ModelId
    haystack_frames: int
    measures: Mapping[RankingMeasure, Interval | None]
    over_first: Mapping[RankingMeasure, Interval | None]


@dataclass(frozen=True)
class Comparison:
    """All models, compared on the same verdicts.

    Attributes
    ----------
    confirmed, rejected : number of judged regions where the detector is wrong, and right
    frames : number of frames that these regions are on
    """

    confirmed: int
    rejected: int
    frames: int
    models: Sequence[Compared]


@dataclass(frozen=True)
class _CategoryTruths:
    """The known truths and needles of one detector and category."""

    reference: Mapping[RegionId, FailureMode | None]
    judged: Mapping[RegionId, FailureMode | None]
    needles: Mapping[FailureMode, Sequence[RegionId]]

    @property
    def regions(self) -> set[RegionId]:
        needles = (region for regions in self.needles.values() for region in regions)
        return {*self.reference, *self.judged, *needles}

    def restricted_to(self, common: set[RegionId]) -> "_CategoryTruths":
        return _CategoryTruths(
            {region: mode for region, mode in self.reference.items() if region in common},
            {region: mode for region, mode in self.judged.items() if region in common},
            {
                mode: kept
                for mode, regions in self.needles.items()
                if (kept := [region for region in regions if region in common])
            },
        )


@dataclass(frozen=True)
class _Shown:
    """The features of regions and the numbers of their frames, the same for all models."""

    features: Mapping[RegionId, FloatArray]
    frame: Mapping[RegionId, int]


class ModelComparer:
    """Compares models on what is stored; changes nothing."""

    def __init__(
        self,
        *,
        frames: FrameStore,
        matches: MatchStore,
        needles: NeedleStore,
        vectors: VectorReader,
        settings: Settings,
    ) -> None:
        self._frames = FrameCache(frames, settings.frame_cache_bytes)
        self._matches = matches
        self._needles = needles
        self._vectors = vectors
        self._settings = settings

    async def compare(self, models: Sequence[ModelId]) -> Comparison:
        """Compare these models; the first is the baseline.

        Raises
        ------
        StoreUnavailable
            A store does not answer.
        """
        categories, frame_of = await self._categories(await self._judged())
        facts = await self._frames.load(set(frame_of.values()))
        features = {region: row for fact in facts.values() for region, row in fact.features.items()}
        wanted = {region for category in categories for region in category.regions}
        vectors = [await self._vectors_of(model, wanted) for model in models]
        common = (wanted & features.keys()).intersection(*vectors)
        categories = [category.restricted_to(common) for category in categories]
        regions = [region for category in categories for region in category.judged]
        numbers = {frame: n for n, frame in enumerate(sorted({frame_of[r] for r in regions}))}
        shown = _Shown(features, {region: numbers[frame_of[region]] for region in regions})
        measured = [
            await asyncio.to_thread(_replicates, categories, of_model, shown, len(numbers))
            for of_model in vectors
        ]
        modes = [mode for category in categories for mode in category.judged.values()]
        return Comparison(
            confirmed=sum(mode is not None for mode in modes),
            rejected=sum(mode is None for mode in modes),
            frames=len(numbers),
            models=[
                await self._compared(model, own, measured[0])
                for model, own in zip(models, measured, strict=True)
            ],
        )

    async def _vectors_of(
        self, model: ModelId, regions: set[RegionId]
    ) -> Mapping[RegionId, Vector]:
        cache = VectorCache(self._vectors, self._settings.vector_cache_bytes)
        return await cache.load(model, regions)

    async def _compared(
        self,
        model: ModelId,
        own: Mapping[RankingMeasure, FloatArray],
        first: Mapping[RankingMeasure, FloatArray],
    ) -> Compared:
        """The measures of a model, from the replicates of its own and of the first model."""
        frames = collection_of(FRAME_VECTORS, model)
        return Compared(
            model,
            await self._vectors.count(frames, logic.HAYSTACK_FRAMES),
            {measure: interval(own[measure]) for measure in RankingMeasure},
            {measure: interval(own[measure] - first[measure]) for measure in RankingMeasure},
        )

    async def _judged(self) -> list[CategoryMatched]:
        reannotated = await self._frames.reannotated()
        return [m for m in await self._matches.load(reannotated) if m.split is Split.HAYSTACK]

    async def _categories(
        self, judged: Sequence[CategoryMatched]
    ) -> tuple[list[_CategoryTruths], dict[RegionId, FrameId]]:
        """Truths and needles of each category with needles, and the frame of each region."""
        needles: defaultdict[DetectorCategory, list[NeedleFound]] = defaultdict(list)
        async for record in self._needles.scan():
            if record.active and record.needle is not None and not record.is_miss:
                needles[record.needle.detector, record.needle.category].append(record.needle)
        reference: defaultdict[DetectorCategory, list[LabelledRegions]] = defaultdict(list)
        async for match in self._matches.scan(split=Split.REFERENCE):
            reference[logic.detector_category_of(match)].append(LabelledRegions.of(match))
        categories = []
        frame_of = {
            needle.region_id: needle.frame_id for members in needles.values() for needle in members
        }
        operating = self._settings.operating_scores
        for category, of_category in sorted(needles.items()):
            annotated = [
                LabelledRegions.of(match)
                for match in judged
                if logic.detector_category_of(match) == category
            ]
            if not annotated:
                continue
            frame_of |= {
                r: m.frame_id for m in [*annotated, *reference[category]] for r in m.regions
            }
            learnt = modes_of_regions(reference[category], self._settings.region_score)
            judged_modes = modes_of_regions(annotated, operating.of(*category))
            categories.append(_CategoryTruths(learnt, judged_modes, _by_mode(of_category)))
        return categories, frame_of


def _by_mode(needles: Sequence[NeedleFound]) -> dict[FailureMode, list[RegionId]]:
    by_mode: defaultdict[FailureMode, list[RegionId]] = defaultdict(list)
    for needle in needles:
        by_mode[FailureMode.of(needle.error_type, needle.true_category)].append(needle.region_id)
    return dict(sorted(by_mode.items()))


def _replicates(
    categories: Sequence[_CategoryTruths],
    vectors: Mapping[RegionId, Vector],
    regions_data: _Shown,
    frames: int,
) -> dict[RankingMeasure, FloatArray]:
    ranked_regions = [
        ranked
        for category in categories
        for ranked in _ranked_regions(category, vectors, regions_data)
    ]
    return {measure: replicates(ranked_regions, measure, frames) for measure in RankingMeasure}


def _ranked_regions(
    category: _CategoryTruths, vectors: Mapping[RegionId, Vector], regions_data: _Shown
) -> list[RankedRegions]:
    regions = sorted(category.judged)
    if not regions:
        return []
    model = FailureModel.fit(examples_of(category.reference, vectors, regions_data.features))
    rows = np.stack([vectors[region] for region in regions])
    features = np.stack([regions_data.features[region] for region in regions])
    return [
        RankedRegions(
            model.evidence(mode, np.stack([vectors[needle] for needle in needles]), rows, features),
            np.array([category.judged[region] is not None for region in regions]),
            np.array([category.judged[region] == mode for region in regions]),
            np.array([regions_data.frame[region] for region in regions]),
        )
        for mode, needles in category.needles.items()
    ]
