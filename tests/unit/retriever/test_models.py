"""Two embedding models at once: which one plans are made by, and which of them is better."""

import numpy as np
import pytest

from services.contracts.identity import ModelId, region_point_id
from services.domain.ports.vectors import FRAME_VECTORS, REGION_VECTORS, Point, Where, collection_of
from services.domain.statistics.ranking_quality import RankingMeasure
from services.retriever.comparison import Comparison, ModelComparer
from services.runtime.settings import Settings
from tests import samples
from tests.unit.retriever.test_service import World, found

OTHER = ModelId("other-test")


class TwoModels(World):
    """A world in which a second model may see every region at an angle of its own."""

    async def see(self, frame_id: str, angle: float) -> None:
        """What the second model makes of a frame that the first has embedded."""
        made = samples.predictions_made(samples.detection(), frame_id=frame_id)
        (region,) = made.region_ids()
        first = region_point_id(samples.MODEL, region)
        held = await self.vectors.nearest(
            collection_of(REGION_VECTORS, samples.MODEL),
            np.ones(2, np.float32),
            Where({"frame_id": frame_id}),
            1,
        )
        assert [hit.point_id for hit in held] == [first]
        vector = np.array([np.cos(angle), np.sin(angle)], np.float32)
        embedded = samples.frame_embedded(made, OTHER)
        for alias, point in (
            (REGION_VECTORS, Point(region_point_id(OTHER, region), vector, held[0].payload)),
            (
                FRAME_VECTORS,
                Point(embedded.frame_point, vector, {"split": held[0].payload["split"]}),
            ),
        ):
            await self.vectors.ensure(collection_of(alias, OTHER), 2, keywords=(), numbers=())
            await self.vectors.upsert(collection_of(alias, OTHER), [point])

    async def compared(self, *models: ModelId) -> Comparison:
        comparer = ModelComparer(
            frames=self.frames,
            matches=self.matches,
            needles=self.needles,
            vectors=self.vectors,
            settings=Settings(),
        )
        return await comparer.compare(models)


async def test_the_plan_after_the_alias_moved_is_of_the_other_model_and_back_again() -> None:
    world = TwoModels()
    needle = await found(world)
    embedded = [await world.embed(name, angle) for name, angle in (("a", 0.1), ("b", 0.5))]
    for name, angle in (("needle", 0.0), ("a", 0.9), ("b", 0.1)):
        await world.see(name, angle)
    await world.run([needle, *embedded])
    for model in (OTHER, samples.MODEL):
        await world.vectors.alias({REGION_VECTORS: collection_of(REGION_VECTORS, model)})
        made = samples.predictions_made(samples.detection(), frame_id="a")
        await world.run([samples.frame_embedded(made, model)])

    assert world.shortlists() == [["a", "b"], ["b", "a"], ["a", "b"]]


async def judged_world(frames: int = 24) -> TwoModels:
    """Every second haystack frame fails; the other model sees which, the live one does not."""
    world = TwoModels()
    await world.needles.record([await found(world)])
    await world.annotate("needle", right=False)
    await world.see("needle", 0.0)
    for number in range(8):
        right = bool(number % 2)
        await world.example(f"known{number}", 0.1 * number, right=right)
        await world.see(f"known{number}", 1.4 if right else 0.05)
    rng = np.random.default_rng(0)
    for number in range(frames):
        right = bool(number % 2)
        await world.embed(f"h{number}", float(rng.random()))
        await world.correct(f"h{number}", right=right)
        await world.see(f"h{number}", (1.2 if right else 0.1) + 0.1 * float(rng.random()))
    return world


async def test_the_model_that_puts_what_was_confirmed_above_what_was_rejected_is_better() -> None:
    world = await judged_world()

    comparison = await world.compared(samples.MODEL, OTHER)

    assert (comparison.confirmed, comparison.rejected, comparison.frames) == (12, 12, 24)
    live, other = comparison.models
    assert [live.haystack_frames, other.haystack_frames] == [24, 24]
    for measure in RankingMeasure:
        best, above = other.measures[measure], other.over_first[measure]
        assert best is not None
        assert above is not None
        assert best.value == pytest.approx(1)
        assert above.low > 0
        assert above.value == pytest.approx(1 - (live.measures[measure] or best).value)


async def test_only_what_every_model_has_embedded_is_asked() -> None:
    world = await judged_world()
    await world.embed("unseen", 0.3)
    await world.correct("unseen", right=False)

    comparison = await world.compared(samples.MODEL, OTHER)

    assert comparison.frames == 24
    assert [model.haystack_frames for model in comparison.models] == [25, 24]


async def test_without_verdicts_nothing_is_said_of_any_model() -> None:
    world = await judged_world(0)

    comparison = await world.compared(samples.MODEL, OTHER)

    assert (comparison.confirmed, comparison.rejected, comparison.frames) == (0, 0, 0)
    assert all(value is None for model in comparison.models for value in model.measures.values())
