"""Embedding models compared on past verdicts: whose vectors would have put the failures first.

Judged are the regions of haystack frames whose ground truth came back corrected. Each model learns
from the reference alone, as the retriever does, and ranks them for every mode that has a needle.
Only what all of the models have embedded counts, so that all answer the same questions.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.contracts.events import FrameMatched, NeedleFound, Split
from services.contracts.identity import FrameId, ModelId, RegionId
from services.domain.detection.coco import FloatArray
from services.domain.mining.failure_model import FailureMode, FailureModel
from services.domain.ports.frames import FrameStore
from services.domain.ports.matches import MatchStore
from services.domain.ports.needles import NeedleStore
from services.domain.ports.vectors import FRAME_VECTORS, Vector, VectorStore, collection_of
from services.domain.statistics.ranking_quality import (
    RankedRegions,
    RankingMeasure,
    interval,
    replicates,
)
from services.domain.statistics.resampling import Interval
from services.retriever import logic
from services.retriever.logic import Annotated, DetectorCategory
from services.retriever.scoring.caches import FrameCache, VectorCache
from services.runtime.settings import Settings


@dataclass(frozen=True)
class Compared:
    """One model on the verdicts.

    Attributes
    ----------
    haystack_frames : how many have its vectors
    measures : none of a measure that nothing defines
    over_first : by how much it is above the first model
    """

    model: ModelId
    haystack_frames: int
    measures: Mapping[RankingMeasure, Interval | None]
    over_first: Mapping[RankingMeasure, Interval | None]


@dataclass(frozen=True)
class Comparison:
    """All models on the same verdicts.

    Attributes
    ----------
    confirmed, rejected : regions that were judged, and whether the detector is wrong there
    frames : that they are on
    """

    confirmed: int
    rejected: int
    frames: int
    models: Sequence[Compared]


@dataclass(frozen=True)
class _Kind:
    """What is known of one kind, whichever model looks at it."""

    reference: Mapping[RegionId, FailureMode | None]
    judged: Mapping[RegionId, FailureMode | None]
    needles: Mapping[FailureMode, Sequence[RegionId]]

    @property
    def regions(self) -> set[RegionId]:
        needles = (region for regions in self.needles.values() for region in regions)
        return {*self.reference, *self.judged, *needles}

    def among(self, there: set[RegionId]) -> "_Kind":
        return _Kind(
            {region: mode for region, mode in self.reference.items() if region in there},
            {region: mode for region, mode in self.judged.items() if region in there},
            {
                mode: kept
                for mode, regions in self.needles.items()
                if (kept := [region for region in regions if region in there])
            },
        )


@dataclass(frozen=True)
class _Shown:
    """What all models share: the features of regions, and the numbers of their frames."""

    features: Mapping[RegionId, FloatArray]
    frame: Mapping[RegionId, int]


class ModelComparer:
    """Reads what is durable, and changes nothing."""

    def __init__(
        self,
        *,
        frames: FrameStore,
        matches: MatchStore,
        needles: NeedleStore,
        vectors: VectorStore,
        settings: Settings,
    ) -> None:
        self._frames = FrameCache(frames)
        self._matches = matches
        self._needles = needles
        self._vectors = vectors
        self._settings = settings

    async def compare(self, models: Sequence[ModelId]) -> Comparison:
        """These models; the first is what the others are compared with.

        Raises
        ------
        StoreUnavailable
            A store does not answer.
        """
        judged = await self._judged()
        kinds, frame_of = await self._kinds(judged)
        facts = await self._frames.load(set(frame_of.values()))
        features = {region: row for fact in facts.values() for region, row in fact.features.items()}
        wanted = {region for kind in kinds for region in kind.regions}
        vectors = {
            model_id: await VectorCache(self._vectors).load(model_id, wanted) for model_id in models
        }
        there = wanted & features.keys()
        there = there.intersection(*(set(vector) for vector in vectors.values()))
        kinds = [kind.among(there) for kind in kinds]
        regions = [region for kind in kinds for region in kind.judged]
        numbers = {frame: n for n, frame in enumerate(sorted({frame_of[r] for r in regions}))}
        shown = _Shown(features, {region: numbers[frame_of[region]] for region in regions})
        drawn = [
            await asyncio.to_thread(_drawn, kinds, vectors[model], shown, len(numbers))
            for model in models
        ]
        modes = [mode for kind in kinds for mode in kind.judged.values()]
        return Comparison(
            confirmed=sum(mode is not None for mode in modes),
            rejected=sum(mode is None for mode in modes),
            frames=len(numbers),
            models=[
                Compared(
                    model,
                    await self._vectors.count(
                        collection_of(FRAME_VECTORS, model), logic.HAYSTACK_FRAMES
                    ),
                    {measure: interval(own[measure]) for measure in RankingMeasure},
                    {
                        measure: interval(own[measure] - drawn[0][measure])
                        for measure in RankingMeasure
                    },
                )
                for model, own in zip(models, drawn, strict=True)
            ],
        )

    async def _judged(self) -> list[FrameMatched]:
        again = await self._frames.reannotated()
        return [m for m in await self._matches.load(again) if m.split is Split.HAYSTACK]

    async def _kinds(
        self, judged: Sequence[FrameMatched]
    ) -> tuple[list[_Kind], dict[RegionId, FrameId]]:
        """What was judged of each kind that has needles, and which frame each region is on."""
        needles: defaultdict[DetectorCategory, list[NeedleFound]] = defaultdict(list)
        async for record in self._needles.scan():
            if record.active and record.needle is not None:
                needles[record.needle.detector, record.needle.category].append(record.needle)
        reference: defaultdict[DetectorCategory, list[Annotated]] = defaultdict(list)
        async for match in self._matches.scan(split=Split.REFERENCE):
            reference[logic.kind_of(match)].append(Annotated.of(match))
        kinds = []
        frame_of = {needle.region_id: needle.frame_id for of in needles.values() for needle in of}
        for kind, of_kind in sorted(needles.items()):
            annotated = [Annotated.of(match) for match in judged if logic.kind_of(match) == kind]
            if not annotated:
                continue
            frame_of |= {r: m.frame_id for m in [*annotated, *reference[kind]] for r in m.regions}
            learnt = logic.truths(reference[kind], self._settings.region_score)
            asked = logic.truths(annotated, self._settings.operating_score)
            kinds.append(_Kind(learnt, asked, _by_mode(of_kind)))
        return kinds, frame_of


def _by_mode(needles: Sequence[NeedleFound]) -> dict[FailureMode, list[RegionId]]:
    of: defaultdict[FailureMode, list[RegionId]] = defaultdict(list)
    for needle in needles:
        of[FailureMode.of(needle.error_type, needle.true_category)].append(needle.region_id)
    return dict(sorted(of.items()))


def _drawn(
    kinds: Sequence[_Kind], vectors: Mapping[RegionId, Vector], shown: _Shown, frames: int
) -> dict[RankingMeasure, FloatArray]:
    questions = [question for kind in kinds for question in _questions(kind, vectors, shown)]
    return {measure: replicates(questions, measure, frames) for measure in RankingMeasure}


def _questions(
    kind: _Kind, vectors: Mapping[RegionId, Vector], shown: _Shown
) -> list[RankedRegions]:
    regions = sorted(kind.judged)
    if not regions:
        return []
    model = FailureModel(logic.examples(kind.reference, vectors, shown.features))
    rows = np.stack([vectors[region] for region in regions])
    features = np.stack([shown.features[region] for region in regions])
    return [
        RankedRegions(
            model.evidence(mode, np.stack([vectors[needle] for needle in needles]), rows, features),
            np.array([kind.judged[region] is not None for region in regions]),
            np.array([kind.judged[region] == mode for region in regions]),
            np.array([shown.frame[region] for region in regions]),
        )
        for mode, needles in kind.needles.items()
    ]
