"""What a kind's annotated regions teach, from all that is durable by now."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.contracts.identity import FrameId, ModelId, RegionId
from services.domain.detection.coco import FloatArray
from services.domain.mining.detector_category import CategoryModel as Learnt
from services.domain.mining.failure_model import Examples, FailureMode, FailureModel
from services.domain.mining.ranking import Vectors
from services.domain.shortlists.strategies import CategoryStats
from services.retriever import logic
from services.retriever.logic import DetectorCategory
from services.retriever.scoring.caches import FrameCache, MatchCache, VectorCache
from services.runtime.settings import Settings

_LESSON = 1.5
"""A kind is learnt again when this many times as much was heard of it: what is learnt of ever more
examples then costs the same per example."""
_LESSON_WHEN_FULL = 3.0
"""The same, of a kind that has as many examples as are fitted at most: others in their place say
little else, and move shortlists."""
_AT_ONCE = 200
"""Examples that are fitted while everything else waits: that takes some hundredths of a second."""


@dataclass(frozen=True)
class _Lesson:
    """What is to be learnt of a kind, and the fit that goes on in a thread or is over."""

    examples: Examples
    standing: CategoryStats
    fit: asyncio.Task[FailureModel]

    def teaches(self, examples: Examples) -> bool:
        """Whether it says what these examples say."""
        failed = self.fit.done() and (self.fit.cancelled() or self.fit.exception() is not None)
        return not failed and _same(self.examples, examples)


class Learning:
    """Fits kinds, and knows when one is worth fitting again.

    What a lesson is of is read when it begins, by whoever plans then. The fit alone goes on beside
    everything else, and changes nothing until a plan asks whether it is over.
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
        self._lessons: dict[DetectorCategory, _Lesson] = {}
        self._untaken: set[DetectorCategory] = set()
        self._heard: Counter[DetectorCategory] = Counter()
        self._heard_at: dict[DetectorCategory, int] = {}

    def heard(self, kind: DetectorCategory) -> None:
        """Something was said of how a kind's regions fail."""
        self._heard[kind] += 1

    def outgrown(self, kind: DetectorCategory) -> bool:
        """Whether so much was heard since the last fit that another is worth it."""
        at, lesson = self._heard_at.get(kind, 0), self._lessons.get(kind)
        full = lesson is not None and len(lesson.examples.modes) >= logic.EXAMPLES_MAX
        return self._heard[kind] >= max(at + 1, (_LESSON_WHEN_FULL if full else _LESSON) * at)

    async def truths(self, kind: DetectorCategory) -> dict[RegionId, FailureMode | None]:
        """Of each annotated region of a kind, how it is wrong; none where it is right."""
        return logic.truths(await self._matches.of(kind), self._settings.region_score)

    @property
    def busy(self) -> bool:
        """Whether a fit goes on."""
        return any(not self._lessons[kind].fit.done() for kind in self._untaken)

    async def of(self, kind: DetectorCategory, model: ModelId) -> Learnt:
        """What is known of a kind by now; fitted again only where its examples changed."""
        lesson = await self._begun(kind, model)
        self._untaken.discard(kind)
        # A wait that is given up leaves the fit to whoever asks next.
        return Learnt(await asyncio.shield(lesson.fit), lesson.standing)

    async def begin(self, kind: DetectorCategory, model: ModelId) -> None:
        """Learn what is known of a kind by now, beside whatever else goes on; see `over`."""
        lesson = await self._begun(kind, model)
        self._untaken.add(kind)
        if len(lesson.examples.modes) <= _AT_ONCE:
            await asyncio.wait([lesson.fit])

    def over(self, kind: DetectorCategory) -> Learnt | None:
        """What was learnt of a kind since it was begun, once; none while the lesson goes on."""
        if kind not in self._untaken or not self._lessons[kind].fit.done():
            return None
        self._untaken.discard(kind)
        lesson = self._lessons[kind]
        return Learnt(lesson.fit.result(), lesson.standing)

    async def _begun(self, kind: DetectorCategory, model: ModelId) -> _Lesson:
        annotated = await self._matches.of(kind)
        self._heard[kind] = max(self._heard[kind], len(annotated))
        self._heard_at[kind] = self._heard[kind]
        modes = logic.truths(annotated, self._settings.region_score)
        frame_of = {region: match.frame_id for match in annotated for region in match.regions}
        examples = await self._examples(modes, frame_of, model)
        before = self._lessons.get(kind)
        if before is not None and before.teaches(examples):
            fit = before.fit
        else:
            fit = asyncio.create_task(asyncio.to_thread(FailureModel, examples))
        reference = [item for item in annotated if not item.reannotated]
        self._lessons[kind] = _Lesson(examples, logic.standing(reference), fit)
        return self._lessons[kind]

    async def _examples(
        self,
        modes: Mapping[RegionId, FailureMode | None],
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
