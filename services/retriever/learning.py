"""What a kind's annotated regions teach, from all that is durable by now."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from services.contracts.identity import FrameId, ModelId, RegionId
from services.domain.coco import FloatArray
from services.domain.failure_model import Examples, FailureModel, Mode
from services.domain.kind import Kind as Learnt
from services.domain.ranking import Vectors
from services.retriever import logic
from services.retriever.known import KnownFrames, KnownMatches, KnownVectors
from services.retriever.logic import Kind
from services.runtime.settings import Settings

_LESSON = 1.5
"""A kind is learnt again when this many times as much was heard of it: what is learnt of ever more
examples then costs the same per example."""


class Learning:
    """Fits kinds, and knows when one is worth fitting again."""

    def __init__(
        self,
        frames: KnownFrames,
        matches: KnownMatches,
        vectors: KnownVectors,
        settings: Settings,
    ) -> None:
        self._frames = frames
        self._matches = matches
        self._vectors = vectors
        self._settings = settings
        self._fitted: dict[Kind, tuple[Examples, FailureModel]] = {}
        self._heard: Counter[Kind] = Counter()
        self._heard_at: dict[Kind, int] = {}

    def heard(self, kind: Kind) -> None:
        """Something was said of how a kind's regions fail."""
        self._heard[kind] += 1

    def outgrown(self, kind: Kind) -> bool:
        """Whether so much was heard since the last fit that another is worth it."""
        at = self._heard_at.get(kind, 0)
        return self._heard[kind] >= max(at + 1, _LESSON * at)

    async def truths(self, kind: Kind) -> dict[RegionId, Mode | None]:
        """Of each annotated region of a kind, how it is wrong; none where it is right."""
        return logic.truths(await self._matches.of(kind), self._settings.region_score)

    async def of(self, kind: Kind, model: ModelId) -> Learnt:
        """What is known of a kind; fitted again only where its examples changed."""
        annotated = await self._matches.of(kind)
        self._heard[kind] = max(self._heard[kind], len(annotated))
        self._heard_at[kind] = self._heard[kind]
        modes = logic.truths(annotated, self._settings.region_score)
        frame_of = {region: match.frame_id for match in annotated for region in match.regions}
        examples = await self._examples(modes, frame_of, model)
        before = self._fitted.get(kind)
        if before is None or not _same(before[0], examples):
            fitted = await asyncio.to_thread(FailureModel, examples)
            before = self._fitted[kind] = examples, fitted
        reference = [each for each in annotated if not each.reannotated]
        return Learnt(before[1], logic.standing(reference))

    async def _examples(
        self,
        modes: Mapping[RegionId, Mode | None],
        frame_of: Mapping[RegionId, FrameId],
        model: ModelId,
    ) -> Examples:
        """The first regions by id of which all is known, as many as are worth fitting."""
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


def _same(one: Examples, other: Examples) -> bool:
    return (
        one.modes == other.modes
        and np.array_equal(one.vectors, other.vectors)
        and np.array_equal(one.features, other.features)
    )
